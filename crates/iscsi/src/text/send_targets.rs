//! The answer to SendTargets (RFC 7143 appendix C): target names, each followed by its addresses.

use super::{KeyValues, TargetAddress, TextError};
use crate::name::IscsiName;

/// Most targets in one answer.
pub const MAX_TARGET_RECORDS: usize = 4096;

/// One target of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRecord {
    /// TargetName, checked.
    pub name: IscsiName,
    /// TargetAddress of each portal. Empty means: the address that was asked.
    pub addresses: Vec<TargetAddress>,
}

/// An answer to SendTargets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendTargets {
    /// Targets whose names and addresses are sound.
    pub records: Vec<TargetRecord>,
    /// What was passed over, because one bad name or address must not hide the other targets.
    pub refused: Vec<TextError>,
}

impl SendTargets {
    /// Reads the pairs of an answer. Keys other than TargetName and TargetAddress are passed over.
    ///
    /// # Errors
    /// An address before the first name; more than [`MAX_TARGET_RECORDS`] targets.
    pub fn from_pairs(pairs: &KeyValues) -> Result<Self, TextError> {
        let mut answer = Self::default();
        // What the addresses that follow belong to: nothing yet, a refused name, or the last record.
        let mut name_seen = false;
        let mut name_refused = false;
        for (key, value) in pairs.iter() {
            match key {
                "TargetName" => {
                    name_seen = true;
                    name_refused = !answer.push_name(value)?;
                }
                "TargetAddress" if !name_seen => return Err(TextError::AddressWithoutTarget),
                "TargetAddress" if !name_refused => answer.push_address(value),
                _ => {}
            }
        }
        Ok(answer)
    }

    fn push_name(&mut self, name: &str) -> Result<bool, TextError> {
        if self.records.len() + self.refused.len() >= MAX_TARGET_RECORDS {
            return Err(TextError::TooManyTargets {
                max: MAX_TARGET_RECORDS,
            });
        }
        match name.parse::<IscsiName>() {
            Ok(name) => {
                let addresses = Vec::new();
                self.records.push(TargetRecord { name, addresses });
                Ok(true)
            }
            Err(error) => {
                self.refused.push(error.into());
                Ok(false)
            }
        }
    }

    fn push_address(&mut self, address: &str) {
        match (address.parse(), self.records.last_mut()) {
            (Ok(address), Some(record)) => record.addresses.push(address),
            (Err(error), _) => self.refused.push(error),
            (Ok(_), None) => {}
        }
    }
}

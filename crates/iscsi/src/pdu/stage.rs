//! Stages of a login (RFC 7143 §11.12.3) and the flags byte that login requests and responses share.

use super::{Fault, PduError, RawPdu};
use std::fmt;

/// A stage of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// SecurityNegotiation (0).
    SecurityNegotiation,
    /// LoginOperationalNegotiation (1).
    LoginOperationalNegotiation,
    /// FullFeaturePhase (3).
    FullFeaturePhase,
}

impl Stage {
    /// The stage with this code; 2 is reserved.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::SecurityNegotiation),
            1 => Some(Self::LoginOperationalNegotiation),
            3 => Some(Self::FullFeaturePhase),
            _ => None,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::SecurityNegotiation => 0,
            Self::LoginOperationalNegotiation => 1,
            Self::FullFeaturePhase => 3,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecurityNegotiation => "SecurityNegotiation",
            Self::LoginOperationalNegotiation => "LoginOperationalNegotiation",
            Self::FullFeaturePhase => "FullFeaturePhase",
        })
    }
}

/// T, C, CSG and NSG: byte 1 of login requests and responses.
pub(super) struct StageFlags {
    pub(super) continue_bit: bool,
    pub(super) current_stage: Stage,
    pub(super) transit_to: Option<Stage>,
}

impl StageFlags {
    pub(super) fn parse(raw: &RawPdu) -> Result<Self, PduError> {
        let (transit, continue_bit) = (raw.flag(0x80), raw.flag(0x40));
        if transit && continue_bit {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "T and C",
                u32::from(raw.flags()),
                "a text that goes on cannot end its stage",
            ));
        }
        let csg = raw.flags() >> 2 & 0x03;
        let current_stage = match Stage::from_code(csg) {
            Some(stage) if stage != Stage::FullFeaturePhase => stage,
            _ => {
                return Err(raw.refuse(
                    Fault::InvalidMessage,
                    "CSG",
                    u32::from(csg),
                    "no login PDU belongs to this stage",
                ));
            }
        };
        let nsg = raw.flags() & 0x03;
        let transit_to = match (transit, Stage::from_code(nsg)) {
            (false, _) => None,
            (true, Some(stage)) if nsg > csg => Some(stage),
            (true, _) => {
                return Err(raw.refuse(
                    Fault::InvalidMessage,
                    "NSG",
                    u32::from(nsg),
                    "no stage follows the current one by this value",
                ));
            }
        };
        Ok(Self {
            continue_bit,
            current_stage,
            transit_to,
        })
    }

    pub(super) fn to_byte(&self) -> u8 {
        let next = self.transit_to.map_or(0, |stage| 0x80 | stage.code());
        next | u8::from(self.continue_bit) << 6 | self.current_stage.code() << 2
    }
}

impl fmt::Display for StageFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current_stage.fmt(f)?;
        if let Some(next) = self.transit_to {
            write!(f, "->{next}")?;
        }
        f.write_str(if self.continue_bit { " C" } else { "" })
    }
}

//! Checks a specification before anything is touched; each error names the field in Kubernetes' spelling.

use super::portal;
use super::spec::{Chap, IscsiVolume, Source, VolumeSpec};
use super::words::FsType;
use crate::error::VolumeError;
use longshore_iscsi::name::IscsiName;
use longshore_mount::{MountOptions, OptionDefaults};
use secrecy::ExposeSecret;

/// The most portals of one target.
const MAX_PORTALS: usize = 16;
/// The longest CHAP name (RFC 7143 §12.1.3: text values are at most 255 bytes).
const MAX_CHAP_NAME_LEN: usize = 255;
/// A LUN number fits the flat space of SAM-5 §4.7.7.3.
const MAX_LUN: u16 = 16383;

impl VolumeSpec {
    /// Checks every field's grammar.
    ///
    /// # Errors
    /// [`VolumeError::InvalidField`] with the first field that is wrong.
    pub fn validate(&self) -> Result<(), VolumeError> {
        match &self.source {
            Source::Iscsi(iscsi) => iscsi.validate()?,
        }
        match self.fs_type {
            Some(fs_type) => check_options(fs_type, &self.mount_options)?,
            // Checked again once the file system is known; what none of them takes is refused now.
            None => {
                let mut all =
                    [FsType::Ext4, FsType::Xfs, FsType::Btrfs].map(|t| check_options(t, &self.mount_options));
                if all.iter().all(Result::is_err) {
                    std::mem::replace(&mut all[0], Ok(()))?;
                }
            }
        }
        if let Some(wwid) = &self.wwid {
            check_wwid(wwid).map_err(|reason| VolumeError::field("wwid", reason))?;
        }
        if let Some(uuid) = &self.fs_uuid {
            check_uuid(uuid).map_err(|reason| VolumeError::field("fsUuid", reason))?;
        }
        Ok(())
    }
}

impl IscsiVolume {
    fn validate(&self) -> Result<(), VolumeError> {
        let checked = |field: String, text: &str| {
            portal::check(text).map_err(|reason| {
                VolumeError::field(
                    field,
                    format!("{text:?}: {reason}; write HOST, HOST:PORT or [IPV6]:PORT"),
                )
            })
        };
        checked("targetPortal".into(), &self.target_portal)?;
        if self.portals.len() > MAX_PORTALS {
            let reason = format!("{} portals, at most {MAX_PORTALS}", self.portals.len());
            return Err(VolumeError::field("portals", reason));
        }
        for (at, text) in self.portals.iter().enumerate() {
            checked(format!("portals[{at}]"), text)?;
        }
        check_name("iqn", &self.iqn)?;
        if let Some(name) = &self.initiator_name {
            check_name("initiatorName", name)?;
        }
        if self.lun > MAX_LUN {
            return Err(VolumeError::field(
                "lun",
                format!("{} is above {MAX_LUN}", self.lun),
            ));
        }
        if let Some(name) = &self.iscsi_interface {
            let legal = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".:_-@%".contains(&b));
            if name.is_empty() || name.len() > 64 || !legal {
                let reason = format!("{name:?} is neither a network interface nor an address");
                return Err(VolumeError::field("iscsiInterface", reason));
            }
        }
        self.chap.as_ref().map_or(Ok(()), check_chap)
    }
}

fn check_chap(chap: &Chap) -> Result<(), VolumeError> {
    let name = |field: &str, text: &str| {
        let plain = !text.is_empty() && text.len() <= MAX_CHAP_NAME_LEN && !text.bytes().any(|b| b == 0);
        let reason = format!("must have 1 to {MAX_CHAP_NAME_LEN} bytes");
        if plain {
            Ok(())
        } else {
            Err(VolumeError::field(field, reason))
        }
    };
    name("node.session.auth.username", &chap.username)?;
    if chap.password.expose_secret().is_empty() {
        return Err(VolumeError::field("node.session.auth.password", "is empty"));
    }
    let Some((username_in, password_in)) = &chap.mutual else {
        return Ok(());
    };
    name("node.session.auth.username_in", username_in)?;
    if password_in.expose_secret().is_empty() {
        return Err(VolumeError::field("node.session.auth.password_in", "is empty"));
    }
    if password_in.expose_secret() == chap.password.expose_secret() {
        // RFC 7143 §9.2.1: the same secret in both directions lets a reflected response pass.
        let reason = "equals node.session.auth.password; mutual CHAP needs two different secrets";
        return Err(VolumeError::field("node.session.auth.password_in", reason));
    }
    Ok(())
}

/// A WWID in the spelling that `show` prints: a type, a dot, and the designator.
fn check_wwid(wwid: &str) -> Result<(), String> {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let good = wwid.len() <= 260
        && match wwid.split_once('.') {
            Some(("naa", rest)) => hex(rest) && (rest.len() == 16 || rest.len() == 32),
            Some(("eui", rest)) => hex(rest) && [16, 24, 32].contains(&rest.len()),
            Some(("uuid" | "t10" | "name", rest)) => {
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
            }
            _ => false,
        };
    let reason = || {
        let shown: String = wwid.chars().take(80).collect();
        format!(
            "{shown:?} is not a WWID; copy it from `longshore show` (naa.…, eui.…, t10.…, uuid.…, name.…)"
        )
    };
    if good { Ok(()) } else { Err(reason()) }
}

fn check_uuid(uuid: &str) -> Result<(), String> {
    match uuid.parse::<longshore_disk::FsUuid>() {
        Ok(parsed) if parsed.to_string() == uuid => Ok(()),
        Ok(parsed) => Err(format!("{uuid:?} is not in lower case; write {parsed}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Checks mount options against the allow-list of a file system.
pub(crate) fn check_options(fs_type: FsType, options: &[String]) -> Result<(), VolumeError> {
    let parsed = MountOptions::parse(fs_type.as_str(), options, OptionDefaults::default());
    parsed
        .map(|_| ())
        .map_err(|error| VolumeError::field("mountOptions", error))
}

/// The grammar of iSCSI names (RFC 7143 §4.2.7).
fn check_name(field: &str, name: &str) -> Result<(), VolumeError> {
    name.parse::<IscsiName>()
        .map(|_| ())
        .map_err(|error| VolumeError::field(field, error))
}

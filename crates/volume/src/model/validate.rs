//! Checks a specification before anything is touched; each error names the field in Kubernetes' spelling.

use super::portal;
use super::spec::{Chap, IscsiVolume, Source, VolumeSpec};
use crate::error::VolumeError;
use secrecy::ExposeSecret;

/// The most portals of one target.
const MAX_PORTALS: usize = 16;
/// The most mount options, and the longest of them, in bytes.
const MAX_MOUNT_OPTIONS: usize = 64;
const MAX_MOUNT_OPTION_LEN: usize = 128;
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
        if self.mount_options.len() > MAX_MOUNT_OPTIONS {
            let reason = format!(
                "{} options, at most {MAX_MOUNT_OPTIONS}",
                self.mount_options.len()
            );
            return Err(VolumeError::field("mountOptions", reason));
        }
        for (at, option) in self.mount_options.iter().enumerate() {
            let plain = option.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            if option.is_empty() || option.len() > MAX_MOUNT_OPTION_LEN || !plain {
                let reason = format!("{option:?} is not one option of printable characters without a comma");
                return Err(VolumeError::field(format!("mountOptions[{at}]"), reason));
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
    let groups: Vec<&str> = uuid.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|g| g.len()).collect();
    let hex = uuid
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if hex && lengths == [8, 4, 4, 4, 12] {
        return Ok(());
    }
    let shown: String = uuid.chars().take(80).collect();
    Err(format!("{shown:?} is not a UUID in lower-case hex, 8-4-4-4-12"))
}

/// The grammar of iSCSI names (RFC 7143 §4.2.7).
fn check_name(field: &str, name: &str) -> Result<(), VolumeError> {
    let shown: String = name.chars().take(80).collect();
    let wrong = |reason: &str| Err(VolumeError::field(field, format!("{shown:?}: {reason}")));
    if name.len() > 223 {
        return wrong("is longer than 223 bytes");
    }
    let lower = name.to_ascii_lowercase();
    let good = match lower.split_once('.') {
        Some(("iqn", rest)) => iqn_is_good(rest),
        Some(("eui", rest)) => rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()),
        Some(("naa", rest)) => [16, 32].contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_hexdigit()),
        _ => false,
    };
    if good {
        return Ok(());
    }
    wrong("is not an iSCSI name; write iqn.YYYY-MM.REVERSED.DOMAIN[:NAME], eui.16HEX or naa.16HEX or 32HEX")
}

fn iqn_is_good(rest: &str) -> bool {
    let (authority, _) = rest.split_once(':').unwrap_or((rest, ""));
    let Some((date, domain)) = authority.split_once('.') else {
        return false;
    };
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let date_good = date
        .split_once('-')
        .is_some_and(|(y, m)| digits(y, 4) && digits(m, 2) && ("01"..="12").contains(&m));
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | ':');
    date_good && !domain.is_empty() && rest.chars().all(legal)
}

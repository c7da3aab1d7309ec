//! `VolumeId` and `LunKey`: stable short names of a volume and of the LUN beneath it.

use super::spec::Source;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The longest id; also a file name, so far below NAME_MAX.
const MAX_LEN: usize = 63;

/// Names one volume on this node: lower-case letters, digits, `-` and `.`, at most 63, starting with a letter or
/// digit. By default it is the text of the [`LunKey`]; a front end with handles of its own derives one per handle
/// ([`VolumeId::from_handle`]), and then several volumes may share one LUN.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId(String);

impl VolumeId {
    /// The id of a handle that somebody else chose (CSI's `volume_id`), `prefix` names who: `csi-<12 hex>`. The
    /// handle itself is never used as a path.
    pub fn from_handle(prefix: &str, handle: &str) -> Result<Self, String> {
        format!("{prefix}-{}", short_hash(&[handle.as_bytes()])).parse()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let starts = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if starts && text.len() <= MAX_LEN && text.bytes().all(legal) {
            return Ok(VolumeId(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!(
            "{shown:?} is not a volume id (lower-case letters, digits, - and ., at most {MAX_LEN})"
        ))
    }
}

impl TryFrom<String> for VolumeId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<VolumeId> for String {
    fn from(id: VolumeId) -> String {
        id.0
    }
}

impl From<&LunKey> for VolumeId {
    fn from(key: &LunKey) -> Self {
        VolumeId(key.0.clone())
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one LUN by what the specification says of it (`iscsi-<12 hex of target name and LUN number>`). It is a
/// name for files and locks, not an identity: that is the WWID, which the LUN's witness keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "VolumeId", into = "VolumeId")]
pub struct LunKey(String);

impl LunKey {
    /// The key of a source.
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Iscsi(iscsi) => Self::iscsi(&iscsi.iqn, iscsi.lun),
        }
    }

    /// The key of an iSCSI LUN. Target names compare without case (RFC 7143 §4.2.7.2: they are normalised to
    /// lower case).
    pub fn iscsi(iqn: &str, lun: u16) -> Self {
        let iqn = iqn.to_lowercase();
        LunKey(format!(
            "iscsi-{}",
            short_hash(&[iqn.as_bytes(), &lun.to_be_bytes()])
        ))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<VolumeId> for LunKey {
    fn from(id: VolumeId) -> Self {
        LunKey(id.0)
    }
}

impl From<LunKey> for VolumeId {
    fn from(key: LunKey) -> Self {
        VolumeId(key.0)
    }
}

impl fmt::Display for LunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Twelve hex digits of SHA-256 over the parts, each preceded by its length.
pub(crate) fn short_hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_differ_by_target_and_lun() {
        let a = LunKey::iscsi("iqn.2003-01.org.example:a", 0);
        assert_eq!(a.as_str(), LunKey::iscsi("IQN.2003-01.org.example:A", 0).as_str());
        assert_eq!(a.as_str().len(), "iscsi-".len() + 12);
        // Written down: another hash would orphan the journals of all nodes.
        assert_eq!(a.as_str(), "iscsi-7cdf49b43806");
        assert_ne!(a, LunKey::iscsi("iqn.2003-01.org.example:a", 1));
        assert_ne!(a, LunKey::iscsi("iqn.2003-01.org.example:a1", 0));
    }

    #[test]
    fn an_id_is_never_a_path() {
        for bad in ["", ".", "..", "a/b", "../x", "A", "a b", "-a", &"a".repeat(64)] {
            assert!(bad.parse::<VolumeId>().is_err(), "{bad:?}");
        }
        assert!("iscsi-0123.part1".parse::<VolumeId>().is_ok());
        let id = VolumeId::from_handle("csi", "../../etc/passwd").unwrap();
        assert!(id.as_str().starts_with("csi-") && !id.as_str().contains('/'));
    }
}

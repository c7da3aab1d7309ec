//! The file systems that volumes use: their types, UUIDs and the state bits that matter before a mount.

use std::fmt;
use std::str::FromStr;

/// A file system type that Longshore makes and mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FsType {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs on a single device.
    Btrfs,
}

impl FsType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A file system type that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a supported file system type; ext4, xfs and btrfs are{hint}", hint = type_hint(.0))]
pub struct UnsupportedFsType(String);

fn type_hint(name: &str) -> &'static str {
    match name {
        "ext2" | "ext3" => {
            " (convert it to ext4 by hand: tune2fs -O extents,uninit_bg,dir_index, then e2fsck -f)"
        }
        _ => "",
    }
}

impl FromStr for FsType {
    type Err = UnsupportedFsType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|t| t.name() == text)
            .ok_or_else(|| UnsupportedFsType(text.chars().take(40).collect()))
    }
}

/// The UUID of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FsUuid([u8; 16]);

/// A text that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UUID of the form 01234567-89ab-cdef-0123-456789abcdef")]
pub struct InvalidUuid(String);

impl FsUuid {
    /// The 16 bytes as they stand in the super block.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A new random UUID (RFC 9562, version 4).
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0_u8; 16];
        let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
        if filled != bytes.len() {
            return Err(std::io::Error::other("the kernel gave too few random bytes"));
        }
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(Self(bytes))
    }
}

impl fmt::Display for FsUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for FsUuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidUuid(text.chars().take(60).collect());
        let dashes = [8, 13, 18, 23];
        let shape = text.len() == 36
            && text.bytes().enumerate().all(|(i, b)| {
                if dashes.contains(&i) {
                    b == b'-'
                } else {
                    b.is_ascii_hexdigit()
                }
            });
        if !shape {
            return Err(invalid());
        }
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&hex, 16)
            .map(|n| Self(n.to_be_bytes()))
            .map_err(|_| invalid())
    }
}

/// State bits of a file system, from its super block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FsState {
    /// The journal holds what the file system has not: a read-write mount replays it, a read-only one shows an
    /// older state. `None`: the super block does not tell (xfs).
    pub needs_recovery: Option<bool>,
    /// The kernel recorded errors (ext4), or the file system is marked as in need of repair (xfs).
    pub has_errors: bool,
    /// It claims more bytes than the device has: the device shrank, or is another one.
    pub exceeds_device: bool,
}

/// A file system that a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its type.
    pub fs_type: FsType,
    /// Its UUID.
    pub uuid: FsUuid,
    /// Its label; empty when it has none. The label of a btrfs that Longshore made is the UUID of the format.
    pub label: String,
    /// Bytes that it claims of the device.
    pub size_bytes: u64,
    /// Its block size in bytes.
    pub block_size_bytes: u32,
    /// State bits.
    pub state: FsState,
}

impl FileSystem {
    /// The UUID of the format that made it ([`crate::FormatRequest::uuid`]), if Longshore did: its own UUID, but for btrfs
    /// its label, since mkfs.btrfs chooses the UUID itself. `None` for a btrfs whose label is no UUID.
    pub fn format_uuid(&self) -> Option<FsUuid> {
        match self.fs_type {
            FsType::Ext4 | FsType::Xfs => Some(self.uuid),
            FsType::Btrfs => self.label.parse().ok(),
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with UUID {}", self.fs_type, self.uuid)?;
        if !self.label.is_empty() {
            write!(f, " and label {:?}", self.label)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_goes_both_ways() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(text.parse::<FsUuid>().expect("uuid").to_string(), text);
        for wrong in [
            "",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdeg",
            "+1234567-89ab-cdef-0123-456789abcdef",
        ] {
            assert!(wrong.parse::<FsUuid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn random_uuids_differ_and_are_version_4() {
        let (a, b) = (
            FsUuid::random().expect("random"),
            FsUuid::random().expect("random"),
        );
        assert_ne!(a, b);
        assert_eq!(a.to_string().as_bytes()[14], b'4');
    }

    #[test]
    fn a_format_is_known_by_the_uuid_or_by_the_label_of_btrfs() {
        let own = FsUuid::from_bytes([1; 16]);
        let format = FsUuid::from_bytes([2; 16]);
        let made = |fs_type, label: &str| FileSystem {
            fs_type,
            uuid: own,
            label: label.to_owned(),
            size_bytes: 0,
            block_size_bytes: 4096,
            state: FsState::default(),
        };
        for fs_type in [FsType::Ext4, FsType::Xfs] {
            assert_eq!(made(fs_type, &format.to_string()).format_uuid(), Some(own));
        }
        assert_eq!(
            made(FsType::Btrfs, &format.to_string()).format_uuid(),
            Some(format)
        );
        for label in ["", "data"] {
            assert_eq!(made(FsType::Btrfs, label).format_uuid(), None);
        }
    }

    #[test]
    fn types_have_names() {
        for fs_type in FsType::ALL {
            assert_eq!(fs_type.name().parse(), Ok(fs_type));
        }
        assert!(
            "ext3"
                .parse::<FsType>()
                .expect_err("ext3")
                .to_string()
                .contains("tune2fs")
        );
    }
}

//! `DeviceNumber`: the major and minor number by which mountinfo and sysfs name a device.

use std::fmt;
use std::str::FromStr;

/// A device number (`major:minor`).
///
/// For ext4 and xfs it is the block device's; btrfs shows an anonymous one (major 0) in mountinfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// The text was not `MAJOR:MINOR`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a device number of the form MAJOR:MINOR")]
pub struct InvalidDeviceNumber(String);

impl DeviceNumber {
    /// Puts the two numbers together.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Splits a `dev_t` as `stat` gives it.
    pub fn from_dev(dev: u64) -> Self {
        Self {
            major: rustix::fs::major(dev),
            minor: rustix::fs::minor(dev),
        }
    }

    /// The number of a device node (block or character), from its own metadata; `None` for anything else.
    ///
    /// Answered from memory where a file system allows it, so that a server that is gone is not waited for.
    pub fn of_node(path: &std::path::Path) -> std::io::Result<Option<Self>> {
        use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
        let stat = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE)?;
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let device = kind.is_block_device() || kind.is_char_device();
        Ok(device.then(|| Self::new(stat.stx_rdev_major, stat.stx_rdev_minor)))
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DeviceNumber {
    type Err = InvalidDeviceNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || InvalidDeviceNumber(text.chars().take(40).collect());
        let (major, minor) = text.split_once(':').ok_or_else(wrong)?;
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse::<u32>().ok() } else { None }
        };
        Ok(Self {
            major: number(major).ok_or_else(wrong)?,
            minor: number(minor).ok_or_else(wrong)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways() {
        assert_eq!("7:128".parse(), Ok(DeviceNumber::new(7, 128)));
        assert_eq!(DeviceNumber::new(253, 0).to_string(), "253:0");
        for wrong in ["", "7", "7:", ":1", "7:1:2", "+7:1", "7: 1", "99999999999:1"] {
            assert!(wrong.parse::<DeviceNumber>().is_err(), "{wrong}");
        }
    }
}

//! The small words of the model: outcome, access, format policy, file system types, conditions.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Something was done.
    Changed,
    /// Everything was already as asked, and that was verified.
    AlreadySo,
}

impl Outcome {
    /// `Changed` if either of two parts of an operation changed something.
    #[must_use]
    pub fn and(self, other: Outcome) -> Outcome {
        if self == Outcome::Changed { self } else { other }
    }
}

/// How a volume, a stage or a publication may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// Reads and writes.
    #[default]
    ReadWrite,
    /// Reads only: a read-only device and no journal replay, or a read-only view of a read-write stage.
    ReadOnly,
}

impl Access {
    /// From Kubernetes' `readOnly` field.
    pub fn from_read_only(read_only: bool) -> Self {
        if read_only {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        }
    }

    /// Whether writes are refused.
    pub fn is_read_only(self) -> bool {
        self == Access::ReadOnly
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_read_only() {
            "read-only"
        } else {
            "read-write"
        })
    }
}

/// When a blank device may be formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FormatPolicy {
    /// Never (the default: the journal of one node cannot know what another node did).
    #[default]
    Never,
    /// When every probed byte was read and is zero, and no record says that it was ever formatted.
    IfBlank,
}

impl FromStr for FormatPolicy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(FormatPolicy::Never),
            "ifBlank" | "if-blank" => Ok(FormatPolicy::IfBlank),
            _ => Err(format!("{text:?} is not a format policy; write never or ifBlank")),
        }
    }
}

impl fmt::Display for FormatPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FormatPolicy::Never => "never",
            FormatPolicy::IfBlank => "ifBlank",
        })
    }
}

/// The file systems that Longshore mounts and, when allowed, makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs on a single device.
    Btrfs,
}

impl FsType {
    /// The kernel's name.
    pub fn as_str(self) -> &'static str {
        match self {
            FsType::Ext4 => "ext4",
            FsType::Xfs => "xfs",
            FsType::Btrfs => "btrfs",
        }
    }
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FsType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<longshore_disk::FsType>()
            .map(FsType::from)
            .map_err(|error| error.to_string())
    }
}

impl From<longshore_disk::FsType> for FsType {
    fn from(fs_type: longshore_disk::FsType) -> Self {
        match fs_type {
            longshore_disk::FsType::Ext4 => FsType::Ext4,
            longshore_disk::FsType::Xfs => FsType::Xfs,
            longshore_disk::FsType::Btrfs => FsType::Btrfs,
        }
    }
}

impl From<FsType> for longshore_disk::FsType {
    fn from(fs_type: FsType) -> Self {
        match fs_type {
            FsType::Ext4 => longshore_disk::FsType::Ext4,
            FsType::Xfs => longshore_disk::FsType::Xfs,
            FsType::Btrfs => longshore_disk::FsType::Btrfs,
        }
    }
}

/// Which data path serves the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DataPath {
    /// The best that this host has.
    #[default]
    Auto,
    /// The user-space initiator.
    User,
}

/// How bad a [`Condition`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Worth knowing; the volume works.
    Warning,
    /// The volume does not work as asked.
    Error,
}

/// Something about a volume that is not as it should be, found by comparing the journal with the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word in CamelCase, as in Kubernetes' conditions (`FileSystemAborted`, `DeviceVanished`, …).
    pub reason: String,
    /// A sentence for a person: what is wrong and what to do.
    pub message: String,
}

impl Condition {
    /// A condition that does not keep the volume from working.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Condition {
            severity: Severity::Warning,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    /// A condition that keeps the volume from working.
    pub fn error(reason: &str, message: impl Into<String>) -> Self {
        Condition {
            severity: Severity::Error,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

//! `Refusal`: why the gate says no, what stands on the device, and how to allow a format.

use std::path::PathBuf;

use crate::fs::{FileSystem, FsType, FsUuid};
use crate::probe::{Other, ProbeError};

/// Why a device is not formatted, what is there, and how to allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The content could not be read: never taken for blank.
    #[error(
        "{device} was not formatted: what it holds is unknown ({error}); mend the device or its connection, then repeat"
    )]
    Unknown {
        /// The device.
        device: PathBuf,
        /// Why.
        error: ProbeError,
    },
    /// A file system is there.
    #[error(
        "{device} was not formatted as {wanted}: it holds {found}; to use that, ask for fsType {fs_type}; to discard it, \
         wipe the device by hand (wipefs -a, then blkdiscard -z) and repeat",
        fs_type = .found.fs_type
    )]
    HoldsFileSystem {
        /// The device.
        device: PathBuf,
        /// The type that was asked for.
        wanted: FsType,
        /// What is there.
        found: FileSystem,
    },
    /// Something else is there.
    #[error(
        "{device} was not formatted: it holds {found}; Longshore formats blank devices only; if that may be lost, wipe the \
         device by hand (wipefs -a, then blkdiscard -z) and repeat"
    )]
    HoldsOther {
        /// The device.
        device: PathBuf,
        /// What is there.
        found: Other,
    },
    /// A former mkfs of ours did not end.
    #[error(
        "{device} was not formatted: an earlier format (UUID {uuid}) was interrupted and left {found}; nothing was ever stored \
         in it by this node; check that no other node uses the LUN, wipe it by hand (wipefs -a, then blkdiscard -z) and repeat"
    )]
    Interrupted {
        /// The device.
        device: PathBuf,
        /// UUID of the interrupted format.
        uuid: FsUuid,
        /// What is there.
        found: Other,
    },
    /// The volume does not allow it.
    #[error(
        "{device} is blank and was not formatted, because the volume says format: never; to let Longshore make a file system on it, \
         set format: ifBlank for this volume"
    )]
    PolicyNever {
        /// The device.
        device: PathBuf,
    },
    /// A record says that the volume held a file system.
    #[error(
        "{device} reads as blank, but this volume was formatted before (UUID {uuid}): its data is missing, not absent; \
         check the array (wrong LUN, restored snapshot, failed disk); only if the data may be lost, remove the volume's \
         record and repeat"
    )]
    FormattedBefore {
        /// The device.
        device: PathBuf,
        /// UUID of the file system that should be there.
        uuid: FsUuid,
    },
    /// The proof of identity does not fit the device.
    #[error(
        "{device} was not formatted: its identity {wwid} is not proved for the open device ({reason}); repeat the attach"
    )]
    Identity {
        /// The device.
        device: PathBuf,
        /// The WWID.
        wwid: String,
        /// What does not fit.
        reason: String,
    },
    /// The kernel refuses writes.
    #[error(
        "{device} was not formatted: it is read-only (the LUN is write-protected, or the volume is attached read-only)"
    )]
    ReadOnly {
        /// The device.
        device: PathBuf,
    },
    /// Too small for the file system.
    #[error(
        "{device} was not formatted: it has {size_bytes} bytes, and {fs_type} needs at least {minimum_bytes}; {advice}"
    )]
    TooSmall {
        /// The device.
        device: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The file system.
        fs_type: FsType,
        /// The smallest size.
        minimum_bytes: u64,
        /// What would do.
        advice: &'static str,
    },
    /// A label that the file system cannot hold.
    #[error(
        "the label {label:?} does not fit {fs_type}: at most {maximum} bytes of printable ASCII without a leading '-'"
    )]
    Label {
        /// The label.
        label: String,
        /// The file system.
        fs_type: FsType,
        /// The longest.
        maximum: usize,
    },
}

//! What the engine needs of the machine it runs on: disks and mounts. Real (`linux`) or simulated (`sim`).

mod linux;

pub use linux::LinuxHost;

use crate::backend::DeviceNumber;
use crate::error::ErrorKind;
use crate::journal::FormatMark;
use crate::model::{Access, FsType};

use std::path::{Path, PathBuf};
use std::time::Instant;

/// A line of mountinfo, as far as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Where.
    pub mount_point: PathBuf,
    /// `st_dev` of what is mounted. For btrfs this is not the block device's number.
    pub number: DeviceNumber,
    /// The file system's type.
    pub fs_type: String,
    /// What was mounted (`/dev/loop3`).
    pub source: String,
    /// This mount refuses writes.
    pub read_only: bool,
    /// The whole file system refuses writes.
    pub super_read_only: bool,
}

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Every probed byte was read and is zero.
    Blank,
    /// A file system that can be mounted.
    FileSystem {
        /// Its type.
        fs_type: FsType,
        /// Its UUID.
        uuid: String,
        /// The UUID of the format that made it, if we did: for btrfs its label, else its own UUID.
        format_uuid: Option<String>,
        /// Its journal must be replayed.
        dirty: bool,
    },
    /// Something else: a partition table, LVM, another file system, unknown bytes.
    Other {
        /// Its name.
        name: String,
    },
    /// It could not be read in full; never blank (F1).
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What the format gate is asked.
#[derive(Debug)]
pub struct FormatRequest<'a> {
    /// The device.
    pub device: &'a Path,
    /// Its number, compared after the open.
    pub number: DeviceNumber,
    /// What to make.
    pub fs_type: FsType,
    /// The UUID of the format, recorded before: what ext4 and xfs have as their UUID, btrfs as its label.
    pub uuid: &'a str,
    /// The volume allows it (`format: ifBlank`).
    pub allowed: bool,
    /// The WWID, as it was read live.
    pub wwid: &'a str,
    /// The capacity that the storage told with it.
    pub size_bytes: u64,
    /// When that was.
    pub verified_at: Instant,
    /// An earlier format by us, as the journal knows it: a complete one is a veto (F2).
    pub earlier: Option<&'a FormatMark>,
}

/// Why the format gate refused; nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatAnswer {
    /// The file system was made.
    Formatted {
        /// Its UUID; for btrfs the tool's own choice.
        uuid: String,
    },
    /// It was not, for this reason.
    Refused(String),
}

/// A file system to mount at a staging directory.
#[derive(Debug)]
pub struct MountRequest<'a> {
    /// The device.
    pub device: &'a Path,
    /// Its number, compared again.
    pub number: DeviceNumber,
    /// Its type.
    pub fs_type: FsType,
    /// The mount options, checked.
    pub options: &'a [String],
    /// Read-only: without replaying the journal.
    pub access: Access,
    /// Another file system with the same UUID is mounted (xfs: `nouuid`).
    pub uuid_clash: bool,
    /// Where; an existing empty directory.
    pub at: &'a Path,
}

/// How a mounted file system fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Live,
    /// It answers only errors, or refuses writes after an error (F9).
    Dead(String),
    /// It does not answer now; a target outage, perhaps.
    Stalled(String),
}

/// What is at a directory that is to become a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetState {
    /// An empty directory.
    Free,
    /// Something is mounted there: the top-most layer.
    Mounted(MountEntry),
}

/// What growing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// The file system's size before, in bytes.
    pub before_bytes: u64,
    /// And after.
    pub after_bytes: u64,
}

/// Disks and mounts of a machine. Every method gives up at the caller's deadline.
pub trait Host: Send + Sync {
    /// The boot's id: what the kernel holds does not outlive it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn boot_id(&self) -> Result<String, HostError>;

    /// All mounts, in the kernel's order: of several layers at one place the last is the visible one. Touches no file
    /// system.
    ///
    /// # Errors
    /// When mountinfo cannot be read.
    fn mounts(&self) -> Result<Vec<MountEntry>, HostError>;

    /// Whether a block device with this number is there and serves. Touches no remote side.
    ///
    /// # Errors
    /// When it cannot be told.
    fn device_is_there(&self, path: &Path, number: DeviceNumber) -> Result<bool, HostError>;

    /// Whether somebody has the device open exclusively: a mount, another driver, a running mkfs.
    ///
    /// # Errors
    /// When it cannot be told.
    fn is_held(&self, path: &Path) -> Result<bool, HostError>;

    /// Reads what is on a device.
    ///
    /// # Errors
    /// When the device cannot be opened, or is not the one with this number. What could not be *read* is
    /// [`Content::Unknown`].
    fn probe(&self, device: &Path, number: DeviceNumber, deadline: Instant) -> Result<Content, HostError>;

    /// Asks the format gate, which makes the file system if it says yes.
    ///
    /// # Errors
    /// When mkfs failed. A refusal is a value.
    fn format(&self, request: &FormatRequest<'_>, deadline: Instant) -> Result<FormatAnswer, HostError>;

    /// Checks the file system before a read-write mount; gives warnings.
    ///
    /// # Errors
    /// When it is damaged beyond what the tool repairs by itself.
    fn check(&self, device: &Path, fs_type: FsType, deadline: Instant) -> Result<Vec<String>, HostError>;

    /// Mounts a file system and places it; gives the entry and warnings.
    ///
    /// # Errors
    /// Also when the mount did not arrive where it was asked for.
    fn mount(
        &self,
        request: &MountRequest<'_>,
        deadline: Instant,
    ) -> Result<(MountEntry, Vec<String>), HostError>;

    /// Places a clone of a mount: at our own staging directory.
    ///
    /// # Errors
    /// As [`Host::mount`].
    fn clone_mount(
        &self,
        from: &Path,
        at: &Path,
        access: Access,
        deadline: Instant,
    ) -> Result<MountEntry, HostError>;

    /// Looks at a directory that is to become a publication.
    ///
    /// # Errors
    /// `Invalid` when it is a symbolic link, absent, no directory or not empty.
    fn target_state(&self, target: &Path) -> Result<TargetState, HostError>;

    /// Places a clone of a mount at a foreign directory, which is walked without following links.
    ///
    /// # Errors
    /// `Invalid` as [`Host::target_state`]; `Conflict` when something is mounted there.
    fn publish(
        &self,
        from: &Path,
        target: &Path,
        access: Access,
        deadline: Instant,
    ) -> Result<MountEntry, HostError>;

    /// Takes every layer off a place; gives their number. An absent place has none.
    ///
    /// # Errors
    /// When a layer stays.
    fn unmount_all(&self, at: &Path, deadline: Instant) -> Result<u32, HostError>;

    /// How a mounted file system fares; touches the file system, not beyond the deadline.
    ///
    /// # Errors
    /// When it cannot be told.
    fn health(&self, entry: &MountEntry, expected: Access, deadline: Instant) -> Result<Health, HostError>;

    /// Grows a file system that is mounted nowhere to its device, where its type can do that; `None` where it cannot,
    /// or need not.
    ///
    /// # Errors
    /// When the tool is missing or fails.
    fn grow_unmounted(
        &self,
        device: &Path,
        fs_type: FsType,
        deadline: Instant,
    ) -> Result<Option<Growth>, HostError>;

    /// Grows a mounted file system to its device.
    ///
    /// # Errors
    /// When the tool is missing or fails.
    fn grow(&self, device: &Path, fs_type: FsType, at: &Path, deadline: Instant)
    -> Result<Growth, HostError>;
}

/// Why disk or mount work failed; the text says what was tried, on what, why it failed and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// The kind.
    pub kind: ErrorKind,
    /// The text.
    pub message: String,
}

impl HostError {
    /// An error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        HostError {
            kind,
            message: message.into(),
        }
    }
}

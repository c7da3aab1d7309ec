//! The two kinds of record: a volume in use, and what a LUN was known to be.
//!
//! Each struct keeps the fields that it does not know (`extra`), so that an older program does not lose what a newer
//! one wrote.

use super::envelope::MAJOR;
use crate::backend::{DeviceKey, DeviceNumber};
use crate::model::{Access, Condition, FsType, LunKey, RecordedSpec, VolumeId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Everything that is known of a volume in use, or on its way there or back. It exists from before the first side
/// effect until after the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// Major version of the format.
    pub version: u32,
    /// The volume.
    pub id: VolumeId,
    /// What was asked for, without secrets.
    pub spec: RecordedSpec,
    /// The boot during which the fields below were true of the kernel.
    pub boot_id: String,
    /// When it was first asked for, in seconds since the epoch.
    pub created_at_s: u64,
    /// The step that is about to be taken, or was when the process died.
    #[serde(default)]
    pub pending: Option<PendingStep>,
    /// The device, from before it is attached (without a key then) until after it is detached.
    #[serde(default)]
    pub device: Option<DeviceRecord>,
    /// A raw block device was asked for by `attach`.
    #[serde(default)]
    pub block: Option<BlockUse>,
    /// The staged mount, from before it is made until after it is gone.
    #[serde(default)]
    pub staging: Option<StagingRecord>,
    /// `stage` was asked for explicitly, so the last unpublish leaves it.
    #[serde(default)]
    pub keep_staged: bool,
    /// Where it is, or is about to be, published.
    #[serde(default)]
    pub publications: Vec<PublicationRecord>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl VolumeRecord {
    /// A record of a volume of which nothing was done yet.
    pub fn new(id: VolumeId, spec: RecordedSpec, boot_id: String, created_at_s: u64) -> Self {
        VolumeRecord {
            version: MAJOR,
            id,
            spec,
            boot_id,
            created_at_s,
            pending: None,
            device: None,
            block: None,
            staging: None,
            keep_staged: false,
            publications: Vec::new(),
            extra: Map::new(),
        }
    }

    /// The LUN beneath it.
    pub fn lun_key(&self) -> LunKey {
        self.spec.source.lun_key()
    }

    /// Whether somebody was given the volume: its parameters cannot change then. An interrupted attach alone is no
    /// use yet.
    pub fn is_in_use(&self) -> bool {
        self.block.is_some()
            || self
                .staging
                .as_ref()
                .is_some_and(|staging| staging.number.is_some())
            || self.publications.iter().any(|publication| publication.verified)
    }

    /// Drops what was true of the kernel before a reboot. Publications stay, as what somebody asked for and does
    /// not have any more, until they are taken back or made again.
    pub fn drop_kernel_state(&mut self, boot_id: &str) {
        boot_id.clone_into(&mut self.boot_id);
        self.pending = None;
        self.device = None;
        self.block = None;
        self.staging = None;
        self.keep_staged = false;
        for publication in &mut self.publications {
            publication.verified = false;
        }
    }
}

/// A step that is about to be taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingStep {
    /// Its name; a text, because a newer version may know more steps.
    pub step: String,
    /// Who takes it.
    pub pid: u32,
    /// Since when, in seconds since the epoch.
    pub since_s: u64,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An attached device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRecord {
    /// Its name for the backend.
    pub key: DeviceKey,
    /// The device node.
    pub path: PathBuf,
    /// Its number.
    pub number: DeviceNumber,
    /// It refuses writes.
    pub read_only: bool,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A raw block device that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockUse {
    /// The stable link to the device node.
    pub link: PathBuf,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A mount at the staging directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagingRecord {
    /// The staging directory.
    pub path: PathBuf,
    /// The file system.
    pub fs_type: FsType,
    /// Its UUID.
    pub fs_uuid: String,
    /// `st_dev` of the mount, once it is verified (for btrfs not the device's number).
    #[serde(default)]
    pub number: Option<DeviceNumber>,
    /// Read-only or read-write.
    pub access: Access,
    /// What the mount or the check said.
    #[serde(default)]
    pub warnings: Vec<Condition>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A clone of the staged mount at a foreign directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicationRecord {
    /// The directory.
    pub target: PathBuf,
    /// Read-only or read-write.
    pub access: Access,
    /// Who asked for it (a pod, a person).
    #[serde(default)]
    pub owner: String,
    /// Seen in the kernel after the step.
    #[serde(default)]
    pub verified: bool,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The durable witness of a LUN: what it was known to be. It outlives detach and reboot; only `forget` ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LunRecord {
    /// Major version of the format.
    pub version: u32,
    /// The LUN.
    pub lun: LunKey,
    /// The WWID that was read at the last use.
    #[serde(default)]
    pub wwid: Option<String>,
    /// The UUID of the file system that was mounted at the last use, or that we made.
    #[serde(default)]
    pub fs_uuid: Option<String>,
    /// That file system's type.
    #[serde(default)]
    pub fs_type: Option<FsType>,
    /// The device's capacity at the last use, in bytes: a smaller one is another disk or a damaged one.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// A format by us that was begun; never taken back (F2).
    #[serde(default)]
    pub formatted: Option<FormatMark>,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl LunRecord {
    /// A record that knows nothing yet.
    pub fn new(lun: LunKey) -> Self {
        LunRecord {
            version: MAJOR,
            lun,
            wwid: None,
            fs_uuid: None,
            fs_type: None,
            size_bytes: None,
            formatted: None,
            extra: Map::new(),
        }
    }
}

/// A format by us: written before mkfs runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormatMark {
    /// The WWID of what was formatted.
    pub wwid: String,
    /// What was made.
    pub fs_type: FsType,
    /// Until it is complete the UUID of the format; then that of the file system (another one for btrfs).
    pub fs_uuid: String,
    /// When it was begun, in seconds since the epoch.
    pub begun_at_s: u64,
    /// mkfs ended well.
    #[serde(default)]
    pub complete: bool,
    /// Fields of a newer version.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl FormatMark {
    /// mkfs ended well, and this is the UUID of what it made.
    pub fn complete_with(&mut self, fs_uuid: &str) {
        fs_uuid.clone_into(&mut self.fs_uuid);
        self.complete = true;
    }
}

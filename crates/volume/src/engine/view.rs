//! What `list` and `show` tell of a volume: the journal compared with the kernel.

use crate::backend::{Device, DeviceNumber};
use crate::journal::LunRecord;
use crate::lock::Holder;
use crate::model::{Access, Condition, FsType, LunKey, RecordedSpec, VolumeId};
use serde::Serialize;
use std::path::PathBuf;

/// A volume as it is now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeView {
    /// The volume.
    pub id: VolumeId,
    /// The LUN beneath it.
    pub lun: LunKey,
    /// How far it is.
    pub state: VolumeState,
    /// What was asked for; `None` when its record is damaged or it is not in use.
    pub spec: Option<RecordedSpec>,
    /// When it was first asked for, in seconds since the epoch.
    pub created_at_s: Option<u64>,
    /// The device.
    pub device: Option<DeviceView>,
    /// The stable link, for a raw block device.
    pub link: Option<PathBuf>,
    /// The staged mount.
    pub staging: Option<StagingView>,
    /// Where it is published.
    pub publications: Vec<PublicationView>,
    /// What the LUN was known to be.
    pub witness: Option<LunRecord>,
    /// Who works on it now, at which step, for how long.
    pub operation: Option<Holder>,
    /// The step at which an earlier call ended early; the same or the opposite call goes on from there.
    pub interrupted_at: Option<String>,
    /// What is not as it should be.
    pub conditions: Vec<Condition>,
}

/// How far a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeState {
    /// Not in use; only its LUN's witness is known.
    Detached,
    /// On its way: an interrupted or running call.
    Partial,
    /// The device is there, nothing is mounted.
    Attached,
    /// Mounted at its staging directory.
    Staged,
    /// In at least one directory.
    Published,
    /// Its record cannot be read.
    Damaged,
}

/// The device of a volume.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// The device node.
    pub path: PathBuf,
    /// Its number.
    pub number: DeviceNumber,
    /// Its identity.
    pub wwid: String,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// It refuses writes.
    pub access: Access,
    /// The backend and the kernel have it now.
    pub is_there: bool,
    /// How its session fares, for people.
    pub session: Option<String>,
    /// Vendor, product and serial number.
    pub description: Option<String>,
}

/// The staged mount of a volume.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagingView {
    /// The staging directory.
    pub path: PathBuf,
    /// The file system.
    pub fs_type: FsType,
    /// Its UUID.
    pub fs_uuid: String,
    /// Read-only or read-write.
    pub access: Access,
    /// mountinfo shows it now.
    pub is_mounted: bool,
}

/// A publication of a volume.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicationView {
    /// The directory.
    pub target: PathBuf,
    /// Read-only or read-write.
    pub access: Access,
    /// Who asked for it.
    pub owner: String,
    /// mountinfo shows this volume there now.
    pub is_mounted: bool,
}

/// What `reconcile` found. It changes nothing (F6).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Every volume in use.
    pub volumes: Vec<VolumeView>,
    /// Attached devices that no volume accounts for, for people.
    pub orphan_devices: Vec<String>,
    /// Mounts beneath the staging root that no volume accounts for.
    pub orphan_mounts: Vec<PathBuf>,
    /// What could not be looked at, and why.
    pub unknown: Vec<String>,
}

impl DeviceView {
    pub(crate) fn of(device: &Device) -> Self {
        DeviceView {
            path: device.path.clone(),
            number: device.number,
            wwid: device.key.wwid.clone(),
            size_bytes: device.size_bytes,
            access: Access::from_read_only(device.read_only),
            is_there: true,
            session: Some(device.session.clone()),
            description: Some(device.description.clone()),
        }
    }
}

//! What the engine's operations answer.

use crate::backend::DeviceNumber;
use crate::model::{Access, Condition, FsType, VolumeId};
use serde::Serialize;
use std::path::PathBuf;

/// A device that is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedVolume {
    /// The volume.
    pub id: VolumeId,
    /// The device node.
    pub device: PathBuf,
    /// The stable link to it, for a raw block device.
    pub link: Option<PathBuf>,
    /// Its number.
    pub number: DeviceNumber,
    /// Its identity, read live.
    pub wwid: String,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// It refuses writes.
    pub access: Access,
}

/// A file system that is mounted at its staging directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedVolume {
    /// The device beneath it.
    pub device: AttachedVolume,
    /// The staging directory.
    pub staging_path: PathBuf,
    /// The file system.
    pub fs_type: FsType,
    /// Its UUID.
    pub fs_uuid: String,
    /// Read-only or read-write.
    pub access: Access,
    /// This call made the file system.
    pub formatted: bool,
    /// What the check, the mount or the volume's state gave reason to say.
    pub warnings: Vec<Condition>,
}

/// A volume at a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedVolume {
    /// The volume.
    pub id: VolumeId,
    /// The directory.
    pub target: PathBuf,
    /// Read-only or read-write.
    pub access: Access,
    /// `st_dev` there, as verified in mountinfo.
    pub number: DeviceNumber,
}

/// What [`Engine::mount`](super::Engine::mount) made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountedVolume {
    /// The stage.
    pub staged: StagedVolume,
    /// The publication.
    pub published: PublishedVolume,
}

/// What growing a volume did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grown {
    /// Capacity of the device in bytes, read anew.
    pub device_bytes: u64,
    /// The file system's size before and after, in bytes; `None` for a raw block device.
    pub fs_bytes: Option<(u64, u64)>,
}

//! The state of a simulated machine: LUNs, devices, mounts, and what was done to them that must not be.

use crate::backend::DeviceNumber;
use crate::model::{FsType, LunKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The major number of simulated devices.
const MAJOR: u32 = 7;

/// The machine and its storage.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct World {
    /// Counts the boots.
    pub boot: u32,
    /// The storage: it outlives a reboot.
    pub luns: BTreeMap<String, SimLun>,
    /// Attached devices.
    pub devices: Vec<SimDevice>,
    /// Mounts, in the order in which they were made.
    pub mounts: Vec<SimMount>,
    /// The next device's minor number.
    pub next_minor: u32,
    /// How often a device was made.
    pub attached: u32,
    /// How often a file system was made.
    pub formatted: u32,
    /// How often a file system (not a clone) was mounted.
    pub mounted: u32,
    /// What the engine did that it must never do.
    pub violations: Vec<String>,
    /// The next call of the host's mount fails so often.
    pub fail_mounts: u32,
    /// The next publications arrive nowhere so often, and yet answer well (F8).
    pub lose_publications: u32,
    /// The next attach stops here after it was begun, until somebody takes the mark away.
    pub hold_attach: Hold,
    /// The same for the next detach.
    pub hold_detach: Hold,
    /// The backend does not look at the expected WWID.
    pub trusts_blindly: bool,
    /// The next unmounts fail so often.
    pub fail_unmounts: u32,
}

/// Stops an operation in its middle, so that a test can do something else meanwhile.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// It goes through.
    #[default]
    No,
    /// The next one will stop.
    Next,
    /// One has stopped here.
    Reached,
}

/// A LUN of a simulated target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimLun {
    /// The target's name.
    pub target: String,
    /// Its identity.
    pub wwid: String,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// The target refuses writes.
    pub read_only: bool,
    /// The target does not answer.
    pub unreachable: bool,
    /// What is on it.
    pub disk: Disk,
    /// The test allows a format; one that happens without is a violation.
    pub may_format: bool,
}

/// What is on a simulated disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disk {
    /// Zeros.
    Blank,
    /// A file system.
    Fs(SimFs),
    /// Something else, by its name.
    Other(String),
    /// Reads fail.
    Unreadable,
}

/// A simulated file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimFs {
    /// Its type.
    pub fs_type: FsType,
    /// Its UUID.
    pub uuid: String,
    /// Its label; empty when it has none.
    pub label: String,
    /// It was not unmounted cleanly.
    pub dirty: bool,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// An attached simulated device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimDevice {
    /// The LUN's key.
    pub lun: LunKey,
    /// The target's name.
    pub target: String,
    /// The identity at the time of the attach.
    pub wwid: String,
    /// Its number.
    pub minor: u32,
    /// It refuses writes.
    pub read_only: bool,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// A process has it open.
    pub held: bool,
}

/// A simulated mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimMount {
    /// Where.
    pub at: PathBuf,
    /// The device.
    pub minor: u32,
    /// The file system's type.
    pub fs_type: FsType,
    /// This mount refuses writes.
    pub read_only: bool,
    /// The whole file system refuses writes.
    pub super_read_only: bool,
    /// The file system answers only errors.
    pub dead: bool,
}

impl World {
    /// Adds a LUN with a WWID of its own.
    pub fn add_lun(&mut self, iqn: &str, number: u16, disk: Disk) -> LunKey {
        let key = LunKey::iscsi(iqn, number);
        let lun = SimLun {
            target: iqn.to_owned(),
            wwid: format!("naa.6{:031x}", self.luns.len() + 1),
            size_bytes: 64 << 20,
            read_only: false,
            unreachable: false,
            may_format: disk == Disk::Blank,
            disk,
        };
        self.luns.insert(key.to_string(), lun);
        key
    }

    /// A LUN that was added.
    ///
    /// # Panics
    /// When it was not.
    pub fn lun(&mut self, key: &LunKey) -> &mut SimLun {
        match self.luns.get_mut(key.as_str()) {
            Some(lun) => lun,
            None => panic!("there is no LUN {key}"),
        }
    }

    /// The machine loses power and starts again.
    pub fn reboot(&mut self) {
        self.boot += 1;
        self.devices.clear();
        self.mounts.clear();
    }

    /// A device disappears under its mounts.
    pub fn lose_device(&mut self, key: &LunKey) {
        let minors: Vec<u32> = self
            .devices
            .iter()
            .filter(|d| d.lun == *key)
            .map(|d| d.minor)
            .collect();
        self.devices.retain(|device| device.lun != *key);
        for mount in self
            .mounts
            .iter_mut()
            .filter(|mount| minors.contains(&mount.minor))
        {
            mount.dead = true;
        }
    }

    /// The mounts at a place, the visible one last.
    pub fn at(&self, place: &Path) -> Vec<&SimMount> {
        self.mounts.iter().filter(|mount| mount.at == place).collect()
    }

    /// The mounts of a LUN's device.
    pub fn mounts_of(&self, key: &LunKey) -> Vec<&SimMount> {
        let minors: Vec<u32> = self
            .devices
            .iter()
            .filter(|d| d.lun == *key)
            .map(|d| d.minor)
            .collect();
        self.mounts
            .iter()
            .filter(|mount| minors.contains(&mount.minor))
            .collect()
    }

    pub(super) fn number(minor: u32) -> DeviceNumber {
        DeviceNumber { major: MAJOR, minor }
    }

    pub(super) fn path(minor: u32) -> PathBuf {
        PathBuf::from(format!("/dev/sim{minor}"))
    }

    pub(super) fn device(&self, minor: u32) -> Option<&SimDevice> {
        self.devices.iter().find(|device| device.minor == minor)
    }

    /// The disk behind a device, while the LUN is still the same disk.
    pub(super) fn disk(&mut self, minor: u32) -> Option<&mut SimLun> {
        let device = self.device(minor)?.clone();
        self.luns
            .get_mut(device.lun.as_str())
            .filter(|lun| lun.wwid == device.wwid)
    }

    /// Takes all mounts off a place, as a person may do too; a file system that nobody mounts any more is clean then.
    pub fn unmount(&mut self, place: &Path) -> u32 {
        let gone: Vec<SimMount> = self.at(place).into_iter().cloned().collect();
        self.mounts.retain(|mount| mount.at != place);
        for mount in &gone {
            let still = self.mounts.iter().any(|other| other.minor == mount.minor);
            if let (false, false, Some(lun)) = (still, mount.dead, self.disk(mount.minor)) {
                if let Disk::Fs(fs) = &mut lun.disk {
                    fs.dirty = false;
                }
            }
        }
        u32::try_from(gone.len()).unwrap_or(u32::MAX)
    }
}

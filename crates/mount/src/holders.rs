//! Who holds a file system or a block device: processes, mount namespaces, other block devices (F36).
//!
//! Only procfs and sysfs are read. Links are read, never followed into the file system, so that one whose
//! server or device is dead cannot hang the scan. A process that is stuck in the kernel with its memory map locked can
//! hang who reads its maps: so the scan runs in a thread that is left behind at the deadline. Such a wait ends with
//! the process that waits, so it does not keep ours from ending.

mod scan;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::device::DeviceNumber;
use crate::mountinfo::{NamespaceMounts, ScanLimits, everywhere};

/// The most holders that are kept and that an error text names.
const MAX_KEPT: usize = 64;
const MAX_NAMED: usize = 8;
/// How long after its deadline a scan that notices it by itself is waited for.
const SCAN_GRACE: Duration = Duration::from_millis(500);

/// By what a process holds a file system or device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldKind {
    /// Its working directory.
    WorkingDirectory,
    /// Its root directory.
    Root,
    /// Its program file.
    Program,
    /// An open file or directory.
    OpenFile,
    /// A mapped file.
    Mapping,
    /// The block device itself, opened.
    BlockDevice,
}

/// One process that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process number.
    pub pid: u32,
    /// Its command name.
    pub command: String,
    /// How it holds.
    pub kind: HoldKind,
    /// Which path, as that process sees it.
    pub path: PathBuf,
}

/// One mount of the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountHolder {
    /// Inode of the mount namespace.
    pub namespace: u64,
    /// A process of that namespace.
    pub pid: u32,
    /// Its command name.
    pub command: String,
    /// Where it is mounted there.
    pub mount_point: PathBuf,
}

/// Everything that was found to hold a file system or a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// Processes.
    pub processes: Vec<Holder>,
    /// Mounts in any namespace.
    pub mounts: Vec<MountHolder>,
    /// Block devices stacked on it (device-mapper, md, loop), and swap.
    pub devices: Vec<String>,
    /// Whether the scan reached a limit, so that there may be more.
    pub incomplete: bool,
}

impl Holders {
    /// Whether nobody was found.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.mounts.is_empty() && self.devices.is_empty()
    }

    /// Leaves out one mount: the one that the caller knows of.
    pub(crate) fn without_mount(mut self, namespace: u64, path: &std::path::Path) -> Self {
        self.mounts
            .retain(|m| m.namespace != namespace || m.mount_point != path);
        self
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for holder in &self.processes {
            let how = match holder.kind {
                HoldKind::WorkingDirectory => "has its working directory at",
                HoldKind::Root => "has its root at",
                HoldKind::Program => "runs",
                HoldKind::OpenFile => "has open",
                HoldKind::Mapping => "has mapped",
                HoldKind::BlockDevice => "has the block device open as",
            };
            parts.push(format!(
                "process {} ({}) {how} {}",
                holder.pid,
                holder.command,
                holder.path.display()
            ));
        }
        for mount in &self.mounts {
            parts.push(format!(
                "it is mounted at {} in the mount namespace of process {} ({})",
                mount.mount_point.display(),
                mount.pid,
                mount.command
            ));
        }
        parts.extend(self.devices.iter().cloned());
        let more = parts.len().saturating_sub(MAX_NAMED);
        parts.truncate(MAX_NAMED);
        match (parts.is_empty(), more, self.incomplete) {
            (true, _, true) => f.write_str("no holder was found before the scan's limits were reached"),
            (true, _, false) => f.write_str("no process was found to hold it (the kernel itself may)"),
            (false, 0, false) => f.write_str(&parts.join("; ")),
            (false, more, _) => write!(f, "{}; and {more} or more others", parts.join("; ")),
        }
    }
}

/// Looks through all processes and mount namespaces for holders of the file systems or block devices `devices`
/// (for btrfs give both the block device's number and the anonymous one of mountinfo).
///
/// The calling process itself is not listed. Answers within a moment after the limits' deadline.
pub fn holders_of(devices: &[DeviceNumber], limits: &ScanLimits) -> Holders {
    let (devices, limits) = (devices.to_vec(), *limits);
    let latest = limits.deadline + SCAN_GRACE;
    let unknown = Holders {
        incomplete: true,
        ..Holders::default()
    };
    until(latest, move || scan_for(&devices, &limits)).unwrap_or(unknown)
}

/// Runs `work` in a thread of the caller's mount namespace; `None` when it is late.
fn until<T: Send + 'static>(latest: Instant, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let job = move || {
        // Nobody listens any more when it is late.
        let _ = send.send(work());
    };
    std::thread::Builder::new()
        .name("holders".into())
        .spawn(job)
        .ok()?;
    receive
        .recv_timeout(latest.saturating_duration_since(Instant::now()))
        .ok()
}

fn scan_for(devices: &[DeviceNumber], limits: &ScanLimits) -> Holders {
    let mut holders = Holders::default();
    let (tables, complete) = everywhere(limits);
    holders.incomplete = !complete;
    let mut found_mounts = Vec::new();
    for table in &tables {
        for entry in table.info.entries().iter().filter(|e| e.belongs_to(devices)) {
            found_mounts.push((table, entry));
        }
    }
    for (table, entry) in found_mounts.iter().take(MAX_KEPT) {
        holders.mounts.push(MountHolder {
            namespace: table.inode,
            pid: table.pid,
            command: scan::command(table.pid),
            mount_point: entry.mount_point.clone(),
        });
    }
    let mut anonymous: Vec<DeviceNumber> = devices.to_vec();
    anonymous.extend(found_mounts.iter().map(|(_, e)| e.device));
    anonymous.sort_unstable();
    anonymous.dedup();
    scan::processes(&anonymous, &tables, limits, &mut holders);
    holders.devices = scan::stacked_devices(devices, &found_mounts);
    holders
}

pub(crate) type FoundMounts<'a> = [(&'a NamespaceMounts, &'a crate::mountinfo::MountEntry)];

#[cfg(test)]
mod tests {
    use super::*;

    /// F34, F36: a scan that is stuck in the kernel does not stop its caller.
    /// Part of the proof of F13.
    #[test]
    fn f34_a_scan_that_hangs_is_left_behind() {
        let (_keep, hang) = std::sync::mpsc::channel::<()>();
        let late = until(Instant::now() + Duration::from_millis(50), move || {
            // Never answers while `_keep` lives.
            let _ = hang.recv();
        });
        assert_eq!(late, None);
        assert_eq!(until(Instant::now() + Duration::from_secs(60), || 7), Some(7));
    }
}

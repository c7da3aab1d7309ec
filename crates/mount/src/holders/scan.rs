//! The scan of `/proc` and `/sys` behind `holders_of`.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{FoundMounts, HoldKind, Holder, Holders, MAX_KEPT};
use crate::device::DeviceNumber;
use crate::mountinfo::{MountInfo, NamespaceMounts, ScanLimits};

/// The most bytes of a process's maps that are looked at.
const MAX_MAPS_BYTES: u64 = 4 << 20;

/// The command name of a process, or `?`.
pub(super) fn command(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "?".to_owned(), |t| t.trim_end().to_owned())
}

struct Scan<'a> {
    devices: &'a [DeviceNumber],
    tables: HashMap<u64, &'a MountInfo>,
    limits: &'a ScanLimits,
    files: usize,
}

/// Fills in the processes.
pub(super) fn processes(
    devices: &[DeviceNumber],
    tables: &[NamespaceMounts],
    limits: &ScanLimits,
    holders: &mut Holders,
) {
    let tables = tables.iter().map(|t| (t.inode, &t.info)).collect();
    let mut scan = Scan {
        devices,
        tables,
        limits,
        files: 0,
    };
    let (pids, complete) = crate::mountinfo::processes(limits);
    holders.incomplete |= !complete;
    for pid in pids {
        if pid == std::process::id() {
            continue;
        }
        if limits.expired() || holders.processes.len() >= MAX_KEPT || scan.files >= limits.files {
            holders.incomplete = true;
            return;
        }
        if let Some((kind, path)) = scan.holds(pid) {
            holders.processes.push(Holder {
                pid,
                command: command(pid),
                kind,
                path,
            });
        }
    }
}

impl Scan<'_> {
    /// The first way in which a process holds one of the devices.
    fn holds(&mut self, pid: u32) -> Option<(HoldKind, PathBuf)> {
        let proc = Path::new("/proc").join(pid.to_string());
        let namespace = std::fs::metadata(proc.join("ns/mnt")).ok().map(|m| m.ino());
        let table = namespace.and_then(|inode| self.tables.get(&inode).copied());
        let links = [
            ("cwd", HoldKind::WorkingDirectory),
            ("root", HoldKind::Root),
            ("exe", HoldKind::Program),
        ];
        for (name, kind) in links {
            // The link's text is a path in that process's namespace; it is looked up in its mount table.
            let Ok(path) = std::fs::read_link(proc.join(name)) else {
                continue;
            };
            if table
                .and_then(|t| t.containing(&path))
                .is_some_and(|e| self.devices.contains(&e.device))
            {
                return Some((kind, path));
            }
        }
        self.open_file(&proc, table).or_else(|| self.mapping(&proc))
    }

    fn open_file(&mut self, proc: &Path, table: Option<&MountInfo>) -> Option<(HoldKind, PathBuf)> {
        for entry in std::fs::read_dir(proc.join("fd")).ok()?.flatten() {
            self.files += 1;
            if self.files >= self.limits.files || self.limits.expired() {
                return None;
            }
            let Ok(path) = std::fs::read_link(entry.path()) else {
                continue;
            };
            if !path.is_absolute() {
                continue;
            }
            // A device node lies on /dev, never on the file system that is looked for, so its metadata is safe to ask.
            let node = if path.starts_with("/dev") {
                DeviceNumber::of_node(&entry.path()).ok().flatten()
            } else {
                None
            };
            if node.is_some_and(|device| self.devices.contains(&device)) {
                return Some((HoldKind::BlockDevice, path));
            }
            let mount_id = std::fs::read_to_string(proc.join("fdinfo").join(entry.file_name()))
                .ok()
                .and_then(|text| {
                    text.lines()
                        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u64>().ok())
                });
            let mount = mount_id.and_then(|id| table?.by_id(id));
            if mount.is_some_and(|e| self.devices.contains(&e.device)) {
                return Some((HoldKind::OpenFile, path));
            }
        }
        None
    }

    /// `address perms offset MAJOR:MINOR inode path`, the device number in hexadecimal (proc(5)).
    fn mapping(&self, proc: &Path) -> Option<(HoldKind, PathBuf)> {
        use std::io::Read;
        let mut maps = Vec::new();
        std::fs::File::open(proc.join("maps"))
            .ok()?
            .take(MAX_MAPS_BYTES)
            .read_to_end(&mut maps)
            .ok()?;
        maps.split(|b| *b == b'\n').find_map(|line| {
            let mut words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
            let (major, minor) = std::str::from_utf8(words.nth(3)?).ok()?.split_once(':')?;
            let hex = |t| u32::from_str_radix(t, 16).ok();
            let device = DeviceNumber::new(hex(major)?, hex(minor)?);
            let path = words.nth(1)?;
            self.devices.contains(&device).then(|| {
                (
                    HoldKind::Mapping,
                    PathBuf::from(std::ffi::OsStr::from_bytes(path)),
                )
            })
        })
    }
}

/// Devices that the kernel stacks on these (sysfs `holders`), loop devices on files of their file systems, and swap.
pub(super) fn stacked_devices(devices: &[DeviceNumber], mounts: &FoundMounts<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for device in devices.iter().filter(|d| d.major != 0) {
        let Ok(holders) = std::fs::read_dir(format!("/sys/dev/block/{device}/holders")) else {
            continue;
        };
        for holder in holders.flatten().take(MAX_KEPT) {
            found.push(format!(
                "block device {} is built on it",
                holder.file_name().to_string_lossy()
            ));
        }
    }
    for (name, file) in loop_files() {
        if mounts
            .iter()
            .any(|(_, m)| m.mount_point != Path::new("/") && file.starts_with(&m.mount_point))
        {
            found.push(format!("loop device {name} uses its file {}", file.display()));
        }
    }
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    for line in swaps.lines().skip(1).take(MAX_KEPT) {
        let Some(name) = line.split_whitespace().next() else {
            continue;
        };
        let on_device = name.starts_with("/dev")
            && DeviceNumber::of_node(Path::new(name))
                .ok()
                .flatten()
                .is_some_and(|d| devices.contains(&d));
        if on_device {
            found.push(format!("it is swap space ({name})"));
        }
    }
    found
}

fn loop_files() -> Vec<(String, PathBuf)> {
    let Ok(dir) = std::fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let loops = dir
        .flatten()
        .filter(|e| e.file_name().as_bytes().starts_with(b"loop"))
        .take(1 << 14);
    loops
        .filter_map(|entry| {
            let file = std::fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            Some((
                entry.file_name().to_string_lossy().into_owned(),
                PathBuf::from(file.trim_end()),
            ))
        })
        .collect()
}

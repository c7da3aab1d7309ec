//! The mount tables of all mount namespaces of the system, each once, to find who still holds a file system (F36).

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::MountInfo;
use crate::namespace::MountNamespace;

/// Bounds of a scan of `/proc`.
#[derive(Debug, Clone, Copy)]
pub struct ScanLimits {
    /// The most processes that are looked at.
    pub processes: usize,
    /// The most namespaces whose table is read.
    pub namespaces: usize,
    /// The most open files that are looked at, over all processes.
    pub files: usize,
    /// When to stop.
    pub deadline: Instant,
}

impl ScanLimits {
    /// Limits that fit a large node, until `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Self {
            processes: 1 << 16,
            namespaces: 1 << 13,
            files: 1 << 19,
            deadline,
        }
    }

    pub(crate) fn expired(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// The mounts of one namespace and a process that lives in it.
#[derive(Debug, Clone)]
pub struct NamespaceMounts {
    /// Inode number of the namespace (`mnt:[…]`).
    pub inode: u64,
    /// A process of that namespace.
    pub pid: u32,
    /// Its mounts.
    pub info: MountInfo,
}

/// Reads the mount table of every namespace that some process lives in.
///
/// Returns the tables, and whether all were read (`false`: a limit was reached or a table was unreadable).
/// Processes that end meanwhile are passed over. Namespaces that only a descriptor keeps alive are not seen.
pub fn everywhere(limits: &ScanLimits) -> (Vec<NamespaceMounts>, bool) {
    let mut seen = HashSet::new();
    let mut tables = Vec::new();
    // The calling thread may live in a namespace that no process is in by its first thread.
    if let Ok(own) = MountNamespace::own() {
        if let Ok(info) = MountInfo::read(&own) {
            seen.insert(own.inode());
            tables.push(NamespaceMounts {
                inode: own.inode(),
                pid: std::process::id(),
                info,
            });
        }
    }
    let (pids, mut complete) = processes(limits);
    for pid in pids {
        if limits.expired() || tables.len() >= limits.namespaces {
            return (tables, false);
        }
        let proc = Path::new("/proc").join(pid.to_string());
        let Ok(meta) = std::fs::metadata(proc.join("ns/mnt")) else {
            continue;
        };
        if !seen.insert(meta.ino()) {
            continue;
        }
        match MountInfo::read_file(&proc.join("mountinfo")) {
            Ok(info) => tables.push(NamespaceMounts {
                inode: meta.ino(),
                pid,
                info,
            }),
            Err(_) if !proc.exists() => {
                // The process ended; another one of its namespace may follow.
                seen.remove(&meta.ino());
            }
            Err(_) => complete = false,
        }
    }
    (tables, complete)
}

/// The numbers of all processes, and whether all fit the limits.
pub(crate) fn processes(limits: &ScanLimits) -> (Vec<u32>, bool) {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return (Vec::new(), false);
    };
    let mut pids = Vec::new();
    for entry in dir.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        if pids.len() >= limits.processes || limits.expired() {
            return (pids, false);
        }
        pids.push(pid);
    }
    (pids, true)
}

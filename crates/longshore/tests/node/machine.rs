//! What is on the machine: mounts, processes and loop devices, read from the kernel and not from Longshore.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Processes whose command line names `folder`, this one excepted.
pub fn processes_naming(folder: &Path) -> Vec<(u32, String)> {
    let needle = folder.to_string_lossy().into_owned();
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pid != own && line.contains(&needle) {
            found.push((pid, line.trim().to_owned()));
        }
    }
    found
}

/// Mount points at or below `folder`, the latest first.
pub fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(field.replace("\\040", " ")))
        .filter(|path| path.starts_with(folder))
        .collect();
    found.reverse();
    found
}

/// The options, the file system and the source of the mount at `target`.
pub fn mount_at(target: &Path) -> Option<Mounted> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table
        .lines()
        .rev()
        .find(|line| line.split(' ').nth(4).is_some_and(|f| Path::new(f) == target))?;
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    Some(Mounted {
        device: before.split(' ').nth(2)?.to_owned(),
        options: before.split(' ').nth(5)?.to_owned(),
        fs_type: after.next()?.to_owned(),
        source: after.next()?.to_owned(),
        super_options: after.next()?.to_owned(),
    })
}

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// `MAJOR:MINOR`.
    pub device: String,
    pub options: String,
    pub fs_type: String,
    pub source: String,
    pub super_options: String,
}

/// Loop devices whose backing file, as losetup shows it, names `folder`, or whose FUSE server does.
pub fn loops_served_by(folder: &Path) -> Vec<String> {
    let needle = folder.to_string_lossy().into_owned();
    loops()
        .into_iter()
        .filter(|(_, backing)| backing.contains(&needle))
        .map(|(name, _)| name)
        .collect()
}

/// Every configured loop device with its backing file.
pub fn loops() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("loop") {
            continue;
        }
        if let Ok(backing) = std::fs::read_to_string(entry.path().join("loop/backing_file")) {
            found.push((format!("/dev/{name}"), backing.trim().to_owned()));
        }
    }
    found.sort();
    found
}

/// Sends SIGKILL to one process.
pub fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
}

/// Ends the processes that name `run_dir` and unmounts what is below `folder`.
///
/// In this order: without its server a device answers at once (EIO); with a server whose array is gone already, an
/// unmount would wait for the array.
pub fn take_down(folder: &Path, run_dir: &Path) {
    // Each of `hold` and the data plane starts the other again, so it may take more than one round.
    for _ in 0..50 {
        let mut left = processes_naming(run_dir);
        if left.is_empty() {
            break;
        }
        left.sort_by_key(|(_, line)| !line.contains(" hold"));
        for (pid, _) in left {
            kill(pid);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for target in mounts_below(folder) {
        let _ = Command::new("umount").arg("--lazy").arg(&target).status();
    }
}

//! Names who uses a block device, as far as /proc and /sys show it. Only a hint: the proof is an exclusive open.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::proto::Holder;

/// An error that names more is not easier to read.
const MAX_HOLDERS: usize = 16;

/// Everybody who can be found; runs for some milliseconds on a host with many processes.
pub(super) fn find(major: u32, minor: u32) -> Vec<Holder> {
    let mut found = stacked(major, minor);
    let mut namespaces = HashSet::new();
    let own = std::process::id();
    for pid in processes() {
        if found.len() >= MAX_HOLDERS {
            break;
        }
        let name = command(pid);
        let namespace = std::fs::read_link(format!("/proc/{pid}/ns/mnt")).map(OsString::from);
        if namespace.is_ok_and(|namespace| namespaces.insert(namespace)) {
            let text = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            found.extend(mounted(&text, major, minor).into_iter().map(|place| Holder {
                pid: None,
                description: format!("mounted at {place} in the mount namespace of process {pid} ({name})"),
            }));
        }
        if pid != own && name != "longshore" && has_open(pid, major, minor) {
            found.push(Holder {
                pid: Some(pid),
                description: format!("held open by process {pid} ({name})"),
            });
        }
    }
    found.truncate(MAX_HOLDERS);
    found
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn command(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
}

/// Mount points of the device in a mountinfo (proc(5)): the third field is the device's number.
fn mounted(mountinfo: &str, major: u32, minor: u32) -> Vec<String> {
    let number = format!("{major}:{minor}");
    let fields = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.len() > 4 && fields[2] == number)
        .map(|fields| fields[4].to_owned())
        .collect()
}

fn has_open(pid: u32, major: u32, minor: u32) -> bool {
    let number = rustix::fs::makedev(major, minor);
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    // Only what looks like a block device is followed: a look at a file on a dead server would hang.
    descriptors.map(|entry| entry.path()).any(|path| {
        std::fs::read_link(&path).is_ok_and(|target| target.starts_with("/dev"))
            && std::fs::metadata(&path)
                .is_ok_and(|meta| meta.file_type().is_block_device() && meta.rdev() == number)
    })
}

/// Devices that are made of this one (device mapper, md).
fn stacked(major: u32, minor: u32) -> Vec<Holder> {
    let directory = format!("/sys/dev/block/{major}:{minor}/holders");
    let entries = std::fs::read_dir(Path::new(&directory))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| Holder {
            pid: None,
            description: format!("used by {}", entry.file_name().to_string_lossy()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_by_device_number() {
        let text =
            "36 35 7:3 / /mnt rw - ext4 /dev/loop3 rw\n37 35 7:31 / /other rw - ext4 /dev/loop31 rw\nshort\n";
        assert_eq!(mounted(text, 7, 3), ["/mnt"]);
    }
}

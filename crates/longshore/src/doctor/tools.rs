//! The tools of file systems, by name and by the Debian package that has them.

use super::{Finding, HostRoot, Verdict};

/// Tool, Debian package, what does not work without it.
const TOOLS: [(&str, &str, &str); 7] = [
    (
        "mkfs.ext4",
        "e2fsprogs",
        "blank volumes cannot be formatted as ext4",
    ),
    (
        "e2fsck",
        "e2fsprogs",
        "ext4 volumes are not checked before they are mounted",
    ),
    ("resize2fs", "e2fsprogs", "ext4 volumes cannot grow"),
    ("mkfs.xfs", "xfsprogs", "blank volumes cannot be formatted as xfs"),
    ("xfs_growfs", "xfsprogs", "xfs volumes cannot grow"),
    (
        "mkfs.btrfs",
        "btrfs-progs",
        "blank volumes cannot be formatted as btrfs",
    ),
    ("btrfs", "btrfs-progs", "btrfs volumes cannot grow"),
];
/// Where they are looked for: never in the caller's PATH.
const DIRECTORIES: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

pub(super) fn findings(host: &HostRoot) -> Vec<Finding> {
    TOOLS
        .iter()
        .map(|(tool, package, loss)| {
            let place = DIRECTORIES
                .iter()
                .map(|directory| format!("{directory}/{tool}"))
                .find(|path| host.path(path).is_file());
            match place {
                Some(path) => Finding::ok(tool, path),
                None => Finding::new(tool, Verdict::Warning, format!("not found: {loss}"))
                    .remedy(format!("on Debian: apt-get install {package}")),
            }
        })
        .collect()
}

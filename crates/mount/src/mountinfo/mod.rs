//! The mount table of a mount namespace, as `/proc/PID/mountinfo` shows it (proc(5), kernel `fs/proc_namespace.c`).

mod everywhere;
mod parse;

pub(crate) use everywhere::processes;
pub use everywhere::{NamespaceMounts, ScanLimits, everywhere};
pub use parse::ParseError;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::device::DeviceNumber;
use crate::namespace::MountNamespace;

/// The largest mountinfo that is read, in bytes (the kernel's default limit of 100,000 mounts fits).
pub const MAX_BYTES: u64 = 64 << 20;

/// One mount: one line of mountinfo, octal escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Number of the mount, unique while it exists.
    pub mount_id: u64,
    /// Number of the mount that this one is mounted on.
    pub parent_id: u64,
    /// Device number of the super block.
    pub device: DeviceNumber,
    /// What of the file system is the root of this mount (`/` unless it is a bind mount of a part).
    pub root: PathBuf,
    /// Where it is mounted, seen from the root of the process whose mountinfo was read.
    pub mount_point: PathBuf,
    /// Options of this mount (`rw`, `nosuid`, …).
    pub options: Vec<OsString>,
    /// Optional fields (`shared:1`, `master:2`, …).
    pub optional_fields: Vec<OsString>,
    /// File system type, with its subtype (`fuse.sshfs`).
    pub fs_type: OsString,
    /// Source as the file system shows it (`/dev/sda`, `none`, `server:/export`).
    pub source: OsString,
    /// Options of the super block.
    pub super_options: Vec<OsString>,
}

impl MountEntry {
    /// Whether this mount refuses writes, by its own flag or by the super block's.
    pub fn is_read_only(&self) -> bool {
        has(&self.options, "ro") || has(&self.super_options, "ro")
    }

    /// Whether the super block has this option.
    pub fn has_super_option(&self, option: &str) -> bool {
        has(&self.super_options, option)
    }

    /// Whether changes propagate to or from other mounts.
    pub fn is_private(&self) -> bool {
        !self.optional_fields.iter().any(|f| {
            f.to_str()
                .is_some_and(|f| f.starts_with("shared:") || f.starts_with("master:"))
        })
    }

    /// Whether the mount's file system lies on one of `devices`.
    ///
    /// Equal device numbers say so; btrfs shows an anonymous number, so there the source's own number counts,
    /// from its device node or, where that is gone, from sysfs. Reads nothing of the mounted file system.
    pub fn belongs_to(&self, devices: &[DeviceNumber]) -> bool {
        devices.contains(&self.device)
            || (self.device.major == 0
                && self.fs_type == "btrfs"
                && btrfs_source(Path::new(&self.source)).is_some_and(|d| devices.contains(&d)))
    }
}

fn has(options: &[OsString], wanted: &str) -> bool {
    options.iter().any(|o| o == wanted)
}

fn btrfs_source(source: &Path) -> Option<DeviceNumber> {
    if !source.starts_with("/dev") {
        return None;
    }
    if let Ok(Some(device)) = DeviceNumber::of_node(source) {
        return Some(device);
    }
    let sysfs = Path::new("/sys/class/block")
        .join(source.file_name()?)
        .join("dev");
    std::fs::read_to_string(sysfs).ok()?.trim_end().parse().ok()
}

/// mountinfo could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read the mount table {path}: {source}")]
    Io {
        /// Which mountinfo.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than [`MAX_BYTES`].
    #[error("the mount table {path} is longer than {MAX_BYTES} bytes: too many mounts")]
    TooLong {
        /// Which mountinfo.
        path: PathBuf,
    },
    /// A line is not what the kernel documents.
    #[error("cannot understand the mount table {path}: {source}")]
    Parse {
        /// Which mountinfo.
        path: PathBuf,
        /// Line and field.
        source: ParseError,
    },
    /// The process by which the namespace was named is gone or has moved to another namespace.
    #[error("the mount namespace of process {pid} is gone (the process ended or changed its namespace)")]
    NamespaceGone {
        /// The process.
        pid: u32,
    },
}

/// All mounts of one namespace, in the kernel's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountInfo {
    entries: Vec<MountEntry>,
}

impl MountInfo {
    /// Reads the mount table of a namespace.
    pub fn read(namespace: &MountNamespace) -> Result<Self, ReadError> {
        namespace.check_unchanged()?;
        let info = Self::read_file(&namespace.proc_path("mountinfo"))?;
        namespace.check_unchanged()?;
        Ok(info)
    }

    /// Reads the mount table of the calling thread's namespace.
    pub fn read_own() -> Result<Self, ReadError> {
        Self::read_file(Path::new("/proc/thread-self/mountinfo"))
    }

    pub(crate) fn read_file(path: &Path) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ReadError::TooLong {
                path: path.to_owned(),
            });
        }
        Self::parse(&bytes).map_err(|source| ReadError::Parse {
            path: path.to_owned(),
            source,
        })
    }

    /// Parses the text of a mountinfo.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        Ok(Self {
            entries: parse::parse(text)?,
        })
    }

    /// All mounts.
    pub fn entries(&self) -> &[MountEntry] {
        &self.entries
    }

    /// The mount with this number.
    pub fn by_id(&self, mount_id: u64) -> Option<&MountEntry> {
        self.entries.iter().find(|e| e.mount_id == mount_id)
    }

    /// The mounts whose super block has this device number.
    pub fn of_device(&self, device: DeviceNumber) -> impl Iterator<Item = &MountEntry> {
        self.entries.iter().filter(move |e| e.device == device)
    }

    /// The mounts stacked at exactly this path, the lowest first.
    pub fn layers(&self, mount_point: &Path) -> Vec<&MountEntry> {
        let at: Vec<&MountEntry> = self
            .entries
            .iter()
            .filter(|e| e.mount_point == mount_point)
            .collect();
        let depth = |entry: &MountEntry| {
            let mut depth = 0;
            let mut current = entry;
            while depth < at.len() {
                match at
                    .iter()
                    .find(|e| e.mount_id == current.parent_id && e.mount_id != current.mount_id)
                {
                    Some(below) => current = below,
                    None => break,
                }
                depth += 1;
            }
            depth
        };
        let mut layers = at.clone();
        layers.sort_by_key(|e| depth(e));
        layers
    }

    /// The uppermost mount at exactly this path.
    pub fn top(&self, mount_point: &Path) -> Option<&MountEntry> {
        self.layers(mount_point).pop()
    }

    /// The uppermost mount that a path lies on (by the path's text; it is not resolved).
    pub fn containing(&self, path: &Path) -> Option<&MountEntry> {
        path.ancestors().find_map(|ancestor| self.top(ancestor))
    }

    /// The mounts that stand somewhere below this path (not at it).
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a MountEntry> {
        self.entries
            .iter()
            .filter(move |e| e.mount_point != path && e.mount_point.starts_with(path))
    }
}

pub(crate) fn join(options: &[OsString]) -> String {
    options
        .iter()
        .map(|o| o.to_string_lossy())
        .collect::<Vec<_>>()
        .join(",")
}

pub(crate) fn display(text: &OsStr) -> std::borrow::Cow<'_, str> {
    text.to_string_lossy()
}

#[cfg(test)]
mod tests;

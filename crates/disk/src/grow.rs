//! Growing a file system to its device's size. Nothing is ever shrunk.
//!
//! xfs and btrfs grow while they are mounted. ext4 grows before it is mounted (a forced `e2fsck -p` first, as resize2fs asks for), or
//! while it is mounted, which the kernel allows to CAP_SYS_RESOURCE only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::fs::{FileSystem, FsType};
use crate::fsck::{self, FsckError};
use crate::probe::{Content, probe_path};
use crate::tools::{Tool, ToolError, Tools, arguments};

/// A difference below this is no reason to grow: every file system leaves an uneven end unused.
pub const MINIMUM_GROWTH_BYTES: u64 = 1 << 20;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grown {
    /// The file system fills its device already.
    AlreadySo,
    /// It can only grow while it is mounted: call [`grow`] then.
    WhenMounted,
    /// It was grown.
    Changed {
        /// Bytes before: usable ones when mounted (statvfs), else those that the super block claims.
        before_bytes: u64,
        /// Bytes after, counted likewise.
        after_bytes: u64,
    },
}

/// Growing failed; the file system is as it was, or partly grown, which is sound in all three types, or the tool still
/// works on it ([`crate::tools::Fate::GoesOn`]).
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// The mount point cannot be asked for its size.
    #[error("cannot read the size of the file system at {path}: {source}")]
    Statvfs {
        /// The mount point.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The device is smaller than the file system.
    #[error(
        "the device has {device_bytes} bytes, the {fs_type} on it {fs_bytes}: a device must never shrink beneath its file system"
    )]
    DeviceTooSmall {
        /// The file system.
        fs_type: FsType,
        /// Its size.
        fs_bytes: u64,
        /// The device's.
        device_bytes: u64,
    },
    /// The tool said that it succeeded, but there is no more room.
    #[error("{tool} at {path} succeeded, but the file system did not grow: {output}")]
    NoGrowth {
        /// The tool.
        tool: &'static str,
        /// The mount point.
        path: PathBuf,
        /// What it said.
        output: String,
    },
    /// The check before the growth did not leave a sound file system.
    #[error(transparent)]
    Fsck(#[from] FsckError),
    /// The tool is missing, failed or was late.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The kernel does not let us.
    #[error(
        "the ext4 at {path} cannot grow while it is mounted: the kernel asks for CAP_SYS_RESOURCE, which this process does \
         not have; it grows before its next mount ({output})"
    )]
    NotPermitted {
        /// The mount point.
        path: PathBuf,
        /// What resize2fs said.
        output: String,
    },
}

/// Grows `fs` (as probed just now) on `device` of `device_bytes`, which is mounted nowhere.
///
/// Only ext4 can; for the others this is [`Grown::AlreadySo`] or [`Grown::WhenMounted`].
pub fn grow_unmounted(
    fs: &FileSystem,
    device: &Path,
    device_bytes: u64,
    tools: &Tools,
    deadline: Instant,
) -> Result<Grown, GrowError> {
    if !is_needed(fs, device_bytes)? {
        return Ok(Grown::AlreadySo);
    }
    if fs.fs_type != FsType::Ext4 {
        return Ok(Grown::WhenMounted);
    }
    tools.find(Tool::Resize2fs)?;
    fsck::check_thoroughly(device, tools, deadline)?;
    let words = [device.as_os_str().to_owned()];
    let output = tools.run_ok(Tool::Resize2fs, &words, deadline)?;
    match probe_path(device, deadline) {
        Content::FileSystem(now) if now.uuid == fs.uuid && now.size_bytes > fs.size_bytes => {
            Ok(Grown::Changed {
                before_bytes: fs.size_bytes,
                after_bytes: now.size_bytes,
            })
        }
        _ => Err(GrowError::NoGrowth {
            tool: Tool::Resize2fs.name(),
            path: device.to_owned(),
            output: output.text,
        }),
    }
}

fn is_needed(fs: &FileSystem, device_bytes: u64) -> Result<bool, GrowError> {
    if device_bytes < fs.size_bytes {
        return Err(GrowError::DeviceTooSmall {
            fs_type: fs.fs_type,
            fs_bytes: fs.size_bytes,
            device_bytes,
        });
    }
    Ok(device_bytes - fs.size_bytes >= MINIMUM_GROWTH_BYTES)
}

/// Grows `fs` (as probed before), on `device` of `device_bytes`, mounted read-write at `mount_point` in our own mount
/// namespace, to the size of its device, on line.
pub fn grow(
    fs: &FileSystem,
    device: &Path,
    device_bytes: u64,
    mount_point: &Path,
    tools: &Tools,
    deadline: Instant,
) -> Result<Grown, GrowError> {
    if device_bytes < fs.size_bytes {
        return Err(GrowError::DeviceTooSmall {
            fs_type: fs.fs_type,
            fs_bytes: fs.size_bytes,
            device_bytes,
        });
    }
    if device_bytes - fs.size_bytes < MINIMUM_GROWTH_BYTES {
        return Ok(Grown::AlreadySo);
    }
    let before_bytes = usable_bytes(mount_point)?;
    let (tool, words) = command(fs.fs_type, device, mount_point);
    let output = tools
        .run_ok(tool, &words, deadline)
        .map_err(|error| explain(error, mount_point))?;
    let after_bytes = usable_bytes(mount_point)?;
    if after_bytes > before_bytes {
        return Ok(Grown::Changed {
            before_bytes,
            after_bytes,
        });
    }
    // The probe may have seen an old super block: a mounted file system writes its own when it likes.
    if device_bytes.saturating_sub(after_bytes) < device_bytes / 8 {
        return Ok(Grown::AlreadySo);
    }
    Err(GrowError::NoGrowth {
        tool: tool.name(),
        path: mount_point.to_owned(),
        output: output.text,
    })
}

fn explain(error: ToolError, mount_point: &Path) -> GrowError {
    match error {
        ToolError::Failed { output, .. } if output.contains("Permission denied to resize") => {
            GrowError::NotPermitted {
                path: mount_point.to_owned(),
                output,
            }
        }
        other => GrowError::Tool(other),
    }
}

fn command(fs_type: FsType, device: &Path, mount_point: &Path) -> (Tool, Vec<OsString>) {
    let path = |words: &[&str], path: &Path| {
        let mut words = arguments(words);
        words.push(path.as_os_str().to_owned());
        words
    };
    match fs_type {
        FsType::Ext4 => (Tool::Resize2fs, path(&[], device)),
        FsType::Xfs => (Tool::XfsGrowfs, path(&["-d"], mount_point)),
        FsType::Btrfs => (Tool::Btrfs, path(&["filesystem", "resize", "max"], mount_point)),
    }
}

fn usable_bytes(path: &Path) -> Result<u64, GrowError> {
    let stat = rustix::fs::statvfs(path).map_err(|e| GrowError::Statvfs {
        path: path.to_owned(),
        source: e.into(),
    })?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

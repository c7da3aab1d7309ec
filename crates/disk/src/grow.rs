//! Growing a mounted file system to its device's size. Nothing is ever shrunk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::fs::{FileSystem, FsType};
use crate::tools::{Tool, ToolError, Tools, arguments};

/// A difference below this is no reason to grow: every file system leaves an uneven end unused.
pub const MINIMUM_GROWTH_BYTES: u64 = 1 << 20;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grown {
    /// The file system fills its device already.
    AlreadySo,
    /// It was grown.
    Changed {
        /// Usable bytes before (statvfs).
        before_bytes: u64,
        /// Usable bytes after.
        after_bytes: u64,
    },
}

/// Growing failed; the file system is as it was, or partly grown, which is sound in all three types.
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
    /// The tool is missing, failed or was late.
    #[error(transparent)]
    Tool(#[from] ToolError),
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
    let output = tools.run_ok(tool, &words, deadline)?;
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

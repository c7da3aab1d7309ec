//! The check before a read-write mount: `e2fsck -p` for ext4; xfs and btrfs check themselves when they are mounted.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::fs::FsType;
use crate::tools::{Tool, ToolError, Tools, arguments};

/// Exit status bits of e2fsck(8).
const CORRECTED: i32 = 1;
const REBOOT: i32 = 2;
const UNCORRECTED: i32 = 4;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fsck {
    /// This type is not checked before a mount.
    NotNeeded,
    /// Clean, or its journal was replayed.
    Clean,
    /// Errors were corrected.
    Corrected {
        /// What e2fsck said.
        report: String,
    },
}

/// A check that did not leave a sound file system.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// Errors are left.
    #[error(
        "the ext4 on {device} has errors that are not repaired without a person ({how}: {report}); it was not mounted; \
         look at them with `e2fsck -fn {device}`, save what matters, then repair with `e2fsck -f {device}`"
    )]
    Uncorrected {
        /// The device.
        device: PathBuf,
        /// Exit status.
        how: String,
        /// What e2fsck said.
        report: String,
    },
    /// e2fsck could not do its work.
    #[error("the ext4 on {device} could not be checked ({how}: {report}); it was not mounted")]
    Failed {
        /// The device.
        device: PathBuf,
        /// Exit status.
        how: String,
        /// What e2fsck said.
        report: String,
    },
    /// e2fsck is missing or was late.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Checks the file system on `device`, which is not mounted and will be mounted read-write.
///
/// Never call it for a read-only volume: it writes.
pub fn check(fs_type: FsType, device: &Path, tools: &Tools, deadline: Instant) -> Result<Fsck, FsckError> {
    if fs_type != FsType::Ext4 {
        return Ok(Fsck::NotNeeded);
    }
    e2fsck(&["-p"], device, tools, deadline)
}

/// The full check (`-f`) of an ext4 that resize2fs asks for before it grows one that is not mounted.
pub(crate) fn check_thoroughly(device: &Path, tools: &Tools, deadline: Instant) -> Result<Fsck, FsckError> {
    e2fsck(&["-f", "-p"], device, tools, deadline)
}

fn e2fsck(options: &[&str], device: &Path, tools: &Tools, deadline: Instant) -> Result<Fsck, FsckError> {
    let mut words = arguments(options);
    words.push(device.as_os_str().to_owned());
    let output = tools.run_patiently(Tool::E2fsck, &words, deadline)?;
    let device = device.to_owned();
    match output.code {
        Some(0) => Ok(Fsck::Clean),
        Some(code) if code & !(CORRECTED | REBOOT) == 0 => Ok(Fsck::Corrected { report: output.text }),
        Some(code) if code & UNCORRECTED != 0 => Err(FsckError::Uncorrected {
            device,
            how: output.how,
            report: output.text,
        }),
        _ => Err(FsckError::Failed {
            device,
            how: output.how,
            report: output.text,
        }),
    }
}

//! The format gate (invariant 4): one function decides, and one calls mkfs.
//!
//! [`may_format`] is the decision; it takes evidence only and touches nothing. [`format()`] gathers the evidence from the
//! device itself, under an O_EXCL open, asks for the decision, and is the only caller of mkfs.
//!
//! # The exclusive open
//!
//! The device is open with O_EXCL while it is probed and while the decision is made. Each mkfs tool opens the device with
//! O_EXCL itself and refuses one that somebody holds, so our claim ends right before the tool starts, and the
//! tool's own begins a few milliseconds later: whoever mounts or claims the device between the two makes the tool
//! refuse. Forcing the tool would be the only other way.
//!
//! # What the caller records
//!
//! Before [`format()`]: [`FormatRecord::Begun`] with the UUID of the format. After it, before the first
//! mount: [`FormatRecord::Done`] with the UUID of the file system: the same for ext4 and xfs, the tool's own choice for
//! btrfs. A kill between the two leaves a device that is blank (formatting may be repeated:
//! nothing was ever stored), or one whose [`FileSystem::format_uuid`] is the recorded one (use it), or an unfinished
//! mkfs (refused, and said so). Once `Done`, no blank-looking device is ever formatted again (F2). A tool that runs when we are killed
//! goes on to its end, and so does one that is late (see [`crate::tools`]).

mod refusal;

pub use refusal::Refusal;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::device::{Device, DeviceError};
use crate::fs::{FileSystem, FsType, FsUuid};
use crate::mkfs;
use crate::probe::{Content, ProbeError, in_thread, probe};
use crate::tools::{BUSY_PATIENCE, BUSY_PAUSE, ToolError, Tools, says_busy};

/// How old the proof of identity may be.
pub const MAX_IDENTITY_AGE: Duration = Duration::from_secs(60);

/// What the volume says about formatting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FormatPolicy {
    /// Never.
    #[default]
    Never,
    /// When the device is proved blank.
    IfBlank,
}

/// What the durable journal says about former formats of this volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatRecord {
    /// None.
    None,
    /// A format with this UUID was about to start, and was never seen to end.
    Begun(FsUuid),
    /// The volume was formatted, or used with a file system, with this UUID.
    Done(FsUuid),
}

/// Witness that a device's identity was proved: VPD page 0x83 was read live, through the session that serves the
/// device, and names the volume's WWID.
///
/// Whoever makes one vouches for just that; nobody but the data plane's client and the engine does.
#[derive(Debug, Clone)]
pub struct VerifiedIdentity {
    wwid: String,
    device: (u32, u32),
    size_bytes: u64,
    verified_at: Instant,
}

impl VerifiedIdentity {
    /// Vouches that `device` (major, minor) is the logical unit `wwid` with this capacity, as read at `verified_at`.
    /// `None` when the WWID is empty: an unproven identity is no identity.
    pub fn attest(wwid: &str, device: (u32, u32), size_bytes: u64, verified_at: Instant) -> Option<Self> {
        let wwid = wwid.trim();
        (!wwid.is_empty()).then(|| Self {
            wwid: wwid.to_owned(),
            device,
            size_bytes,
            verified_at,
        })
    }

    /// The WWID.
    pub fn wwid(&self) -> &str {
        &self.wwid
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct FormatRequest<'a> {
    /// The device's node.
    pub device: &'a Path,
    /// Proof of its identity.
    pub identity: &'a VerifiedIdentity,
    /// What the volume says.
    pub policy: FormatPolicy,
    /// What the journal says, read before [`FormatRecord::Begun`] was written for this very call.
    pub record: FormatRecord,
    /// The file system to make.
    pub fs_type: FsType,
    /// The UUID of the format; recorded before the call. An ext4 or xfs has it as its UUID, a btrfs as its label.
    pub uuid: FsUuid,
    /// Its label, or nothing. At most 16 bytes for ext4, 12 for xfs; always nothing for btrfs.
    pub label: &'a str,
}

/// The evidence of one device, gathered under O_EXCL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Major and minor number of the open device; `None` when it is no block device.
    pub device: Option<(u32, u32)>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Whether the kernel refuses writes to it.
    pub read_only: bool,
    /// A probe made under the exclusive open.
    pub content: Content,
}

/// The permission to format one device, once. Made by [`may_format`] alone.
#[derive(Debug)]
pub struct Permission {
    _private: (),
}

/// The one decision. Pure: it looks at nothing but its arguments.
pub fn may_format(request: &FormatRequest<'_>, evidence: &Evidence) -> Result<Permission, Refusal> {
    let device = || request.device.to_owned();
    check_identity(request, evidence)?;
    match &evidence.content {
        Content::Unknown(error) => {
            return Err(Refusal::Unknown {
                device: device(),
                error: error.clone(),
            });
        }
        Content::FileSystem(found) => {
            return Err(Refusal::HoldsFileSystem {
                device: device(),
                wanted: request.fs_type,
                found: found.clone(),
            });
        }
        Content::Other(found) => {
            return Err(match request.record {
                FormatRecord::Begun(uuid) => Refusal::Interrupted {
                    device: device(),
                    uuid,
                    found: found.clone(),
                },
                _ => Refusal::HoldsOther {
                    device: device(),
                    found: found.clone(),
                },
            });
        }
        Content::Blank => {}
    }
    if let FormatRecord::Done(uuid) = request.record {
        return Err(Refusal::FormattedBefore {
            device: device(),
            uuid,
        });
    }
    if request.policy != FormatPolicy::IfBlank {
        return Err(Refusal::PolicyNever { device: device() });
    }
    if evidence.read_only {
        return Err(Refusal::ReadOnly { device: device() });
    }
    check_shape(request, evidence)?;
    Ok(Permission { _private: () })
}

fn check_identity(request: &FormatRequest<'_>, evidence: &Evidence) -> Result<(), Refusal> {
    let identity = request.identity;
    let age = identity.verified_at.elapsed();
    let reason = if evidence.device != Some(identity.device) {
        format!(
            "it was proved for device {}:{}",
            identity.device.0, identity.device.1
        )
    } else if evidence.size_bytes != identity.size_bytes {
        format!(
            "the unit has {} bytes, the device {}",
            identity.size_bytes, evidence.size_bytes
        )
    } else if age > MAX_IDENTITY_AGE {
        format!("the proof is {} seconds old", age.as_secs())
    } else {
        return Ok(());
    };
    Err(Refusal::Identity {
        device: request.device.to_owned(),
        wwid: identity.wwid.clone(),
        reason,
    })
}

fn check_shape(request: &FormatRequest<'_>, evidence: &Evidence) -> Result<(), Refusal> {
    let fs_type = request.fs_type;
    let minimum_bytes = mkfs::minimum_bytes(fs_type);
    if evidence.size_bytes < minimum_bytes {
        let advice = match fs_type {
            FsType::Ext4 => "use a larger LUN",
            FsType::Xfs | FsType::Btrfs => "use a larger LUN, or ask for fsType ext4",
        };
        let device = request.device.to_owned();
        return Err(Refusal::TooSmall {
            device,
            size_bytes: evidence.size_bytes,
            fs_type,
            minimum_bytes,
            advice,
        });
    }
    let label = request.label;
    let maximum = mkfs::maximum_label_bytes(fs_type);
    let fits = label.len() <= maximum
        && !label.starts_with('-')
        && label.bytes().all(|b| (b' '..=b'~').contains(&b));
    if fits {
        Ok(())
    } else {
        Err(Refusal::Label {
            label: label.escape_default().to_string(),
            fs_type,
            maximum,
        })
    }
}

/// A format that did not happen or did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The gate said no; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The device could not be opened exclusively; nothing was written.
    #[error("{0}; it was not formatted")]
    Device(#[from] DeviceError),
    /// No answer from the device before mkfs; nothing was written.
    #[error("{device} was not formatted: {error}")]
    NoAnswer {
        /// The device.
        device: PathBuf,
        /// What happened.
        error: ProbeError,
    },
    /// mkfs is missing (nothing was written), failed or was late.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// mkfs said that it succeeded, but the device holds something else.
    #[error(
        "{device} was formatted as {wanted} (format {uuid}), but now holds {found}; do not use it before that is understood"
    )]
    NotVerified {
        /// The device.
        device: PathBuf,
        /// The file system that was made.
        wanted: FsType,
        /// UUID of the format.
        uuid: FsUuid,
        /// What a new probe found.
        found: String,
    },
}

/// A new file system, as a probe after mkfs found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// What is on the device now; its [`FileSystem::format_uuid`] is the one that was asked for.
    pub file_system: FileSystem,
}

/// Formats a device, if everything of invariant 4 holds; the only caller of mkfs.
///
/// Opens O_EXCL, probes under it, asks [`may_format`], runs mkfs, and probes again. The engine's lock on the LUN must be held.
pub fn format(
    request: &FormatRequest<'_>,
    tools: &Tools,
    deadline: Instant,
) -> Result<Formatted, FormatError> {
    let patience = deadline.min(Instant::now() + BUSY_PATIENCE);
    loop {
        match attempt(request, tools, deadline) {
            // A tool that met somebody's claim has written nothing. It may be the end of our own claim, which a child
            // process that was just started elsewhere holds until its exec; the whole gate is asked again.
            Err(FormatError::Tool(ToolError::Failed { output, .. }))
                if says_busy(&output) && Instant::now() < patience =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            Err(other) => return Err(other),
            Ok(()) => break,
        }
    }
    let (_, evidence) = gather(request.device, deadline)?;
    match evidence.content {
        Content::FileSystem(fs)
            if fs.fs_type == request.fs_type && fs.format_uuid() == Some(request.uuid) =>
        {
            Ok(Formatted { file_system: fs })
        }
        other => Err(FormatError::NotVerified {
            device: request.device.to_owned(),
            wanted: request.fs_type,
            uuid: request.uuid,
            found: other.to_string(),
        }),
    }
}

fn attempt(request: &FormatRequest<'_>, tools: &Tools, deadline: Instant) -> Result<(), FormatError> {
    let (device, evidence) = gather(request.device, deadline)?;
    let permission = may_format(request, &evidence)?;
    tools.find(mkfs::tool(request.fs_type))?;
    let block_size_bytes = device.block_size_bytes();
    let plan = mkfs::Plan {
        fs_type: request.fs_type,
        uuid: request.uuid,
        label: request.label,
        block_size_bytes,
    };
    // Everything that takes time happens under the claim, so that nothing but the tool's start lies after it.
    let words = mkfs::words(tools, request.device, &plan, deadline)?;
    // mkfs takes its own O_EXCL (see the module's text).
    drop(device);
    Ok(make(permission, request.fs_type, &words, tools, deadline)?)
}

/// Uses the permission up.
fn make(
    _: Permission,
    fs_type: FsType,
    words: &[OsString],
    tools: &Tools,
    deadline: Instant,
) -> Result<(), ToolError> {
    tools.run_ok(mkfs::tool(fs_type), words, deadline).map(drop)
}

fn gather(path: &Path, deadline: Instant) -> Result<(Arc<Device>, Evidence), FormatError> {
    let owned = path.to_owned();
    let gathered = in_thread(deadline, move || {
        let device = Arc::new(claim(&owned, deadline)?);
        let content = probe(device.as_ref(), device.size_bytes(), deadline);
        let unreadable = |e: std::io::Error| DeviceError::Open {
            path: owned.clone(),
            reason: e.to_string(),
        };
        let read_only = device.is_read_only().map_err(unreadable)?;
        let evidence = Evidence {
            device: device.number(),
            size_bytes: device.size_bytes(),
            read_only,
            content,
        };
        Ok((device, evidence))
    });
    gathered.map_err(|error| match error {
        ProbeError::Device(device) => FormatError::Device(device),
        error => FormatError::NoAnswer {
            device: path.to_owned(),
            error,
        },
    })
}

/// O_EXCL, tried again for a moment: a claim of ours that was just given up may live on in a starting child.
fn claim(path: &Path, deadline: Instant) -> Result<Device, DeviceError> {
    let patience = deadline.min(Instant::now() + BUSY_PATIENCE);
    loop {
        match Device::open_exclusive(path) {
            Err(DeviceError::Busy { .. }) if Instant::now() < patience => std::thread::sleep(BUSY_PAUSE),
            other => return other,
        }
    }
}

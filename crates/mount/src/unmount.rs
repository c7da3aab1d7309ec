//! Taking mounts away: every layer that is ours, none that is not, without touching the file system (F10, F34).

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::detached::describe;
use crate::device::DeviceNumber;
use crate::holders::{Holders, holders_of};
use crate::mountinfo::{MountEntry, MountInfo, ReadError, ScanLimits};
use crate::sys::{self, Job, Step};
use crate::target::{TargetError, TargetRoot};

/// The most layers that are taken from one target.
const MAX_LAYERS: usize = 64;

/// How long, and how often, a busy mount is tried again before its holders are looked for.
const BUSY_PATIENCE: Duration = Duration::from_millis(500);
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long the undoing of a placement may take at least.
const CLEAN_UP_GRACE: Duration = Duration::from_secs(2);

/// How to unmount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnmountOptions {
    /// Detach a layer that is busy (MNT_DETACH): it vanishes from the namespace at once, and the file system ends when
    /// its last user does. The device may not be detached before that: ask [`holders_of`].
    pub lazy: bool,
    /// Abort requests of a network file system whose server is gone (MNT_FORCE).
    pub force: bool,
}

/// What an unmount did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unmounted {
    /// How many layers were taken away; 0 means that none was there.
    pub layers: usize,
    /// Whether a layer had to be detached lazily.
    pub lazily: bool,
    /// Mounts of others that stand at the target still, in words.
    pub foreign: Vec<String>,
}

/// A target could not be unmounted.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// A foreign mount hides ours.
    #[error(
        "at {path}, {found} was mounted over ours by somebody else; it is not touched; unmount it, then repeat"
    )]
    Foreign {
        /// The target.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// In use.
    #[error("{path} is busy: {holders}")]
    Busy {
        /// The target.
        path: PathBuf,
        /// Who holds it.
        holders: Holders,
    },
    /// The kernel refused otherwise.
    #[error("cannot unmount {path}: {call}: {source}")]
    Kernel {
        /// The target.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// No answer before the deadline. The mount may have left the mount table all the same: then its file system is not
    /// closed yet, and its device stays in use until it is.
    #[error("cannot unmount {path}: {reason}")]
    Unanswered {
        /// The target.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// Something of ours stands there still.
    #[error("{path} still shows {found} after it was unmounted")]
    NotVerified {
        /// The target.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// The target's parent could not be reached.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The mount table could not be read.
    #[error(transparent)]
    MountInfo(#[from] ReadError),
}

/// Takes away every mount at `relative` below `root` that belongs to one of `devices`
/// ([`MountEntry::belongs_to`]; for btrfs give the anonymous number of [`crate::PlacedMount`] too).
///
/// Reads mountinfo only; the mounted file system is never asked for anything. Nothing there is success with 0 layers,
/// also when the target's directory itself is gone. Verified in the target's namespace afterwards.
pub fn unmount_all_layers(
    root: &TargetRoot,
    relative: &Path,
    devices: &[DeviceNumber],
    options: UnmountOptions,
    deadline: Instant,
) -> Result<Unmounted, UnmountError> {
    let path = root.resolve(relative)?;
    let mut done = Unmounted::default();
    for _ in 0..MAX_LAYERS {
        let info = MountInfo::read(root.namespace())?;
        let layers = info.layers(&path);
        let ours = layers.iter().filter(|e| e.belongs_to(devices)).count();
        let Some(top) = layers.last().filter(|_| ours > 0) else {
            done.foreign = layers.into_iter().map(describe).collect();
            return Ok(done);
        };
        if !top.belongs_to(devices) {
            return Err(UnmountError::Foreign {
                path,
                found: describe(top),
            });
        }
        let top = (*top).clone();
        done.lazily |= detach_layer(root, relative, &path, &top, options, deadline)?;
        done.layers += 1;
        if MountInfo::read(root.namespace())?
            .by_id(top.mount_id)
            .is_some_and(|e| e.mount_point == path)
        {
            return Err(UnmountError::NotVerified {
                path,
                found: describe(&top),
            });
        }
    }
    Err(UnmountError::NotVerified {
        path,
        found: format!("more than {MAX_LAYERS} layers"),
    })
}

/// Returns whether the layer was detached lazily.
fn detach_layer(
    root: &TargetRoot,
    relative: &Path,
    path: &Path,
    layer: &MountEntry,
    options: UnmountOptions,
    deadline: Instant,
) -> Result<bool, UnmountError> {
    let mut flags = UnmountFlags::empty();
    flags.set(UnmountFlags::FORCE, options.force);
    // Where the kernel does not answer the first call there must be time left for the lazy one.
    let now = Instant::now();
    let first = match options.lazy {
        true => now + deadline.saturating_duration_since(now) / 2,
        false => deadline,
    };
    let patience = first.min(now + BUSY_PATIENCE);
    loop {
        let error = match umount_once(root, relative, path, flags, first) {
            Ok(()) => return Ok(false),
            Err(error) => error,
        };
        if is_busy(&error) && Instant::now() < patience {
            // A child process that is just being started holds copies of all our descriptors until its exec.
            std::thread::sleep(BUSY_PAUSE);
        } else if options.lazy && may_detach(&error) {
            return detach_lazily(root, relative, path, layer, deadline);
        } else if is_busy(&error) {
            let limits = ScanLimits::until(deadline);
            let holders = holders_of(&[layer.device], &limits).without_mount(root.namespace().inode(), path);
            return Err(UnmountError::Busy {
                path: path.to_owned(),
                holders,
            });
        } else {
            return Err(error);
        }
        if !is_on_top(root, path, layer)? {
            // Whoever took it away meanwhile did our work; what lies beneath is looked at anew.
            return Ok(false);
        }
    }
}

/// MNT_DETACH, after a call that was refused or not answered. An umount that hangs has taken the mount out of the
/// table before it waits for the device, so the table is asked before each step: what lies beneath is never touched.
fn detach_lazily(
    root: &TargetRoot,
    relative: &Path,
    path: &Path,
    layer: &MountEntry,
    deadline: Instant,
) -> Result<bool, UnmountError> {
    if !is_on_top(root, path, layer)? {
        return Ok(true);
    }
    match umount_once(root, relative, path, UnmountFlags::DETACH, deadline) {
        Ok(()) => Ok(true),
        Err(_) if !is_on_top(root, path, layer)? => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether the layer is what an umount of the path would take; `false` when it is gone.
fn is_on_top(root: &TargetRoot, path: &Path, layer: &MountEntry) -> Result<bool, UnmountError> {
    let info = MountInfo::read(root.namespace())?;
    let stands = |e: &&MountEntry| e.mount_id == layer.mount_id && e.mount_point == path;
    if !info.entries().iter().any(|e| stands(&e)) {
        return Ok(false);
    }
    match info.top(path) {
        Some(top) if top.mount_id != layer.mount_id => Err(UnmountError::Foreign {
            path: path.to_owned(),
            found: describe(top),
        }),
        _ => Ok(true),
    }
}

fn is_busy(error: &UnmountError) -> bool {
    matches!(error, UnmountError::Kernel { source, .. } if source.raw_os_error() == Some(Errno::BUSY.raw_os_error()))
}

fn may_detach(error: &UnmountError) -> bool {
    is_busy(error) || matches!(error, UnmountError::Unanswered { .. })
}

fn umount_once(
    root: &TargetRoot,
    relative: &Path,
    path: &Path,
    flags: UnmountFlags,
    deadline: Instant,
) -> Result<(), UnmountError> {
    let (parent, name) = root.walk_to_parent(relative)?;
    let job = Job::Unmount {
        namespace: root.namespace().to_enter(),
        parent: parent.as_fd(),
        name: &name,
        flags,
    };
    let (reply, _) = sys::run(&job, deadline).map_err(|e| UnmountError::Unanswered {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    if reply.errno == 0 {
        return Ok(());
    }
    let source = std::io::Error::from_raw_os_error(reply.errno);
    Err(UnmountError::Kernel {
        path: path.to_owned(),
        call: Step::of(&reply).call(),
        source,
    })
}

/// Undoes a placement that could not be verified: only a mount with this number, only when it is on top.
pub(crate) fn take_away(root: &TargetRoot, relative: &Path, mount_id: u64, deadline: Instant) {
    // A caller whose time is over must not leave the mount behind for that.
    let deadline = deadline.max(Instant::now() + CLEAN_UP_GRACE);
    let Ok(path) = root.resolve(relative) else { return };
    let Ok(info) = MountInfo::read(root.namespace()) else {
        return;
    };
    if info.top(&path).is_some_and(|top| top.mount_id == mount_id) {
        // The caller reports the failure that led here; the mount table shows what is left.
        let _ = umount_once(root, relative, &path, UnmountFlags::DETACH, deadline);
    }
}

//! Placing a detached mount on its target, and proving in the target's own namespace that it is there (F8, F41).

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;

use crate::detached::{DetachedMount, describe};
use crate::device::DeviceNumber;
use crate::mountinfo::{MountEntry, MountInfo, ReadError};
use crate::sys::{self, Job, Step};
use crate::target::{TargetDirectory, TargetError};

/// A mount could not be placed, or is not where it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The kernel refused.
    #[error("cannot place the mount at {path}: {call}: {source}{hint}")]
    Kernel {
        /// The target.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// Why.
        source: std::io::Error,
        /// What it usually means, or nothing.
        hint: &'static str,
    },
    /// No answer before the deadline, and the mount is not at its target.
    #[error("cannot place the mount at {path}: {reason}")]
    Unanswered {
        /// The target.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The kernel said that it is placed, but the mount table of that namespace does not show it.
    #[error("the mount at {path} could not be verified: {found}; it was taken away again where it could be")]
    NotVerified {
        /// The target.
        path: PathBuf,
        /// What the mount table shows.
        found: String,
    },
    /// The mount table could not be read.
    #[error(transparent)]
    MountInfo(#[from] ReadError),
    /// The target could not be looked up again.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// A mount that is placed, as its namespace's mountinfo shows it.
#[derive(Debug, Clone)]
pub struct PlacedMount {
    /// Its line of mountinfo; `device` is what [`crate::unmount_all_layers`] should expect (for btrfs, record it).
    pub entry: MountEntry,
}

impl PlacedMount {
    /// The target's path in its namespace.
    pub fn path(&self) -> &Path {
        &self.entry.mount_point
    }
}

impl DetachedMount {
    /// Moves the mount onto `target`, in the target's namespace, and looks it up there.
    ///
    /// `device` is the verified block device: the mount table must show it at the target. A failure takes the mount
    /// away again.
    pub fn place(
        self,
        target: &TargetDirectory<'_>,
        device: DeviceNumber,
        deadline: Instant,
    ) -> Result<PlacedMount, PlaceError> {
        let namespace = target.root().namespace();
        namespace.check_unchanged()?;
        let job = Job::Place {
            namespace: namespace.to_enter(),
            mount: self.as_fd(),
            target: target.as_fd(),
        };
        let answer = sys::run(&job, deadline);
        match answer {
            Ok((reply, _)) if reply.errno == 0 => self.verify_or_take_away(target, device, deadline),
            Ok((reply, _)) => {
                let source = std::io::Error::from_raw_os_error(reply.errno);
                let step = Step::of(&reply);
                let hint = hint(step, reply.errno);
                Err(PlaceError::Kernel {
                    path: target.path().to_owned(),
                    call: step.call(),
                    source,
                    hint,
                })
            }
            // It may have been placed just before the child was killed: the mount table knows.
            Err(child) => match self.verify(target, device) {
                Ok(placed) => Ok(placed),
                Err(_) => {
                    crate::unmount::take_away(target.root(), target.relative(), self.mount_id(), deadline);
                    Err(PlaceError::Unanswered {
                        path: target.path().to_owned(),
                        reason: child.to_string(),
                    })
                }
            },
        }
    }

    fn verify_or_take_away(
        &self,
        target: &TargetDirectory<'_>,
        device: DeviceNumber,
        deadline: Instant,
    ) -> Result<PlacedMount, PlaceError> {
        self.verify(target, device).inspect_err(|_| {
            // Best effort, told in the error's text: our mount only, by its number.
            crate::unmount::take_away(target.root(), target.relative(), self.mount_id(), deadline);
        })
    }

    fn verify(&self, target: &TargetDirectory<'_>, device: DeviceNumber) -> Result<PlacedMount, PlaceError> {
        let wrong = |found: String| PlaceError::NotVerified {
            path: target.path().to_owned(),
            found,
        };
        let info = MountInfo::read(target.root().namespace())?;
        let Some(entry) = info.by_id(self.mount_id()) else {
            let found = info
                .top(target.path())
                .map_or_else(|| "nothing is mounted there".to_owned(), describe);
            return Err(wrong(found));
        };
        if entry.mount_point != target.path() {
            return Err(wrong(format!(
                "the mount landed at {}",
                entry.mount_point.display()
            )));
        }
        if !entry.belongs_to(&[device]) {
            return Err(wrong(format!("{}, not device {device}", describe(entry))));
        }
        if target.mount_id_now()? != self.mount_id() {
            return Err(wrong("another mount hides it".to_owned()));
        }
        Ok(PlacedMount { entry: entry.clone() })
    }
}

fn hint(step: Step, errno: i32) -> &'static str {
    match (step, Errno::from_raw_os_error(errno)) {
        (Step::EnterNamespace, _) => {
            " (the target's mount namespace cannot be entered: CAP_SYS_ADMIN, CAP_SYS_CHROOT and CAP_SYS_PTRACE are needed)"
        }
        (_, Errno::INVAL) => " (the target is not in the mount namespace that it was looked up in)",
        (_, Errno::NOENT) => " (the target directory was removed)",
        (_, Errno::PERM) => " (this needs CAP_SYS_ADMIN in the target's namespace)",
        _ => "",
    }
}

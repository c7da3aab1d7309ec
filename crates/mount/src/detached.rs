//! `DetachedMount`: a mount that exists only as a descriptor, until it is placed.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::mount::MountAttrFlags;

use crate::device::DeviceNumber;
use crate::mountinfo::{MountEntry, MountInfo, ReadError};
use crate::namespace::MountNamespace;
use crate::options::mount_flags;
use crate::sys::{self, ChildError, Job, Step};

/// A mount that is attached nowhere; it is dissolved when this is dropped before it is placed.
#[derive(Debug)]
pub struct DetachedMount {
    fd: OwnedFd,
    mount_id: u64,
    device: DeviceNumber,
    notes: Vec<String>,
}

/// A bind mount could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// Nothing is mounted at the path.
    #[error("nothing is mounted at {path}, so there is nothing to bind")]
    NotMounted {
        /// The path.
        path: PathBuf,
    },
    /// Something else is mounted at the path (F8).
    #[error("at {path} stands {found}, not the expected device {expected}; refused")]
    WrongDevice {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// The path holds a NUL byte.
    #[error("the path {path:?} holds a NUL byte")]
    InvalidPath {
        /// The path.
        path: PathBuf,
    },
    /// The mount table could not be read.
    #[error(transparent)]
    MountInfo(#[from] ReadError),
    /// The kernel refused.
    #[error("cannot clone the mount at {path}: {call}: {source}")]
    Kernel {
        /// The path.
        path: PathBuf,
        /// The system call.
        call: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// No answer before the deadline.
    #[error("cannot clone the mount at {path}: {reason}")]
    Unanswered {
        /// The path.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

impl DetachedMount {
    /// Takes over a descriptor from fsmount or open_tree (for example received from another process).
    pub fn from_fd(fd: OwnedFd) -> std::io::Result<Self> {
        // Answered from the inode in memory: a network file system is not asked.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let stat = rustix::fs::statx(&fd, c"", flags, StatxFlags::TYPE)?;
        let mount_id = mount_id(fd.as_fd())?;
        Ok(Self {
            mount_id,
            device: DeviceNumber::new(stat.stx_dev_major, stat.stx_dev_minor),
            fd,
            notes: Vec::new(),
        })
    }

    pub(crate) fn with_note(mut self, note: String) -> Self {
        if !note.is_empty() {
            self.notes.push(note);
        }
        self
    }

    /// A bind mount of the file system mounted at `path` in `namespace`, private (outside every peer group).
    ///
    /// The uppermost mount there must belong to one of `expected` ([`MountEntry::belongs_to`]).
    /// On kernels before 5.12 the copy stays in the peer group of its original.
    pub fn clone_of(
        namespace: &MountNamespace,
        path: &Path,
        expected: &[DeviceNumber],
        deadline: Instant,
    ) -> Result<Self, CloneError> {
        let info = MountInfo::read(namespace)?;
        let entry = info.top(path).ok_or_else(|| CloneError::NotMounted {
            path: path.to_owned(),
        })?;
        if !entry.belongs_to(expected) {
            return Err(CloneError::WrongDevice {
                path: path.to_owned(),
                found: describe(entry),
                expected: expected
                    .iter()
                    .map(DeviceNumber::to_string)
                    .collect::<Vec<_>>()
                    .join(" or "),
            });
        }
        let text = CString::new(path.as_os_str().as_bytes()).map_err(|_| CloneError::InvalidPath {
            path: path.to_owned(),
        })?;
        let job = Job::Clone {
            namespace: namespace.to_enter(),
            path: &text,
        };
        let clone = Self::from_job(&job, path, deadline)?;
        if clone.device != entry.device && entry.device.major != 0 {
            return Err(CloneError::WrongDevice {
                path: path.to_owned(),
                found: format!("a mount of device {} (it changed meanwhile)", clone.device),
                expected: entry.device.to_string(),
            });
        }
        match sys::make_private(clone.fd.as_fd()) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::NOSYS.raw_os_error()) => {
                Err(CloneError::Kernel {
                    path: path.to_owned(),
                    call: "mount_setattr",
                    source: e,
                })
            }
            _ => Ok(clone),
        }
    }

    fn from_job(job: &Job<'_>, path: &Path, deadline: Instant) -> Result<Self, CloneError> {
        let failed = |call, source| CloneError::Kernel {
            path: path.to_owned(),
            call,
            source,
        };
        let (reply, fd) = sys::run(job, deadline).map_err(|e: ChildError| CloneError::Unanswered {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        match fd {
            Some(fd) => Self::from_fd(fd).map_err(|e| failed("statx", e)),
            None => Err(failed(
                Step::of(&reply).call(),
                std::io::Error::from_raw_os_error(reply.errno),
            )),
        }
    }

    /// Makes this mount read-only (the super block stays as it is, so others may go on writing through theirs).
    pub fn set_read_only(self, deadline: Instant) -> Result<Self, CloneError> {
        match sys::set_attributes(self.fd.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY) {
            Ok(()) => Ok(self),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => {
                self.read_only_by_remount(deadline)
            }
            Err(source) => Err(CloneError::Kernel {
                path: PathBuf::from("(detached)"),
                call: "mount_setattr",
                source,
            }),
        }
    }

    /// [`Self::set_read_only`] without mount_setattr, for kernels before 5.12: the mount is moved into a private
    /// namespace, remounted there and cloned, so that it is never visible while it is writable.
    fn read_only_by_remount(self, deadline: Instant) -> Result<Self, CloneError> {
        let path = Path::new("(detached)");
        let flags = self.flags().map_err(|source| CloneError::Kernel {
            path: path.to_owned(),
            call: "fstatfs",
            source,
        })?;
        let job = Job::CloneReadOnly {
            mount: self.fd.as_fd(),
            attributes: flags | rustix::mount::MountFlags::RDONLY,
        };
        let clone = Self::from_job(&job, path, deadline)?;
        Ok(Self {
            notes: self.notes,
            ..clone
        })
    }

    /// The mount's present attributes as flags of mount(2).
    fn flags(&self) -> std::io::Result<rustix::mount::MountFlags> {
        use rustix::fs::StatVfsMountFlags as F;
        let set = rustix::fs::fstatvfs(&self.fd)?.f_flag;
        let named = [
            (F::NOSUID, "nosuid"),
            (F::NODEV, "nodev"),
            (F::NOEXEC, "noexec"),
            (F::NOATIME, "noatime"),
            (F::NODIRATIME, "nodiratime"),
            (F::RELATIME, "relatime"),
        ];
        let words: Vec<std::ffi::OsString> = named
            .iter()
            .filter(|(flag, _)| set.contains(*flag))
            .map(|(_, word)| (*word).into())
            .collect();
        Ok(mount_flags(&words))
    }

    /// The mount's number, the same after it is placed.
    pub fn mount_id(&self) -> u64 {
        self.mount_id
    }

    /// The device number that `stat` shows inside the mount (for btrfs not the one in mountinfo).
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// What the kernel or the mounting had to say, such as that `nouuid` was needed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A descriptor of the mount's root directory that can be read from (not O_PATH).
    pub(crate) fn open_root(&self) -> std::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, c".", flags, Mode::empty())?)
    }
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<DetachedMount> for OwnedFd {
    fn from(mount: DetachedMount) -> Self {
        mount.fd
    }
}

/// The number of the mount that a descriptor lies on, from procfs: touches no file system.
pub(crate) fn mount_id(fd: BorrowedFd<'_>) -> std::io::Result<u64> {
    use std::os::fd::AsRawFd;
    let text = std::fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", fd.as_raw_fd()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
        .ok_or_else(|| std::io::Error::other("fdinfo shows no mnt_id"))
}

/// One phrase about a mount, for error texts.
pub(crate) fn describe(entry: &MountEntry) -> String {
    format!(
        "a mount of {} ({}, device {})",
        crate::mountinfo::display(&entry.source),
        crate::mountinfo::display(&entry.fs_type),
        entry.device
    )
}

#[cfg(test)]
mod tests;

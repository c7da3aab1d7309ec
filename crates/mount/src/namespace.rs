//! `MountNamespace`: the mount namespace that a mount is asked for in, our own or another process's.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::mountinfo::ReadError;

/// A mount namespace, held open, with a process that lives in it (whose root and mountinfo are used).
#[derive(Debug)]
pub struct MountNamespace {
    /// `None`: the calling thread's own.
    pid: Option<u32>,
    file: File,
    inode: u64,
}

/// A mount namespace could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open the mount namespace {path}: {source} (in a container this needs the host's PID namespace, \
     CAP_SYS_PTRACE and CAP_SYS_ADMIN)"
)]
pub struct NamespaceError {
    path: PathBuf,
    source: std::io::Error,
}

impl MountNamespace {
    /// The namespace of the calling thread (threads of one process share it unless one of them left it).
    pub fn own() -> Result<Self, NamespaceError> {
        Self::open(None, PathBuf::from("/proc/thread-self/ns/mnt"))
    }

    /// The namespace of another process: 1 is the host's when the host's PID namespace is shared.
    ///
    /// When that process lives in our own namespace the result is the same as [`Self::own`], except that paths are
    /// those of that process's root.
    pub fn of_process(pid: u32) -> Result<Self, NamespaceError> {
        Self::open(Some(pid), PathBuf::from(format!("/proc/{pid}/ns/mnt")))
    }

    fn open(pid: Option<u32>, path: PathBuf) -> Result<Self, NamespaceError> {
        let file = File::open(&path);
        let inode = file
            .as_ref()
            .map_err(clone_io)
            .and_then(|f| Ok(f.metadata()?.ino()));
        match (file, inode) {
            (Ok(file), Ok(inode)) => Ok(Self { pid, file, inode }),
            (Err(source), _) | (_, Err(source)) => Err(NamespaceError { path, source }),
        }
    }

    /// Inode number of the namespace, which names it while it exists.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether this is the calling thread's own namespace.
    pub fn is_own(&self) -> bool {
        self.pid.is_none()
            || std::fs::metadata("/proc/thread-self/ns/mnt").is_ok_and(|meta| meta.ino() == self.inode)
    }

    /// Whether two handles mean the same namespace.
    pub fn is_same(&self, other: &Self) -> bool {
        self.inode == other.inode
    }

    /// The namespace to enter, unless it is our own.
    pub(crate) fn to_enter(&self) -> Option<BorrowedFd<'_>> {
        if self.is_own() {
            None
        } else {
            Some(self.file.as_fd())
        }
    }

    pub(crate) fn proc_path(&self, name: &str) -> PathBuf {
        match self.pid {
            None => Path::new("/proc/thread-self").join(name),
            Some(pid) => Path::new("/proc").join(pid.to_string()).join(name),
        }
    }

    /// Guards against a process number that was used again for another process, and against the use of our own
    /// namespace by a thread that lives in another one.
    pub(crate) fn check_unchanged(&self) -> Result<(), ReadError> {
        match std::fs::metadata(self.proc_path("ns/mnt")) {
            Ok(meta) if meta.ino() == self.inode => Ok(()),
            _ => Err(ReadError::NamespaceGone {
                pid: self.pid.unwrap_or_else(std::process::id),
            }),
        }
    }
}

fn clone_io(error: &std::io::Error) -> std::io::Error {
    error
        .raw_os_error()
        .map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error)
}

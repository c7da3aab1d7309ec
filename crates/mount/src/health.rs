//! Whether a mounted file system still works, or was aborted by errors or an outage (F9).

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::device::DeviceNumber;
use crate::mountinfo::{MountInfo, ReadError};
use crate::namespace::MountNamespace;
use crate::sys::{self, Job, Step};

/// The condition of a mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers, and is writable if it should be.
    Alive,
    /// It was mounted read-write and is read-only now: the kernel stopped writing after an error.
    ReadOnlyByError {
        /// What mountinfo shows.
        evidence: String,
    },
    /// It answers every call with an error: it was shut down.
    ShutDown {
        /// Which call and which error.
        evidence: String,
    },
    /// It did not answer before the deadline.
    Unresponsive {
        /// What happened.
        evidence: String,
    },
    /// Nothing is mounted there, or something else is.
    NotThere {
        /// What was found.
        found: String,
    },
}

impl Health {
    /// Whether a staging mount in this condition may be used (F9: a dead one never is).
    pub fn is_alive(&self) -> bool {
        *self == Self::Alive
    }
}

/// Looks at the file system of `devices` mounted at `path`.
///
/// mountinfo first; then, in a child with the deadline, the root is opened and asked for its statistics, which an
/// aborted xfs answers with EIO. `read_write` says whether the super block is meant to be writable.
/// It reads nothing from the disk, so an error that the kernel has not met yet is not seen.
pub fn check(
    namespace: &MountNamespace,
    path: &Path,
    devices: &[DeviceNumber],
    read_write: bool,
    deadline: Instant,
) -> Result<Health, ReadError> {
    let info = MountInfo::read(namespace)?;
    let entry = match info.top(path) {
        None => {
            return Ok(Health::NotThere {
                found: "nothing is mounted there".to_owned(),
            });
        }
        Some(entry) if !entry.belongs_to(devices) => {
            return Ok(Health::NotThere {
                found: crate::detached::describe(entry),
            });
        }
        Some(entry) => entry,
    };
    // Linux 6.17's ext4 stays `rw` and says `emergency_ro` or `shutdown` instead.
    if entry.has_super_option("shutdown") {
        return Ok(Health::ShutDown {
            evidence: "mountinfo shows shutdown".to_owned(),
        });
    }
    let stopped = entry.has_super_option("emergency_ro") || entry.has_super_option("ro");
    if read_write && stopped {
        let evidence = format!("mountinfo shows {}", crate::mountinfo::join(&entry.super_options));
        return Ok(Health::ReadOnlyByError { evidence });
    }
    Ok(look(namespace, path, deadline))
}

fn look(namespace: &MountNamespace, path: &Path, deadline: Instant) -> Health {
    // A path from mountinfo's own text holds no NUL byte.
    let Ok(text) = CString::new(path.as_os_str().as_bytes()) else {
        return Health::NotThere {
            found: format!("{} is no path", PathBuf::from(path).display()),
        };
    };
    match sys::run(
        &Job::Look {
            namespace: namespace.to_enter(),
            path: &text,
        },
        deadline,
    ) {
        Err(e) => Health::Unresponsive {
            evidence: e.to_string(),
        },
        Ok((reply, _)) if reply.errno == 0 => Health::Alive,
        Ok((reply, _)) => {
            let error = std::io::Error::from_raw_os_error(reply.errno);
            Health::ShutDown {
                evidence: format!("{}: {error}", Step::of(&reply).call()),
            }
        }
    }
}

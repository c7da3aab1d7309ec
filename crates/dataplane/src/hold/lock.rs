//! The lock that says that these directories have a guard.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::HoldError;
use crate::Dirs;

/// A client that looks whether the lock is free has it for a moment, and so has a former guard that is just ending.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// Takes the lock for as long as the file is open.
pub(super) fn take(dirs: &Dirs) -> Result<File, HoldError> {
    let lock = dirs.hold_lock();
    let host = |source| HoldError::Host {
        what: format!("lock {}", lock.display()),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock)
        .map_err(host)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(POLL),
            Err(Errno::WOULDBLOCK) => return Err(HoldError::Locked { lock }),
            Err(error) => return Err(host(error.into())),
        }
    }
}

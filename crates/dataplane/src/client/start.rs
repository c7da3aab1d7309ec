//! Starts a data plane when there is none, race-free between any number of processes.
//!
//! A lock file makes the starter the only one. `hold`'s own lock, taken for its whole life, tells a data plane that
//! is just being restarted by `hold` (wait for it) from one that is not there (start it).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{ClientError, DataplaneClient};
use crate::{Deadline, Dirs, spawn};

const POLL: Duration = Duration::from_millis(10);
/// How much of the log an error shows.
const EXCERPT_BYTES: u64 = 4096;
const EXCERPT_LINES: usize = 12;

pub(super) fn connect_or_start(
    dirs: &Dirs,
    exe: &Path,
    deadline: Deadline,
) -> Result<DataplaneClient, ClientError> {
    dirs.create().map_err(ClientError::Directories)?;
    loop {
        if let Some(client) = DataplaneClient::connect_now(dirs, deadline)? {
            return Ok(client);
        }
        let lock = match try_lock(&dirs.start_lock()).map_err(ClientError::Directories)? {
            Some(lock) => lock,
            None => {
                pause(
                    dirs,
                    deadline,
                    "another process is starting it, and does not come to an end",
                )?;
                continue;
            }
        };
        if let Some(client) = DataplaneClient::connect_now(dirs, deadline)? {
            return Ok(client);
        }
        let free = try_lock(&dirs.hold_lock())
            .map_err(ClientError::Directories)?
            .is_some();
        if free {
            launch(dirs, exe, deadline)?;
        } else {
            pause(
                dirs,
                deadline,
                "'hold' runs, but the data plane that it restarts does not answer",
            )?;
        }
        drop(lock);
    }
}

/// Locks a file for as long as the result lives; `None` when somebody else has it.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a `hold` lives, which starts its data plane again if need be.
pub(super) fn is_held(dirs: &Dirs) -> Result<bool, ClientError> {
    if !dirs.run_dir.exists() {
        return Ok(false);
    }
    let lock = try_lock(&dirs.hold_lock()).map_err(ClientError::Directories)?;
    Ok(lock.is_none())
}

pub(super) fn pause(dirs: &Dirs, deadline: Deadline, reason: &str) -> Result<(), ClientError> {
    if Instant::now() >= deadline {
        return Err(failed(dirs, format!("{reason} (deadline passed)")));
    }
    std::thread::sleep(POLL);
    Ok(())
}

/// Runs `exe hold`, which returns success as soon as its detached child has a data plane that listens.
fn launch(dirs: &Dirs, exe: &Path, deadline: Deadline) -> Result<(), ClientError> {
    let log = open_log(dirs).map_err(ClientError::Directories)?;
    let mut child = spawn::launcher(exe, dirs, log)
        .map_err(|error| failed(dirs, format!("cannot run {}: {error}", exe.display())))?;
    match wait(&mut child, deadline) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(
            dirs,
            format!("{} hold ended with {status}", exe.display()),
        )),
        Ok(None) => {
            // It ends by itself before long; somebody must reap it then.
            std::thread::spawn(move || child.wait());
            Err(failed(dirs, "it was not ready before the deadline".to_owned()))
        }
        Err(error) => Err(failed(
            dirs,
            format!("cannot wait for {} hold: {error}", exe.display()),
        )),
    }
}

fn wait(child: &mut Child, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn open_log(dirs: &Dirs) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(dirs.log())
}

fn failed(dirs: &Dirs, reason: String) -> ClientError {
    ClientError::Start {
        reason,
        log: dirs.log(),
        excerpt: excerpt(&dirs.log()).unwrap_or_default(),
    }
}

/// The last lines of the log.
fn excerpt(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(EXCERPT_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(EXCERPT_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(EXCERPT_LINES)..].join("\n"))
}

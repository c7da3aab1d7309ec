//! Locks between calls, in one process or in several: on a volume, on a LUN, on a target directory.
//!
//! `flock` on a file of its own under the run directory: the lock belongs to the open file description, as an OFD
//! lock does, so it works between threads too and ends with its holder, however that dies. The file says who holds
//! it and at which step, for those who wait (F37).

use crate::error::VolumeError;
use crate::progress::Step;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a waiting call looks again: short at first, so that a short operation costs little.
const SHORTEST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(50);
/// A holder's text is far shorter.
const MAX_HOLDER_LEN: u64 = 4096;

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// What it was asked to do ("mount iscsi-0123456789ab").
    pub operation: String,
    /// The step at which it is.
    pub step: String,
    /// When that step began, in milliseconds since the epoch.
    pub since_ms: u64,
}

impl Holder {
    /// How long it has been at its step.
    pub fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.since_ms))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "pid {} ({}), step {}, {} s",
            self.pid,
            self.operation,
            self.step,
            self.age().as_secs()
        )
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    operation: String,
}

impl Lock {
    /// Waits for the lock until the deadline. `waiting` is told who holds it, whenever that changes.
    ///
    /// # Errors
    /// [`VolumeError::Locked`] with the holder at the deadline; `Io` when the file cannot be used.
    pub fn acquire(
        path: &Path,
        operation: &str,
        deadline: Instant,
        waiting: &mut dyn FnMut(Option<&Holder>),
    ) -> Result<Lock, VolumeError> {
        let begun = Instant::now();
        let mut nap = SHORTEST_NAP;
        let mut told = None;
        loop {
            match try_lock(path).map_err(|source| io_error("cannot lock", path, source))? {
                Some(file) => {
                    let lock = Lock {
                        file,
                        path: path.to_owned(),
                        operation: operation.to_owned(),
                    };
                    lock.at_step(Step::Lock);
                    return Ok(lock);
                }
                None => {
                    let holder = read_holder(path);
                    if Instant::now() >= deadline {
                        let what = path
                            .file_name()
                            .unwrap_or_default()
                            .to_string_lossy()
                            .into_owned();
                        return Err(VolumeError::Locked {
                            what,
                            holder,
                            waited: begun.elapsed(),
                        });
                    }
                    if told.as_ref() != Some(&holder) {
                        waiting(holder.as_ref());
                        told = Some(holder);
                    }
                }
            }
            thread::sleep(nap.min(deadline.saturating_duration_since(Instant::now())));
            nap = (nap * 2).min(LONGEST_NAP);
        }
    }

    /// Says at which step the holder is. It informs only, so a failure to write it is no failure of the operation.
    pub fn at_step(&self, step: Step) {
        let holder = Holder {
            pid: std::process::id(),
            operation: self.operation.clone(),
            step: step.to_string(),
            since_ms: now_ms(),
        };
        let Ok(mut text) = serde_json::to_vec(&holder) else {
            return;
        };
        text.push(b'\n');
        let written = self.file.write_all_at(&text, 0);
        let _informs_only = written.and_then(|()| self.file.set_len(text.len() as u64));
    }

    /// Removes the file while the lock is held. Whoever waits for it notices, and makes a new one.
    pub fn remove_file(&self) {
        // A file that stays costs a few bytes on a tmpfs, nothing else.
        let _stays = std::fs::remove_file(&self.path);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _informs_only = self.file.set_len(0);
    }
}

/// Who holds the lock at `path` now; `None` when nobody does, or nobody knows who.
pub fn holder(path: &Path) -> Option<Holder> {
    let file = File::open(path).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => read_holder(path),
    }
}

/// One try. A file that was removed by its last holder between our open and our lock does not count.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_holder(path: &Path) -> Option<Holder> {
    let mut text = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_HOLDER_LEN)
        .read_to_end(&mut text)
        .ok()?;
    // The end of a longer, older text may follow the first line.
    let line = text.split(|&b| b == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn io_error(what: &'static str, path: &Path, source: io::Error) -> VolumeError {
    VolumeError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::mpsc;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// Part of the proof of F16.
    #[test]
    fn the_second_waits_and_knows_for_whom_f37() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume-a");
        let first = Lock::acquire(&path, "mount a", soon(), &mut |_| ()).unwrap();
        first.at_step(Step::Format);
        let seen = holder(&path).unwrap();
        assert_eq!((seen.pid, seen.step.as_str()), (std::process::id(), "format"));

        let error = Lock::acquire(&path, "umount a", Instant::now(), &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("(mount a), step format"), "{error}");

        let (told, waits) = mpsc::channel();
        let other = path.clone();
        let second = thread::spawn(move || {
            Lock::acquire(&other, "umount a", soon(), &mut |who| {
                told.send(who.cloned()).unwrap()
            })
            .is_ok()
        });
        assert_eq!(waits.recv().unwrap().unwrap().operation, "mount a");
        drop(first);
        assert!(second.join().unwrap());
        assert_eq!(holder(&path), None);
    }

    #[test]
    fn a_removed_file_does_not_let_two_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume-a");
        let counter = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (path, counter) = (path.clone(), counter.clone());
                thread::spawn(move || {
                    for _ in 0..50 {
                        let lock = Lock::acquire(&path, "x", soon(), &mut |_| ()).unwrap();
                        assert_eq!(counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        counter.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        lock.remove_file();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn rubbish_in_the_file_is_no_holder_and_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume-a");
        File::create(&path).unwrap().write_all(b"\xff{]").unwrap();
        assert_eq!(holder(&path), None);
        assert!(Lock::acquire(&path, "x", soon(), &mut |_| ()).is_ok());
    }
}

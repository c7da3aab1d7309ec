//! A data plane that is guarded: its process and the conversation with it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::conversation::Conversation;
use super::{log, socket};
use crate::{Dirs, spawn};

/// How long the first data plane may take until it listens.
pub(super) const START_UP: Duration = Duration::from_secs(30);

/// A data plane.
pub(super) struct Ward {
    /// `None` when a former guard started it, or an earlier stage of it.
    child: Option<Child>,
    pidfd: OwnedFd,
    /// `None` after the data plane closed its end.
    pub(super) conversation: Option<Conversation>,
    /// It listens.
    pub(super) ready: bool,
    /// It said that it will end.
    pub(super) leaving: bool,
    /// When it was started or taken over.
    pub(super) since: Instant,
}

/// How a data plane ended.
pub(super) struct Death {
    /// For people.
    pub(super) text: String,
    /// Somebody else ended it (SIGKILL), after it listened: no fault of its own that the next one would repeat.
    pub(super) by_others: bool,
}

impl Ward {
    /// Starts a data plane.
    pub(super) fn start(dirs: &Dirs, exe: &Path) -> io::Result<Self> {
        let log = log::open(dirs)?;
        // A new log may have begun.
        rustix::stdio::dup2_stdout(&log)?;
        rustix::stdio::dup2_stderr(&log)?;
        let (ours, theirs) = socket::pair()?;
        let mut child = spawn::dataplane(exe, dirs, theirs, log)?;
        let pidfd = match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // One that cannot be watched must not serve.
                child.kill()?;
                child.wait()?;
                return Err(error.into());
            }
        };
        Ok(Self {
            child: Some(child),
            ..Self::adopted(pidfd, ours)
        })
    }

    /// Takes over one that runs.
    pub(super) fn adopted(pidfd: OwnedFd, socket: OwnedFd) -> Self {
        Self {
            child: None,
            pidfd,
            conversation: Some(Conversation::new(socket)),
            ready: false,
            leaving: false,
            since: Instant::now(),
        }
    }

    /// Becomes readable when the process is dead with all its threads: its descriptors are closed then.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal) {
            log::line(&format!("cannot send {signal:?} to the data plane: {error}"));
        }
    }

    /// Takes the dead process out of the process table when it is a child; init does it otherwise.
    pub(super) fn bury(&mut self) -> Death {
        let Some(child) = &mut self.child else {
            return Death {
                text: "died".to_owned(),
                by_others: self.ready,
            };
        };
        match child.wait() {
            Ok(status) => Death {
                text: format!("ended with {status}"),
                by_others: self.ready && status.signal() == Some(Signal::KILL.as_raw()),
            },
            Err(error) => Death {
                text: format!("ended, how is unknown: {error}"),
                by_others: false,
            },
        }
    }
}

//! A data plane that is guarded: its process and the conversation with it.
//!
//! A killed data plane may linger: a thread of it waits in the kernel for I/O on a device of its own, which only the
//! successor answers. Such threads have a descriptor table of their own (`blockdev::own_table`), so the end of the
//! conversation says that the table with /dev/fuse is closed, and nothing of the old process can serve any more.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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
    /// When that was.
    pub(super) closed: Option<Instant>,
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
            closed: None,
            ready: false,
            leaving: false,
            since: Instant::now(),
        }
    }

    /// This guard started it.
    pub(super) fn is_child(&self) -> bool {
        self.child.is_some()
    }

    /// Becomes readable when the process is dead with all its threads.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal) {
            log::line(&format!("cannot send {signal:?} to the data plane: {error}"));
        }
    }

    /// It said its last word, and what is left of it are threads that wait in the kernel: its first thread is dead.
    pub(super) fn lingers(&self) -> bool {
        self.conversation.is_none() && self.leader_state() == Some('Z')
    }

    /// The state of the process's first thread, as proc(5) has it.
    fn leader_state(&self) -> Option<char> {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd())).ok()?;
        let pid: i32 = info
            .lines()
            .find_map(|line| line.strip_prefix("Pid:"))?
            .trim()
            .parse()
            .ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything.
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    }

    /// Takes the dead process out of the process table when it is a child; init does it otherwise. A child that
    /// lingers is handed back.
    pub(super) fn bury(self) -> (Death, Option<Remains>) {
        let unknown = |text: &str| Death {
            text: text.to_owned(),
            by_others: self.ready,
        };
        let Some(mut child) = self.child else {
            return (unknown("died"), None);
        };
        match child.try_wait() {
            Ok(Some(status)) => {
                let death = Death {
                    text: format!("ended with {status}"),
                    by_others: self.ready && status.signal() == Some(Signal::KILL.as_raw()),
                };
                (death, None)
            }
            Ok(None) => {
                let pidfd = self.pidfd;
                let death = unknown("died, but for threads that wait for I/O");
                (death, Some(Remains { child, pidfd }))
            }
            Err(error) => (unknown(&format!("died; its status is unknown: {error}")), None),
        }
    }
}

/// A dead child with threads that still wait in the kernel.
pub(super) struct Remains {
    child: Child,
    pidfd: OwnedFd,
}

impl Remains {
    /// Becomes readable when it can be taken out of the process table.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Takes it out of the process table; whether that is done.
    pub(super) fn bury(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

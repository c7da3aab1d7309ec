//! The guard's event loop: one thread, no clock but for pauses, asleep as long as nothing happens.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::conversation::Heard;
use super::crashes::Crashes;
use super::launch::READY;
use super::store::Store;
use super::ward::{Remains, START_UP, Ward};
use super::{Config, HoldError, host, log};

/// Pause after a failure of the host that is none of the data plane's.
const BREATH: Duration = Duration::from_millis(100);

/// How often to look whether a data plane that closed the conversation lingers.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What a guard begins with.
pub(super) enum Guarded {
    /// A data plane that is to be started; the launcher waits to hear that it listens.
    New { launcher: UnixStream },
    /// One that runs.
    Running(Ward),
}

/// A guard.
pub(super) struct Guard {
    config: Config,
    store: Store,
    /// `None` between two data planes.
    ward: Option<Ward>,
    /// Former data planes that are not quite dead.
    remains: Vec<Remains>,
    /// When the next data plane may be started.
    next_start: Instant,
    crashes: Crashes,
    /// Is told when the first data plane listens.
    launcher: Option<UnixStream>,
    signals: UnixStream,
    /// A SIGTERM that is to be passed on.
    terminate: bool,
    _lock: File,
}

/// What happened.
#[derive(Default)]
struct Events {
    signal: bool,
    message: bool,
    hung_up: bool,
    death: bool,
}

impl Guard {
    pub(super) fn new(
        config: Config,
        lock: File,
        signals: UnixStream,
        guarded: Guarded,
    ) -> Result<Self, HoldError> {
        let (launcher, ward) = match guarded {
            Guarded::Running(ward) => (None, ward),
            Guarded::New { launcher } => {
                let ward = Ward::start(&config.dirs, &config.exe)
                    .map_err(host(format!("start {} dataplane", config.exe.display())))?;
                (Some(launcher), ward)
            }
        };
        Ok(Self {
            config,
            store: Store::default(),
            ward: Some(ward),
            remains: Vec::new(),
            next_start: Instant::now(),
            crashes: Crashes::default(),
            launcher,
            signals,
            terminate: false,
            _lock: lock,
        })
    }

    /// Guards until the data plane is dead and nothing is kept.
    pub(super) fn run(mut self) -> Result<(), HoldError> {
        loop {
            if self.ward.is_none() && Instant::now() >= self.next_start {
                self.start_successor();
            }
            let events = match self.wait() {
                Ok(events) => events,
                // What is kept must not end for that.
                Err(error) => {
                    log::line(&format!("cannot wait for events: {error}"));
                    std::thread::sleep(BREATH);
                    continue;
                }
            };
            if events.signal {
                self.take_signal();
            }
            if events.message {
                self.converse(events.hung_up);
            }
            self.pass_signal_on();
            self.remains.retain_mut(|remains| !remains.bury());
            if events.death && !self.outlive()? {
                return Ok(());
            }
            self.give_up_slow_start();
        }
    }

    fn wait(&self) -> Result<Events, Errno> {
        let mut waiting = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut has_conversation = false;
        if let Some(ward) = &self.ward {
            waiting.push(PollFd::from_borrowed_fd(ward.pidfd(), PollFlags::IN));
            if let Some(conversation) = &ward.conversation {
                has_conversation = true;
                waiting.push(PollFd::from_borrowed_fd(
                    conversation.as_fd(),
                    conversation.interest(),
                ));
            }
        }
        waiting.extend(
            self.remains
                .iter()
                .map(|remains| PollFd::from_borrowed_fd(remains.pidfd(), PollFlags::IN)),
        );
        let timeout = self
            .wake_up()
            .map(|at| at.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Events::default()),
            Err(error) => return Err(error),
        }
        let happened: Vec<PollFlags> = waiting.iter().map(PollFd::revents).collect();
        let has_ward = self.ward.is_some();
        let dead = happened.get(1).filter(|_| has_ward);
        let message = happened.get(2).filter(|_| has_conversation);
        Ok(Events {
            signal: !happened[0].is_empty(),
            death: dead.is_some_and(|flags| !flags.is_empty())
                || self.ward.as_ref().is_some_and(Ward::lingers),
            message: message.is_some_and(|flags| !flags.is_empty()),
            hung_up: message.is_some_and(|flags| flags.intersects(PollFlags::HUP | PollFlags::RDHUP)),
        })
    }

    /// When something is to be done although nothing happened.
    fn wake_up(&self) -> Option<Instant> {
        match &self.ward {
            None => Some(self.next_start),
            // Its death is near. If not, less and less often is enough.
            Some(Ward {
                closed: Some(closed), ..
            }) => Some(Instant::now() + (closed.elapsed() / 4).clamp(FIRST_LOOK, LAST_LOOK)),
            Some(ward) if self.launcher.is_some() => Some(ward.since + START_UP),
            Some(_) => None,
        }
    }

    fn take_signal(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.signals.read(&mut bytes), Ok(len) if len > 0) {}
        self.terminate = true;
    }

    /// One that starts could not handle a signal yet, and would leave what is kept without a decision.
    fn pass_signal_on(&mut self) {
        let Some(ward) = &self.ward else { return };
        if self.terminate && (ward.ready || self.store.is_empty()) {
            self.terminate = false;
            ward.signal(Signal::TERM);
        }
    }

    fn converse(&mut self, hung_up: bool) {
        let Some(ward) = &mut self.ward else { return };
        let Some(conversation) = &mut ward.conversation else {
            return;
        };
        match conversation.turn(&mut self.store, hung_up) {
            Heard::Nothing => {}
            Heard::Closed => {
                ward.conversation = None;
                ward.closed = Some(Instant::now());
            }
            Heard::Bye => ward.leaving = true,
            Heard::Ready => {
                ward.ready = true;
                if ward.is_child() {
                    log::line(&format!(
                        "the data plane listens after {} ms; devices kept: {}",
                        ward.since.elapsed().as_millis(),
                        self.store.len()
                    ));
                }
                if let Some(mut launcher) = self.launcher.take() {
                    // It may have gone; the data plane ends by itself then, when nobody comes.
                    let _ = launcher.write_all(READY.as_bytes());
                    let _ = launcher.shutdown(std::net::Shutdown::Both);
                }
            }
        }
    }

    /// The data plane is dead. Returns whether there is something left to guard.
    fn outlive(&mut self) -> Result<bool, HoldError> {
        let Some(mut ward) = self.ward.take() else {
            return Ok(true);
        };
        if let Some(conversation) = ward.conversation.take() {
            conversation.drain(&mut self.store);
        }
        let leaving = ward.leaving;
        let lived = ward.since.elapsed();
        let (death, remains) = ward.bury();
        self.remains.extend(remains);
        if self.store.is_empty() {
            if self.launcher.is_some() {
                return Err(HoldError::NotReady(format!(
                    "the data plane {} before it listened; {} may say why",
                    death.text,
                    self.config.dirs.log().display()
                )));
            }
            let manner = if leaving {
                "as it said"
            } else {
                "with nothing kept"
            };
            log::line(&format!("the data plane {} {manner}; hold ends too", death.text));
            return Ok(false);
        }
        let pause = if death.by_others {
            Duration::ZERO
        } else {
            self.crashes.count(lived)
        };
        self.next_start = Instant::now() + pause;
        log::line(&format!(
            "the data plane {}; devices kept: {}; the next one starts in {} s",
            death.text,
            self.store.len(),
            pause.as_secs()
        ));
        Ok(true)
    }

    fn start_successor(&mut self) {
        match Ward::start(&self.config.dirs, &self.config.exe) {
            Ok(ward) => self.ward = Some(ward),
            Err(error) => {
                let pause = self.crashes.count(Duration::ZERO).max(BREATH);
                self.next_start = Instant::now() + pause;
                log::line(&format!(
                    "cannot start {} dataplane: {error}; tried again in {} ms",
                    self.config.exe.display(),
                    pause.as_millis()
                ));
            }
        }
    }

    /// The first data plane has a bound for its start, while there is nothing to lose.
    fn give_up_slow_start(&mut self) {
        let Some(ward) = &mut self.ward else { return };
        if self.launcher.is_some() && self.store.is_empty() && ward.since.elapsed() >= START_UP {
            log::line(&format!(
                "the data plane does not listen after {} s",
                START_UP.as_secs()
            ));
            ward.since = Instant::now();
            ward.signal(Signal::KILL);
        }
    }
}

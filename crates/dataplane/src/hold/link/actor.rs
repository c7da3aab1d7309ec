//! The task behind [`Link`](super::Link): carries requests out one after the other, and replaces `hold` when it dies.
//!
//! It has duplicates of all that is kept. So a new `hold` can be handed everything without asking anybody.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use longshore_blockdev::lift;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::exchange::{Channel, Fault};
use super::{KeptDevice, unpack};
use crate::Dirs;
use crate::hold::message::Kind;
use crate::hold::{Stage, log, socket};
use crate::spawn;

/// First pause after a `hold` that could not be started; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

type Done<T> = oneshot::Sender<io::Result<T>>;

/// What callers ask for. Every one is carried out and answered, or its answer is dropped with the caller.
pub(super) enum Command {
    Keep {
        name: String,
        blob: Zeroizing<Vec<u8>>,
        descriptors: Vec<OwnedFd>,
        done: Done<()>,
    },
    Release {
        name: String,
        done: Done<()>,
    },
    GiveBack {
        done: Done<Vec<KeptDevice>>,
    },
    Ready {
        done: Done<()>,
    },
    Bye {
        done: Done<()>,
    },
}

/// What is kept under one name. The first descriptor is dropped first: it is the one of /dev/fuse, whose end lets
/// nobody wait for the others.
struct Entry {
    blob: Zeroizing<Vec<u8>>,
    descriptors: Vec<OwnedFd>,
}

impl Entry {
    fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        self.descriptors.iter().map(AsFd::as_fd).collect()
    }
}

pub(super) struct Actor {
    /// `None` while there is no `hold`.
    channel: Option<Channel>,
    entries: BTreeMap<String, Entry>,
    /// Names that `hold` may keep although nobody wants it: it was silent when they were asked for.
    stale: Vec<String>,
    ready: bool,
    leaving: bool,
    dirs: Dirs,
    exe: PathBuf,
    commands: mpsc::Receiver<Command>,
    /// The `hold` that this process started; it is our child then.
    guard: Option<Child>,
}

impl Actor {
    pub(super) fn new(
        socket: OwnedFd,
        dirs: Dirs,
        exe: PathBuf,
        commands: mpsc::Receiver<Command>,
    ) -> io::Result<Self> {
        Ok(Self {
            channel: Some(Channel::new(socket)?),
            entries: BTreeMap::new(),
            stale: Vec::new(),
            ready: false,
            leaving: false,
            dirs,
            exe,
            commands,
            guard: None,
        })
    }

    /// Runs until all [`Link`](super::Link)s are dropped.
    pub(super) async fn run(mut self) {
        loop {
            let Some(channel) = &mut self.channel else {
                if self.leaving {
                    // hold ended first, which it should not; there is nothing left to keep.
                    let Some(command) = self.commands.recv().await else {
                        return;
                    };
                    self.leaving = false;
                    self.carry_out(command).await;
                } else {
                    self.replace().await;
                }
                continue;
            };
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => return,
                },
                () = channel.lost() => self.forget_channel(),
            }
        }
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Keep {
                name,
                blob,
                descriptors,
                done,
            } => {
                self.leaving = false;
                let is_new = !self.entries.contains_key(&name);
                let kept = self.keep(&name, Entry { blob, descriptors }).await;
                let unwanted = is_new && kept.is_ok();
                if done.send(kept.map_err(io::Error::from)).is_err() && unwanted {
                    // The caller went away and does not know that it is kept. What fails here is tried again later.
                    let _ = self.release(&name).await;
                }
            }
            Command::Release { name, done } => {
                let released = self.release(&name).await;
                let _ = done.send(released.map_err(io::Error::from));
            }
            Command::GiveBack { done } => {
                let kept = self.give_back().await;
                let _ = done.send(kept.map_err(io::Error::from));
            }
            Command::Ready { done } => {
                self.ready = true;
                let told = self.ask(Kind::Ready, "").await;
                let _ = done.send(told.map_err(io::Error::from));
            }
            Command::Bye { done } => {
                let said = self.ask(Kind::Bye, "").await;
                self.leaving = said.is_ok();
                let _ = done.send(said.map_err(io::Error::from));
            }
        }
    }

    /// Keeps an entry. When that fails, what was kept under the name before is what is kept.
    async fn keep(&mut self, name: &str, entry: Entry) -> Result<(), Fault> {
        let before = self.entries.insert(name.to_owned(), entry);
        let result = loop {
            if let Err(fault) = self.settle().await {
                break Err(fault);
            }
            let (Some(channel), Some(entry)) = (&mut self.channel, self.entries.get(name)) else {
                continue;
            };
            match channel
                .ask(Kind::Keep, name, &entry.blob, &entry.borrowed())
                .await
            {
                Err(Fault::Lost(_)) => self.forget_channel(),
                other => break other,
            }
        };
        let Err(fault) = result else { return Ok(()) };
        match before {
            Some(before) => drop(self.entries.insert(name.to_owned(), before)),
            None => {
                self.entries.remove(name);
                self.stale.push(name.to_owned());
            }
        }
        Err(fault)
    }

    async fn release(&mut self, name: &str) -> Result<(), Fault> {
        self.entries.remove(name);
        let released = self.ask(Kind::Release, name).await;
        if released.is_err() {
            self.stale.push(name.to_owned());
        }
        released
    }

    async fn give_back(&mut self) -> Result<Vec<KeptDevice>, Fault> {
        self.settle().await?;
        let Some(channel) = &mut self.channel else {
            return Ok(Vec::new());
        };
        let entries = &mut self.entries;
        let mut devices = Vec::new();
        let result = channel
            .give_back(|name, blob, descriptors| {
                let device = take(entries, name, blob, descriptors).unwrap_or_else(|error| {
                    let mut device = unpack(name, blob, Vec::new());
                    device.device = Err(error);
                    device
                });
                devices.push(device);
            })
            .await;
        match result {
            Err(Fault::Lost(_)) => {
                tracing::error!(
                    count = devices.len(),
                    "hold died while it gave devices back; some may be lost"
                );
                self.forget_channel();
                Ok(devices)
            }
            other => other.map(|()| devices),
        }
    }

    /// A request without body and descriptors, repeated when `hold` dies: it may be carried out twice.
    async fn ask(&mut self, kind: Kind, name: &str) -> Result<(), Fault> {
        loop {
            self.settle().await?;
            let Some(channel) = &mut self.channel else {
                continue;
            };
            match channel.ask(kind, name, &[], &[]).await {
                Err(Fault::Lost(_)) => self.forget_channel(),
                other => return other,
            }
        }
    }

    /// Sees to it that there is a `hold`, and that it keeps nothing that nobody wants.
    async fn settle(&mut self) -> Result<(), Fault> {
        loop {
            let Some(channel) = &mut self.channel else {
                self.replace().await;
                continue;
            };
            let Some(name) = self.stale.last() else {
                return Ok(());
            };
            match channel.ask(Kind::Release, name, &[], &[]).await {
                Ok(()) => drop(self.stale.pop()),
                Err(Fault::Lost(_)) => self.forget_channel(),
                Err(fault) => return Err(fault),
            }
        }
    }

    fn forget_channel(&mut self) {
        self.channel = None;
        if let Some(guard) = self.guard.take() {
            reap(guard);
        }
    }

    /// Starts another `hold` and hands it everything. Tries as long as it takes.
    async fn replace(&mut self) {
        tracing::warn!(devices = self.entries.len(), "hold died; starting another one");
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_replace().await {
                Ok(()) => {
                    tracing::info!(devices = self.entries.len(), "another hold keeps everything now");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, pause_ms = pause.as_millis(), "cannot start another hold");
                    if let Some(mut guard) = self.guard.take() {
                        let _ = guard.kill();
                        reap(guard);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_replace(&mut self) -> Result<(), Fault> {
        let mut channel = self.start_guard().map_err(Fault::Failed)?;
        let own = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| Fault::Failed(error.into()))?;
        channel.ask(Kind::Adopt, "", &[], &[own.as_fd()]).await?;
        for (name, entry) in &self.entries {
            match channel
                .ask(Kind::Keep, name, &entry.blob, &entry.borrowed())
                .await
            {
                Err(Fault::Refused(reason)) => {
                    tracing::error!(device = name, reason, "hold does not keep this device");
                }
                other => other?,
            }
        }
        if self.ready {
            channel.ask(Kind::Ready, "", &[], &[]).await?;
        }
        self.stale.clear();
        self.channel = Some(channel);
        Ok(())
    }

    fn start_guard(&mut self) -> io::Result<Channel> {
        let (ours, theirs) = socket::pair()?;
        let log = log::open(&self.dirs)?;
        self.guard = Some(spawn::hold(&self.exe, &self.dirs, Stage::Adopt, theirs, log)?);
        Channel::new(ours)
    }
}

/// Keeps what `hold` gave back, and makes duplicates for the device.
fn take(
    entries: &mut BTreeMap<String, Entry>,
    name: &str,
    blob: &[u8],
    mut descriptors: Vec<OwnedFd>,
) -> io::Result<KeptDevice> {
    let duplicates: io::Result<Vec<OwnedFd>> = descriptors.iter().map(OwnedFd::try_clone).collect();
    if !descriptors.is_empty() {
        let fuse = lift(descriptors.remove(0))?;
        descriptors.insert(0, fuse);
    }
    let entry = Entry {
        blob: Zeroizing::new(blob.to_vec()),
        descriptors,
    };
    entries.insert(name.to_owned(), entry);
    Ok(unpack(name, blob, duplicates?))
}

/// Waits for a child that is dead or dying, without holding anybody up.
fn reap(mut child: Child) {
    let waiter = std::thread::Builder::new().name("reap hold".to_owned());
    if let Err(error) = waiter.spawn(move || child.wait()) {
        tracing::warn!(%error, "cannot wait for the former hold; its entry in the process table stays");
    }
}

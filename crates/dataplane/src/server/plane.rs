//! What the data plane knows: its devices, and those that a former data plane left and that are not back yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use longshore_blockdev::{Device, FuseLoop, Kept, Record};
use tokio::sync::Notify;

use super::backing::Backing;
use super::gate::Gates;
use super::note::Note;
use super::sessions::{SessionUse, Sessions};
use super::source::UnitKey;
use crate::hold::Link;
use crate::proto::{DeviceKey, ErrorKind, Fact, Outcome, RemoteError, Reply, Request};
use crate::server::{discovery, host};

/// Most devices of one process; each takes three descriptors here and in `hold`.
pub(super) const MAX_DEVICES: usize = 4096;

/// The whole.
pub(super) struct Plane {
    pub(super) link: Link,
    pub(super) exporter: FuseLoop,
    pub(super) sessions: Sessions,
    /// One attach or detach of a unit at a time.
    pub(super) gates: Gates<UnitKey>,
    pub(super) facts: Vec<Fact>,
    state: Mutex<State>,
    /// Told when the last client or device may be gone.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    devices: BTreeMap<DeviceKey, Entry>,
    clients: usize,
    /// Attaches under way.
    working: usize,
    ending: bool,
}

/// A device in one of its two states.
#[derive(Clone)]
pub(super) enum Entry {
    Served(Arc<Served>),
    Orphan(Arc<Orphan>),
}

/// A device that is served, or that fails everything because it must not be served.
pub(super) struct Served {
    pub(super) note: Note,
    pub(super) unit_key: UnitKey,
    pub(super) device: Device,
    pub(super) backing: Arc<Backing>,
    /// Taken by the detach that ends it.
    pub(super) session: Mutex<Option<SessionUse>>,
}

/// A device of a former data plane whose session is not back yet: its I/O waits.
pub(super) struct Orphan {
    /// The name under which it is kept.
    pub(super) name: String,
    pub(super) note: Note,
    pub(super) unit_key: UnitKey,
    pub(super) record: Record,
    /// Taken by whoever resumes it or gives it up.
    pub(super) kept: Mutex<Option<Kept>>,
    /// Why it is not back.
    pub(super) trouble: Mutex<String>,
    pub(super) since: Instant,
}

/// Counts a client or an attach as long as it lives.
pub(super) struct Presence {
    plane: Arc<Plane>,
    is_client: bool,
}

impl Plane {
    pub(super) fn new(link: Link, exporter: FuseLoop, facts: Vec<Fact>) -> Self {
        Self {
            link,
            exporter,
            sessions: Sessions::new(),
            gates: Gates::new(),
            facts,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out one request.
    pub(super) async fn handle(
        self: &Arc<Self>,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, RemoteError> {
        if self.state().ending {
            return Err(ending());
        }
        match request {
            Request::Hello(_) => Err(RemoteError::new(
                ErrorKind::InvalidRequest,
                "'hello' comes first, and only once",
            )),
            Request::Attach(request) => {
                let _working = self.presence(false)?;
                self.attach(*request, deadline)
                    .await
                    .map(|device| Reply::Attached(Box::new(device)))
            }
            Request::Detach { device, force } => {
                self.detach(&device, force, deadline).await.map(Reply::Detached)
            }
            Request::List => Ok(Reply::Devices(self.entries().iter().map(Entry::status).collect())),
            Request::Show { device } => Ok(Reply::Device(Box::new(self.entry(&device)?.status()))),
            Request::Verify { device } => self.verify(&device, deadline).await,
            Request::Fail { device } => Ok(Reply::Failed(self.fail_device(&device))),
            Request::Rescan { device } => self.rescan(&device, deadline).await,
            Request::Discover(request) => discovery::discover(&request, deadline).await.map(Reply::Targets),
            Request::Host => Ok(Reply::Host(host::report(&self.facts))),
            Request::Shutdown => self.shutdown(),
            Request::Unknown => Err(RemoteError::new(
                ErrorKind::Unsupported,
                format!(
                    "the running data plane ({}) does not know this request; it is older than the client",
                    crate::client::software()
                ),
            )),
        }
    }

    fn shutdown(&self) -> Result<Reply, RemoteError> {
        let mut state = self.state();
        if !state.devices.is_empty() || state.working > 0 {
            let text = format!("{} devices are attached; detach them first", state.devices.len());
            return Err(RemoteError::new(ErrorKind::Busy, text));
        }
        state.ending = true;
        drop(state);
        self.changed.notify_one();
        Ok(Reply::ShuttingDown)
    }

    /// Nobody needs the data plane at the moment.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        state.devices.is_empty() && state.working == 0 && state.clients == 0
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state().ending
    }

    /// Ends the data plane if no device needs it. From then on every request is refused.
    pub(super) fn try_end(&self) -> bool {
        let mut state = self.state();
        state.ending |= state.devices.is_empty() && state.working == 0;
        state.ending
    }

    /// Counts somebody who needs the data plane; refused when it is ending.
    pub(super) fn presence(self: &Arc<Self>, is_client: bool) -> Result<Presence, RemoteError> {
        let mut state = self.state();
        if state.ending {
            return Err(ending());
        }
        if is_client {
            state.clients += 1;
        } else {
            state.working += 1;
        }
        Ok(Presence {
            plane: self.clone(),
            is_client,
        })
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.state().devices.values().cloned().collect()
    }

    pub(super) fn find(&self, key: &DeviceKey) -> Option<Entry> {
        self.state().devices.get(key).cloned()
    }

    pub(super) fn entry(&self, key: &DeviceKey) -> Result<Entry, RemoteError> {
        self.find(key).ok_or_else(|| {
            RemoteError::new(
                ErrorKind::NotFound,
                format!("there is no device {key}; `longshore ls` shows what there is"),
            )
        })
    }

    /// The device of a unit, by the way it was asked for.
    pub(super) fn find_unit(&self, unit_key: &UnitKey) -> Option<Entry> {
        self.state()
            .devices
            .values()
            .find(|entry| entry.unit_key() == unit_key)
            .cloned()
    }

    pub(super) fn insert(&self, key: DeviceKey, entry: Entry) {
        self.state().devices.insert(key, entry);
    }

    pub(super) fn remove(&self, key: &DeviceKey) -> Outcome {
        let removed = self.state().devices.remove(key);
        self.changed.notify_one();
        if removed.is_some() {
            Outcome::Changed
        } else {
            Outcome::AlreadySo
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.state().devices.len() >= MAX_DEVICES
    }
}

impl Entry {
    pub(super) fn unit_key(&self) -> &UnitKey {
        match self {
            Self::Served(served) => &served.unit_key,
            Self::Orphan(orphan) => &orphan.unit_key,
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = self.plane.state();
        let count = if self.is_client {
            &mut state.clients
        } else {
            &mut state.working
        };
        *count -= 1;
        drop(state);
        self.plane.changed.notify_one();
    }
}

fn ending() -> RemoteError {
    RemoteError::new(
        ErrorKind::ShuttingDown,
        "the data plane is ending; a new one is started on the next request",
    )
}

//! How a device fares, as it is told to clients; verify and rescan.

use std::sync::PoisonError;
use std::time::{Instant, SystemTime};

use longshore_initiator::SessionState as State;

use super::attach::fenced;
use super::backing::Backing;
use super::note::Note;
use super::plane::{Entry, Orphan, Plane, Served};
use super::translate;
use crate::proto::{
    AttachedDevice, Condition, ConditionKind, DeviceKey, DeviceStatus, ErrorKind, Outcome, RemoteError,
    Reply, SessionState, SessionSummary,
};

impl Plane {
    pub(super) async fn verify(&self, key: &DeviceKey, deadline: Instant) -> Result<Reply, RemoteError> {
        let served = self.served(key)?;
        let unit = served.backing.unit().ok_or_else(|| fenced(&served))?;
        unit.verify_identity(deadline)
            .await
            .map_err(|error| translate::unit(&error))?;
        served
            .device
            .verify(deadline)
            .await
            .map_err(|error| translate::export(&error))?;
        Ok(Reply::Device(Box::new(Entry::Served(served).status())))
    }

    pub(super) async fn rescan(&self, key: &DeviceKey, deadline: Instant) -> Result<Reply, RemoteError> {
        let served = self.served(key)?;
        let turn = self
            .gates
            .enter(&served.unit_key, "another operation on this LUN", deadline)
            .await?;
        let result = self.resize(&served, deadline).await;
        turn.end(result)?;
        Ok(Reply::Device(Box::new(Entry::Served(served).status())))
    }

    async fn resize(&self, served: &Served, deadline: Instant) -> Result<(), RemoteError> {
        let unit = served.backing.unit().ok_or_else(|| fenced(served))?;
        let geometry = unit
            .refresh(deadline)
            .await
            .map_err(|error| translate::unit(&error))?;
        if geometry.size_bytes == served.device.record().size_bytes {
            return Ok(());
        }
        let note = served
            .note
            .encode()
            .map_err(|error| RemoteError::new(ErrorKind::Other, error.to_string()))?;
        let store = self.link.with_note(note);
        let resized = served.device.resize(geometry.size_bytes, &store, deadline).await;
        resized.map_err(|error| translate::export(&error))
    }

    fn served(&self, key: &DeviceKey) -> Result<std::sync::Arc<Served>, RemoteError> {
        match self.entry(key)? {
            Entry::Served(served) => Ok(served),
            Entry::Orphan(orphan) => {
                let why = orphan
                    .trouble
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                Err(RemoteError::new(
                    ErrorKind::Conflict,
                    format!("{key}: its session is not back: {why}"),
                ))
            }
        }
    }
}

impl Entry {
    pub(super) fn status(&self) -> DeviceStatus {
        match self {
            Self::Served(served) => served.status(),
            Self::Orphan(orphan) => orphan.status(),
        }
    }
}

impl Served {
    /// The device without steps, as one that was there before.
    pub(super) fn describe(&self) -> AttachedDevice {
        let record = self.device.record();
        let (major, minor) = self.device.number();
        AttachedDevice {
            device: self.device.path(),
            major,
            minor,
            size_bytes: record.size_bytes,
            block_size_bytes: record.block_size_bytes,
            read_only: record.read_only,
            session: self.summary(),
            ..described(&self.note)
        }
    }

    fn status(&self) -> DeviceStatus {
        let stats = self.device.stats();
        DeviceStatus {
            device: self.describe(),
            requests_in_flight: stats.in_flight,
            io_errors: stats.io_errors,
            conditions: self.conditions(),
            ..status_of(&self.note)
        }
    }

    fn summary(&self) -> SessionSummary {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(session) = &*session else {
            return no_session(SessionState::Closed, 0);
        };
        let info = session.session.info();
        SessionSummary {
            state: match info.state {
                State::Up => SessionState::Up,
                State::Reconnecting => SessionState::Reconnecting,
                State::Closed => SessionState::Closed,
            },
            portal: Some(info.portal.to_string()),
            address: Some(info.address.to_string()),
            tsih: Some(info.tsih.0),
            reconnects: info.reconnects,
            since_s: SystemTime::now()
                .duration_since(info.since)
                .unwrap_or_default()
                .as_secs(),
            last_error: info.last_error,
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut found = Vec::new();
        let mut add = |kind, text: String| found.push(Condition { kind, text });
        match &*self.backing {
            Backing::Dead { reason, .. } => add(ConditionKind::Fenced, reason.clone()),
            Backing::Unit(unit) => {
                if let Some(condition) = unit.condition() {
                    add(
                        ConditionKind::Fenced,
                        format!("{condition}; every I/O fails; detach it"),
                    );
                }
                if let Some(trouble) = unit.trouble() {
                    add(ConditionKind::SessionDown, format!("I/O waits: {trouble}"));
                }
            }
        }
        let summary = self.summary();
        let why = summary.last_error.as_deref().unwrap_or("no reason is known");
        match summary.state {
            SessionState::Reconnecting => {
                add(
                    ConditionKind::SessionDown,
                    format!("the session is down for {} s; I/O waits: {why}", summary.since_s),
                );
            }
            SessionState::Closed if self.backing.unit().is_some() => {
                add(
                    ConditionKind::SessionClosed,
                    format!("the session is over, every I/O fails: {why}"),
                );
            }
            _ => {}
        }
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = session.as_ref().and_then(|session| session.watched.clash()) {
            add(ConditionKind::InitiatorNameClash, text);
        }
        let errors = self.device.stats().io_errors;
        if errors > 0 {
            add(
                ConditionKind::IoErrors,
                format!("{errors} requests failed; dataplane.log has the reasons"),
            );
        }
        found
    }
}

impl Orphan {
    fn status(&self) -> DeviceStatus {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let text = format!(
            "not served since the data plane was restarted {} s ago; I/O waits: {trouble}",
            self.since.elapsed().as_secs()
        );
        let number = self.record.loop_number;
        DeviceStatus {
            device: AttachedDevice {
                device: format!("/dev/loop{number}").into(),
                major: 7,
                minor: number,
                size_bytes: self.record.size_bytes,
                block_size_bytes: self.record.block_size_bytes,
                read_only: self.record.read_only,
                session: no_session(SessionState::Reconnecting, self.since.elapsed().as_secs()),
                ..described(&self.note)
            },
            conditions: vec![Condition {
                kind: ConditionKind::SessionDown,
                text,
            }],
            ..status_of(&self.note)
        }
    }
}

/// What the note alone tells about a device.
fn described(note: &Note) -> AttachedDevice {
    AttachedDevice {
        key: note.key.clone(),
        lun: note.request.source.lun,
        device: Default::default(),
        major: 0,
        minor: 0,
        wwid: note.key.wwid.clone(),
        vendor: note.description.vendor.clone(),
        product: note.description.product.clone(),
        revision: note.description.revision.clone(),
        serial: note.description.serial.clone(),
        size_bytes: 0,
        block_size_bytes: 0,
        read_only: note.request.read_only,
        session: no_session(SessionState::Closed, 0),
        steps: Vec::new(),
        outcome: Outcome::AlreadySo,
    }
}

fn status_of(note: &Note) -> DeviceStatus {
    DeviceStatus {
        device: described(note),
        owner: note.request.owner.clone(),
        attached_at_unix_ms: note.attached_at_unix_ms,
        takeovers: note.takeovers,
        requests_in_flight: 0,
        io_errors: 0,
        conditions: Vec::new(),
    }
}

fn no_session(state: SessionState, since_s: u64) -> SessionSummary {
    SessionSummary {
        state,
        portal: None,
        address: None,
        tsih: None,
        reconnects: 0,
        since_s,
        last_error: None,
    }
}

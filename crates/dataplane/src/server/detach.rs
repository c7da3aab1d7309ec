//! Detach: proof that nobody uses the device, flush, end, logout with the last one.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use longshore_blockdev::ExportError;

use super::plane::{Entry, Orphan, Plane, Served};
use super::{holders, translate};
use crate::proto::{DeviceKey, ErrorKind, Outcome, RemoteError};

/// How long a device may seem busy before that counts.
const LETTING_GO: Duration = Duration::from_secs(1);

impl Plane {
    /// Takes a device away; without one, it is so already.
    pub(super) async fn detach(
        &self,
        key: &DeviceKey,
        force: bool,
        deadline: Instant,
    ) -> Result<Outcome, RemoteError> {
        let Some(entry) = self.find(key) else {
            return Ok(Outcome::AlreadySo);
        };
        let turn = self
            .gates
            .enter(entry.unit_key(), "another operation on this LUN", deadline)
            .await?;
        // Somebody else may have ended it, or resumed it, while we waited.
        let result = match self.find(key) {
            None => Ok(Outcome::AlreadySo),
            Some(Entry::Served(served)) => self.detach_served(&served, force, deadline).await,
            Some(Entry::Orphan(orphan)) => self.detach_orphan(&orphan, force, deadline).await,
        };
        turn.end(result)
    }

    /// Ends whatever waits on a device. It needs no turn on the LUN: what holds the turn may be what waits.
    pub(super) fn fail_device(&self, key: &DeviceKey) -> Outcome {
        match self.find(key) {
            Some(Entry::Served(served)) => {
                tracing::warn!(device = %key, "failed on request: everything on it is answered with EIO from now on");
                served.device.fail();
                Outcome::Changed
            }
            Some(Entry::Orphan(_)) | None => Outcome::AlreadySo,
        }
    }

    async fn detach_served(
        &self,
        served: &Served,
        force: bool,
        deadline: Instant,
    ) -> Result<Outcome, RemoteError> {
        let note = served.note.encode();
        let note = note.map_err(|error| RemoteError::new(ErrorKind::Other, error.to_string()))?;
        let store = self.link.with_note(note);
        // A mount that was just taken away, or a child that is just being started, may hold the device for a moment.
        let patience = deadline.min(Instant::now() + LETTING_GO);
        while let Err(error) = served.device.detach(&store, force, deadline).await {
            if !matches!(error, ExportError::Busy { .. }) || Instant::now() >= patience {
                return Err(self.explain(error, served.device.number()).await);
            }
            tokio::time::sleep(LETTING_GO / 40).await;
        }
        let outcome = self.remove(&served.note.key);
        let session = served
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(session) = session {
            self.sessions.release(session).await;
        }
        tracing::info!(device = %served.note.key, force, "detached");
        Ok(outcome)
    }

    /// A device whose target is not back: what the kernel holds back for it can only be given up.
    async fn detach_orphan(
        &self,
        orphan: &Orphan,
        force: bool,
        deadline: Instant,
    ) -> Result<Outcome, RemoteError> {
        let key = &orphan.note.key;
        if !force {
            let why = orphan
                .trouble
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let text = format!(
                "{key} cannot be flushed: its session is not back ({why}); with force, unwritten data is lost"
            );
            return Err(RemoteError::new(ErrorKind::FlushFailed, text));
        }
        let kept = orphan.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(kept) = kept else {
            return Err(RemoteError::new(
                ErrorKind::Conflict,
                format!("{key} is just being taken over; try again"),
            ));
        };
        let number = (7, kept.record.loop_number);
        let store = self.link.with_note(Vec::new().into());
        match kept.give_up(&store, deadline).await {
            Ok(()) => Ok(self.remove(key)),
            Err((kept, error)) => {
                *orphan.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept.map(|kept| *kept);
                Err(self.explain(error, number).await)
            }
        }
    }

    /// Adds the holders to "busy".
    async fn explain(&self, error: ExportError, (major, minor): (u32, u32)) -> RemoteError {
        let mut remote = translate::export(&error);
        if remote.kind == ErrorKind::Busy {
            let found = tokio::task::spawn_blocking(move || holders::find(major, minor)).await;
            remote.holders = found.unwrap_or_default();
            let named: Vec<&str> = remote
                .holders
                .iter()
                .map(|holder| holder.description.as_str())
                .collect();
            if !named.is_empty() {
                remote.message = format!("{}: {}", remote.message, named.join("; "));
            }
        }
        remote
    }
}

//! Takes over the devices of a former data plane: log in with the same ISID, prove the WWID, serve.
//!
//! The same ISID reinstates the session: the old one's tasks are over before any write is sent again
//! (RFC 7143 §6.3.5). Until then the kernel keeps the device's requests; no error is told to anybody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_blockdev::{Exporter, Geometry, Kept};
use longshore_initiator::Unit;

use super::backing::Backing;
use super::note::Note;
use super::plane::{Entry, Orphan, Plane, Served};
use super::sessions::SessionUse;
use super::source::{self, UnitKey};
use super::translate;
use crate::hold::{KeptDevice, Link};
use crate::proto::RemoteError;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What came of an attempt.
enum Attempt {
    Served,
    /// Somebody gave the device up meanwhile.
    Gone,
    Failed(RemoteError),
}

/// Without the kernel's help nobody knows what the former data plane took and did not answer: those requests would wait
/// without end, and every process behind them. They fail instead, as if `hold` had died too.
async fn give_up(link: Link, name: String, device: String, kept: Kept) {
    tracing::error!(
        device,
        "this kernel cannot send unanswered requests again (Linux 6.9 and later can): the device's I/O fails; unmount and attach it again"
    );
    drop(kept);
    if let Err(error) = link.release(&name).await {
        tracing::error!(device, %error, "hold did not let the device go");
    }
}

impl Plane {
    /// Registers what was kept, and starts to take it over.
    pub(super) fn adopt(self: &Arc<Self>, kept: Vec<KeptDevice>) {
        for KeptDevice { name, note, device } in kept {
            let both = Note::decode(&note).and_then(|note| match device {
                Ok(device) => Ok((note, device)),
                Err(error) => Err(error.to_string()),
            });
            match both {
                Ok((note, device)) if device.is_resumable() => self.adopt_one(name, note, device),
                Ok((note, device)) => {
                    tokio::spawn(give_up(self.link.clone(), name, note.key.to_string(), device));
                }
                Err(why) => tracing::error!(
                    name,
                    "a device of the former data plane cannot be taken over, its I/O waits: {why}; start the version that made it"
                ),
            }
        }
    }

    fn adopt_one(self: &Arc<Self>, name: String, mut note: Note, kept: Kept) {
        note.takeovers += 1;
        let key = note.key.clone();
        let orphan = Arc::new(Orphan {
            name,
            unit_key: UnitKey::of(&note.request.source),
            note,
            record: kept.record.clone(),
            kept: Mutex::new(Some(kept)),
            trouble: Mutex::new("the login is under way".to_owned()),
            since: Instant::now(),
        });
        self.insert(key, Entry::Orphan(orphan.clone()));
        tokio::spawn(self.clone().bring_back(orphan));
    }

    async fn bring_back(self: Arc<Self>, orphan: Arc<Orphan>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(&orphan).await {
                Attempt::Served => {
                    let took_ms = orphan.since.elapsed().as_millis();
                    tracing::info!(device = %orphan.note.key, took_ms, "taken over");
                    return;
                }
                Attempt::Gone => return,
                Attempt::Failed(error) => {
                    tracing::warn!(device = %orphan.note.key, "not taken over yet, its I/O waits: {error}");
                    *orphan.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.message;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, orphan: &Arc<Orphan>) -> Attempt {
        let deadline = Instant::now() + ATTEMPT;
        let source = &orphan.note.request.source;
        let opened = async {
            let lun = source::lun(source)?;
            let session = self
                .sessions
                .acquire(&orphan.unit_key.session, source, deadline)
                .await?;
            match Unit::open(&session.session, lun, deadline).await {
                Ok(unit) => Ok((session, unit)),
                Err(error) => {
                    self.sessions.release(session).await;
                    Err(translate::unit(&error))
                }
            }
        };
        let (session, unit) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return Attempt::Failed(error),
        };
        // A detach by force excludes us from here on, and we it.
        let turn = match self
            .gates
            .enter(&orphan.unit_key, "another operation on this LUN", deadline)
            .await
        {
            Ok(turn) => turn,
            Err(error) => {
                drop(unit);
                self.sessions.release(session).await;
                return Attempt::Failed(error);
            }
        };
        let kept = orphan.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let attempt = match kept {
            Some(kept) => self.serve(orphan, kept, unit, session).await,
            None => {
                drop(unit);
                self.sessions.release(session).await;
                Attempt::Gone
            }
        };
        // Who waits for the turn finds the device, whatever it is now.
        let _ = turn.end(Ok(()));
        attempt
    }

    async fn serve(&self, orphan: &Arc<Orphan>, kept: Kept, unit: Unit, session: SessionUse) -> Attempt {
        let (backing, session) = match self.check(orphan, &unit) {
            Ok(()) => (Backing::Unit(unit), Some(session)),
            Err(reason) => {
                tracing::error!(device = %orphan.note.key, "fenced: {reason}");
                drop(unit);
                self.sessions.release(session).await;
                let record = &orphan.record;
                let geometry = Geometry {
                    size_bytes: record.size_bytes,
                    block_size_bytes: record.block_size_bytes,
                    read_only: record.read_only,
                };
                (Backing::Dead { geometry, reason }, None)
            }
        };
        let backing = Arc::new(backing);
        let device = match self.exporter.resume(backing.clone(), kept) {
            Ok(device) => device,
            Err(error) => {
                // Its descriptors are closed here and still kept by `hold`: the next data plane gets them.
                tracing::error!(device = %orphan.note.key, %error, "the device cannot be taken over");
                if let Some(session) = session {
                    self.sessions.release(session).await;
                }
                *orphan.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
                return Attempt::Gone;
            }
        };
        let served = Arc::new(Served {
            note: orphan.note.clone(),
            unit_key: orphan.unit_key.clone(),
            device,
            backing,
            session: Mutex::new(session),
        });
        self.insert(orphan.note.key.clone(), Entry::Served(served.clone()));
        // The count of takeovers is for the next successor; without it nothing is lost.
        match served.note.encode() {
            Ok(note) => {
                if let Err(error) = served.device.keep(&self.link.with_note(note)).await {
                    tracing::warn!(device = orphan.name, %error, "the note was not renewed");
                }
            }
            Err(error) => tracing::warn!(device = orphan.name, %error, "the note was not renewed"),
        }
        Attempt::Served
    }

    /// Whether the unit is still the one that the device was made of (F3).
    fn check(&self, orphan: &Orphan, unit: &Unit) -> Result<(), String> {
        let expected = &orphan.note.key.wwid;
        let found = unit
            .identity()
            .wwid
            .as_ref()
            .map_or_else(|| "a unit without identity".to_owned(), ToString::to_string);
        if found != *expected {
            return Err(format!(
                "after the data plane was restarted, {found} answered instead of {expected}; nothing was written to it; every I/O fails; detach it"
            ));
        }
        let (was, now) = (orphan.record.block_size_bytes, unit.geometry().block_size_bytes);
        if was != now {
            return Err(format!(
                "the unit's block size changed from {was} to {now} bytes; every I/O fails; detach it"
            ));
        }
        Ok(())
    }
}

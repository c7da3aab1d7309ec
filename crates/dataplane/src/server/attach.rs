//! Attach: login, proof of identity, block device; or the device that is there.

use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use longshore_blockdev::{ExportOptions, Exporter};
use longshore_initiator::Unit;

use super::backing::Backing;
use super::note::{Description, Note};
use super::plane::{Entry, MAX_DEVICES, Plane, Served};
use super::sessions::SessionUse;
use super::source::{self, UnitKey};
use super::translate;
use crate::proto::{AttachRequest, AttachedDevice, DeviceKey, ErrorKind, Outcome, RemoteError, Step};

/// Measures the steps of an operation.
struct Steps {
    done: Vec<Step>,
    began: Instant,
}

impl Steps {
    fn new() -> Self {
        Self {
            done: Vec::new(),
            began: Instant::now(),
        }
    }

    fn done(&mut self, name: &str) {
        let duration_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.done.push(Step {
            name: name.to_owned(),
            duration_us,
        });
        self.began = Instant::now();
    }
}

impl Plane {
    /// Makes the device or finds it. An identical call under way is waited for.
    pub(super) async fn attach(
        &self,
        request: AttachRequest,
        deadline: Instant,
    ) -> Result<AttachedDevice, RemoteError> {
        let key = UnitKey::of(&request.source);
        let turn = self
            .gates
            .enter(&key, "another operation on this LUN", deadline)
            .await?;
        let result = match self.find_unit(&key) {
            Some(entry) => self.attach_again(&entry, &request, deadline).await,
            None => self.attach_new(key, request, deadline).await,
        };
        turn.end(result)
    }

    /// The device is there: is it what is asked for, and still the same unit (F3)?
    async fn attach_again(
        &self,
        entry: &Entry,
        request: &AttachRequest,
        deadline: Instant,
    ) -> Result<AttachedDevice, RemoteError> {
        let Entry::Served(served) = entry else {
            let text = "the device is there, but its session is not back since the data plane was restarted; its I/O waits";
            return Err(RemoteError::new(ErrorKind::Conflict, text));
        };
        let asked = &served.note.request;
        if asked.read_only != request.read_only {
            let way = |read_only| if read_only { "read-only" } else { "read-write" };
            let text = format!(
                "{} is attached {} already, for {}; detach it before it is attached {}",
                served.note.key,
                way(asked.read_only),
                asked.owner,
                way(request.read_only)
            );
            return Err(RemoteError::new(ErrorKind::Conflict, text));
        }
        expect_wwid(request, &served.note.key.wwid)?;
        let unit = served.backing.unit().ok_or_else(|| fenced(served))?;
        unit.verify_identity(deadline)
            .await
            .map_err(|error| translate::unit(&error))?;
        Ok(served.describe())
    }

    async fn attach_new(
        &self,
        unit_key: UnitKey,
        request: AttachRequest,
        deadline: Instant,
    ) -> Result<AttachedDevice, RemoteError> {
        if self.is_full() {
            let text =
                format!("{MAX_DEVICES} devices are attached, which is the most that one node can have");
            return Err(RemoteError::new(ErrorKind::Host, text));
        }
        let lun = source::lun(&request.source)?;
        let mut steps = Steps::new();
        let session = self
            .sessions
            .acquire(&unit_key.session, &request.source, deadline)
            .await?;
        steps.done(if session.is_new {
            "log in"
        } else {
            "join the session"
        });
        let unit = match Unit::open(&session.session, lun, deadline).await {
            Ok(unit) => unit,
            Err(error) => {
                self.sessions.release(session).await;
                return Err(translate::unit(&error));
            }
        };
        steps.done("identify the unit");
        match self
            .make(unit_key, request, unit, session, &mut steps, deadline)
            .await
        {
            Ok(served) => {
                let mut device = served.describe();
                device.steps = steps.done;
                device.outcome = Outcome::Changed;
                Ok(device)
            }
            Err((session, error)) => {
                self.sessions.release(session).await;
                Err(error)
            }
        }
    }

    async fn make(
        &self,
        unit_key: UnitKey,
        request: AttachRequest,
        unit: Unit,
        session: SessionUse,
        steps: &mut Steps,
        deadline: Instant,
    ) -> Result<Arc<Served>, (SessionUse, RemoteError)> {
        let key = match self.admit(&request, &unit) {
            Ok(key) => key,
            Err(error) => return Err((session, error)),
        };
        let read_only = request.read_only;
        let note = Note::new(request, key.clone(), describe(&unit), now_unix_ms());
        let (store, name) = match note
            .encode()
            .map_err(|error| error.to_string())
            .and_then(|n| Ok((n, unique_name()?)))
        {
            Ok((note, name)) => (self.link.with_note(note), name),
            Err(why) => return Err((session, RemoteError::new(ErrorKind::Host, why))),
        };
        let backing = Arc::new(Backing::Unit(unit));
        let options = ExportOptions {
            name,
            read_only,
            deadline,
        };
        let device = match self.exporter.export(backing.clone(), options, &store).await {
            Ok(device) => device,
            Err(error) => {
                drop(backing);
                return Err((session, translate::export(&error)));
            }
        };
        steps.done("make the block device");
        let served = Arc::new(Served {
            note,
            unit_key,
            device,
            backing,
            session: Mutex::new(Some(session)),
        });
        self.insert(key, Entry::Served(served.clone()));
        tracing::info!(device = %served.note.key, node = %served.device.path().display(), owner = served.note.request.owner, "attached");
        Ok(served)
    }

    /// Whether the unit may become the device that is asked for.
    fn admit(&self, request: &AttachRequest, unit: &Unit) -> Result<DeviceKey, RemoteError> {
        let iqn = request.source.iqn.clone();
        let lun = request.source.lun;
        let Some(wwid) = &unit.identity().wwid else {
            let text = format!(
                "LUN {lun} of {iqn} has no designator in VPD page 0x83, so its identity cannot be proved"
            );
            return Err(RemoteError::new(ErrorKind::IdentityUnproven, text));
        };
        let key = DeviceKey {
            iqn: iqn.to_ascii_lowercase(), // names that differ only in case are one
            wwid: wwid.to_string(),
        };
        expect_wwid(request, &key.wwid)?;
        if unit.geometry().read_only && !request.read_only {
            let text = format!(
                "LUN {lun} of {} is write protected; ask for it read-only",
                key.iqn
            );
            return Err(RemoteError::new(ErrorKind::ReadOnlyMedium, text));
        }
        match self.find(&key) {
            Some(other) => {
                let text = format!(
                    "{key} is attached already, as LUN {} or through another session; one unit becomes one device",
                    other.unit_key().lun
                );
                Err(RemoteError::new(ErrorKind::Conflict, text))
            }
            None => Ok(key),
        }
    }
}

fn expect_wwid(request: &AttachRequest, found: &str) -> Result<(), RemoteError> {
    match &request.expect_wwid {
        Some(expected) if expected != found => {
            let source = &request.source;
            let text = format!(
                "LUN {} of {} is {found}, but {expected} is expected: it is another disk, and nothing was written to it",
                source.lun, source.iqn
            );
            Err(RemoteError::new(ErrorKind::WwidMismatch, text))
        }
        _ => Ok(()),
    }
}

/// The error of a device that is not served any more.
pub(super) fn fenced(served: &Served) -> RemoteError {
    let text = match &*served.backing {
        Backing::Dead { reason, .. } => reason.clone(),
        Backing::Unit(_) => "it is served".to_owned(),
    };
    RemoteError::new(
        ErrorKind::WwidMismatch,
        format!("{} is fenced: {text}", served.note.key),
    )
}

fn describe(unit: &Unit) -> Description {
    let identity = unit.identity();
    Description {
        vendor: identity.vendor.clone(),
        product: identity.product.clone(),
        revision: identity.revision.clone(),
        serial: identity.serial.clone(),
    }
}

/// A name for the exporter, unlike that of any other device of this host.
fn unique_name() -> Result<String, String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| format!("the kernel gives no random bytes: {error}"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

//! `Unit`: one logical unit that was opened: its identity, its geometry, its condition.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use longshore_scsi::lun::Lun;
use tokio::sync::oneshot;

use crate::error::UnitError;
use crate::identity::{Condition, Geometry, Identity};
use crate::interrogate;
use crate::request::{Origin, Request};
use crate::session::{Session, lock};

/// A logical unit, opened through a [`Session`]. Its data path waits out outages.
///
/// The session verifies the unit's identity again after each login and after each unit attention, before any further
/// write goes out (F3). When somebody else answers at the LUN the unit is fenced: every I/O fails from then on.
///
/// Dropping a unit gives up waiting; [`Unit::close`] flushes first.
pub struct Unit {
    pub(crate) session: Session,
    pub(crate) shared: Arc<UnitShared>,
}

/// What the handles of a unit, its session's task and its recovery have in common.
pub(crate) struct UnitShared {
    pub(crate) lun: Lun,
    pub(crate) identity: Identity,
    pub(crate) retained_bytes_max: usize,
    geometry: Mutex<Geometry>,
    condition: Mutex<Option<Condition>>,
    trouble: Mutex<Option<String>>,
    round: AtomicU64,
}

impl UnitShared {
    pub(crate) fn new(lun: Lun, identity: Identity, geometry: Geometry, retained_bytes_max: usize) -> Self {
        UnitShared {
            lun,
            identity,
            retained_bytes_max,
            geometry: Mutex::new(geometry),
            condition: Mutex::new(None),
            trouble: Mutex::new(None),
            round: AtomicU64::new(0),
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        *lock(&self.geometry)
    }

    pub(crate) fn set_geometry(&self, geometry: Geometry) {
        *lock(&self.geometry) = geometry;
    }

    pub(crate) fn condition(&self) -> Option<Condition> {
        lock(&self.condition).clone()
    }

    /// The number of the present recovery. A recovery with an older number stops.
    pub(crate) fn round(&self) -> u64 {
        self.round.load(Ordering::Relaxed)
    }

    /// Ends whatever recovery is under way, and numbers the next one.
    pub(crate) fn next_round(&self) -> u64 {
        self.round.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *lock(&self.trouble) = trouble;
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Fences the unit; the first condition stays.
    pub(crate) fn fence(&self, condition: Condition) {
        lock(&self.condition).get_or_insert(condition);
    }
}

impl Unit {
    /// Asks the unit who and what it is (INQUIRY, VPD pages, READ CAPACITY, MODE SENSE) and takes it into the session's
    /// care. Opening the same LUN twice gives two handles of one unit.
    ///
    /// # Errors
    /// [`UnitError::NoSuchLun`], [`UnitError::NotADisk`], [`UnitError::Malformed`] for answers that cannot be used,
    /// [`UnitError::Scsi`] for commands that the unit fails, [`UnitError::Transport`] at `deadline`.
    pub async fn open(session: &Session, lun: Lun, deadline: Instant) -> Result<Unit, UnitError> {
        let (identity, geometry, as_of) = interrogate::unit(session, lun, deadline).await?;
        let shared = Arc::new(UnitShared::new(
            lun,
            identity,
            geometry,
            session.retained_bytes_max(),
        ));
        let (reply, answer) = oneshot::channel();
        session.send(Request::Open {
            unit: shared,
            as_of,
            reply,
        })?;
        let shared = answer
            .await
            .unwrap_or_else(|_closed| Err(session.closed().into()))?;
        Ok(Unit {
            session: session.clone(),
            shared,
        })
    }

    /// The LUN under which it was opened.
    pub fn lun(&self) -> Lun {
        self.shared.lun
    }

    /// The session that serves it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Who it was when it was opened. A unit that is somebody else later is fenced, so this does not change.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Its shape, as last heard from the unit.
    pub fn geometry(&self) -> Geometry {
        self.shared.geometry()
    }

    /// Why the unit cannot be used any more, if so.
    pub fn condition(&self) -> Option<Condition> {
        self.shared.condition()
    }

    /// Why I/O waits at present, if it does and the session is up: the unit does not come back. This may pass.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// Asks the unit itself (VPD page 0x83) whether it is still the one that was opened, and fences it if not (F3).
    ///
    /// # Errors
    /// [`UnitError::Fenced`] when it is not; otherwise what kept it from being asked.
    pub async fn verify_identity(&self, deadline: Instant) -> Result<(), UnitError> {
        self.check_fence()?;
        let mut ask = interrogate::Ask::new(&self.session, self.shared.lun, Origin::Control, deadline);
        let answer = interrogate::verify(&mut ask, &self.shared.identity).await?;
        answer.map_err(|condition| self.fenced_by(condition))
    }

    /// Reads capacity, write protection and cache mode again.
    ///
    /// # Errors
    /// As [`Unit::open`].
    pub async fn refresh(&self, deadline: Instant) -> Result<Geometry, UnitError> {
        self.verify_identity(deadline).await?;
        let mut ask = interrogate::Ask::new(&self.session, self.shared.lun, Origin::Control, deadline);
        let answer = interrogate::refresh(&mut ask, self.geometry()).await?;
        let geometry = answer.map_err(|condition| self.fenced_by(condition))?;
        self.shared.set_geometry(geometry);
        Ok(geometry)
    }

    /// Flushes, then gives the unit up.
    ///
    /// # Errors
    /// What the flush met; the unit is given up all the same.
    pub async fn close(self, deadline: Instant) -> Result<(), UnitError> {
        self.flush_by(deadline).await
    }

    fn fenced_by(&self, condition: Condition) -> UnitError {
        self.shared.fence(condition.clone());
        UnitError::Fenced(condition)
    }

    pub(crate) fn check_fence(&self) -> Result<(), UnitError> {
        self.shared
            .condition()
            .map_or(Ok(()), |condition| Err(UnitError::Fenced(condition)))
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // A session that is gone already needs no word about its units.
        let _gone = self.session.send(Request::Close { lun: self.shared.lun });
    }
}

//! The recovery of one unit, after each login and after each unit attention: is it still the one that it was (F3), what
//! has changed, and what did it forget.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_scsi::cdb::Cdb;
use longshore_scsi::sense::SenseKey;
use tokio::sync::oneshot;

use crate::board::Recovered;
use crate::command::{Command, Data};
use crate::error::{TransportError, UnitError, describe};
use crate::identity::Condition;
use crate::interrogate::{self, Ask};
use crate::request::{Origin, Request};
use crate::session::Session;
use crate::unit::UnitShared;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(60);
/// The first wait between two attempts; it doubles.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest such wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A recovery to be done.
pub(crate) struct Job {
    pub(crate) unit: Arc<UnitShared>,
    /// Its number; it is void when the unit has a newer one.
    pub(crate) round: u64,
    /// The old session may still be alive: end its tasks by LOGICAL UNIT RESET first.
    pub(crate) reset_unit: bool,
    /// The target may have lost its volatile cache.
    pub(crate) reset_seen: bool,
    /// The retained writes, in order.
    pub(crate) replay: Vec<Command>,
}

/// Why an attempt came to nothing.
enum Stop {
    /// Try again.
    Later(UnitError),
    /// The unit is not the one that it was.
    Fence(Condition),
}

impl From<UnitError> for Stop {
    fn from(error: UnitError) -> Self {
        Stop::Later(error)
    }
}

/// Recovers a unit, however long it takes, and reports to the session's task. Ends without a report when the job is
/// void: when the connection was lost again, or the unit was closed.
pub(crate) async fn recover(session: Session, mut job: Job) {
    let mut wait = WAIT_MIN;
    let unit = job.unit.clone();
    let outcome = loop {
        if unit.round() != job.round {
            return;
        }
        match attempt(&session, &mut job).await {
            Ok(outcome) => break outcome,
            Err(Stop::Fence(condition)) => break Recovered::Fenced(condition),
            Err(Stop::Later(error)) => {
                if unit.round() != job.round {
                    return;
                }
                tracing::warn!(lun = %unit.lun, %error, "a unit does not come back yet");
                unit.set_trouble(Some(error.to_string()));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    };
    unit.set_trouble(None);
    let (lun, round) = (unit.lun, job.round);
    // A session that is gone needs no report.
    let _gone = session.send(Request::Recovered { lun, round, outcome });
}

async fn attempt(session: &Session, job: &mut Job) -> Result<Recovered, Stop> {
    let unit = job.unit.clone();
    let deadline = Instant::now() + ATTEMPT;
    if job.reset_unit {
        reset_unit(session, &unit, deadline).await?;
        job.reset_unit = false;
        job.reset_seen = true;
    }
    let mut ask = Ask::new(session, unit.lun, Origin::Recovery, deadline);
    let facts = interrogate_again(&mut ask, &unit).await;
    job.reset_seen |= ask.reset_seen;
    facts?;
    if !job.reset_seen {
        return Ok(Recovered::Same {
            replayed: 0,
            lost: None,
        });
    }
    replay(session, job).await
}

async fn interrogate_again(ask: &mut Ask<'_>, unit: &UnitShared) -> Result<(), Stop> {
    loop {
        // Takes the unit attentions that are due; INQUIRY leaves them where they are.
        ask.answer(Cdb::TestUnitReady, Data::None, "TEST UNIT READY")
            .await?;
        let attentions = ask.attentions;
        interrogate::verify(ask, &unit.identity)
            .await?
            .map_err(Stop::Fence)?;
        let geometry = interrogate::refresh(ask, unit.geometry())
            .await?
            .map_err(Stop::Fence)?;
        // One that came in between may mean that the first answers were another unit's.
        if ask.attentions == attentions {
            unit.set_geometry(geometry);
            return Ok(());
        }
    }
}

async fn reset_unit(session: &Session, unit: &UnitShared, deadline: Instant) -> Result<(), Stop> {
    let (reply, answer) = oneshot::channel();
    session
        .send(Request::ResetUnit { lun: unit.lun, reply })
        .map_err(UnitError::from)?;
    let done = tokio::time::timeout_at(deadline.into(), answer).await;
    if matches!(done, Ok(Ok(true))) {
        return Ok(());
    }
    let what = format!("LOGICAL UNIT RESET of LUN {}", unit.lun);
    let session = "writes of the old session may still be alive, so none can be sent again".to_owned();
    Err(UnitError::from(TransportError::Deadline { what, session }).into())
}

/// Sends the retained writes again, one after the other. One that the unit refuses for good makes the next flush fail.
async fn replay(session: &Session, job: &Job) -> Result<Recovered, Stop> {
    let mut replayed = 0;
    for command in &job.replay {
        let deadline = Instant::now() + ATTEMPT;
        let what = format!("{:?} (again) to LUN {}", command.cdb, command.lun);
        let pending = session.submit(command.clone(), Origin::Recovery, Some(deadline));
        // At the deadline it is aborted. Until the target has ended it nothing else may be written: it could land later.
        let response = pending.forever(session).await?;
        let (status, sense) = (response.status, response.sense);
        match sense.map(|sense| sense.key) {
            _ if status.is_good() => {}
            Some(SenseKey::RecoveredError) => {}
            // Another reset, or not ready after all: everything again, beginning with the identity.
            Some(SenseKey::UnitAttention | SenseKey::NotReady | SenseKey::AbortedCommand) => {
                return Err(UnitError::Scsi { what, status, sense }.into());
            }
            _ => {
                let why = describe(status, sense.as_ref());
                let lost = format!("the unit was reset, and a write could not be repeated: {why}");
                return Ok(Recovered::Same {
                    replayed,
                    lost: Some(lost),
                });
            }
        }
        replayed += 1;
    }
    Ok(Recovered::Same { replayed, lost: None })
}

//! What a finished task means for the command behind it: an answer, an error, or another attempt.

use std::time::Duration;

use longshore_iscsi::initiator::{Completion, TaskError};
use longshore_iscsi::pdu::RejectReason;
use longshore_scsi::cdb::Cdb;
use longshore_scsi::sense::{Asc, Sense, SenseKey};
use longshore_scsi::status::Status;

use crate::command::Response;
use crate::error::{TransportError, UnitError};
use crate::replay::{ReplayClass, class};
use crate::request::{Entry, Origin};

/// How often a command that the target or the network spoils is tried.
const FAILURES_MAX: u32 = 8;
/// The first wait after BUSY or TASK SET FULL; it doubles.
const BUSY_WAIT_MIN: Duration = Duration::from_millis(10);
/// The longest such wait.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);
/// The wait before a unit that is becoming ready is asked again.
pub(crate) const NOT_READY_WAIT: Duration = Duration::from_millis(500);

/// What is to be done with a command.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// This is its result.
    Finish(Result<Response, UnitError>),
    /// Send it again at once.
    Retry,
    /// Send it again after a while.
    RetryAfter(Duration),
    /// The unit is becoming ready: send it again after a while, and say meanwhile why I/O waits.
    NotReady(Sense),
    /// The unit may be another one, or has lost something: find out, then send it again.
    Recover(Sense),
    /// The connection is not to be trusted any more: log in again, then send it again.
    Reconnect(String),
}

/// The answer in the terms of this crate.
pub(crate) fn response(completion: Completion) -> Response {
    Response {
        status: Status(completion.status),
        sense: Sense::parse(&completion.sense).ok(),
        data: completion.data,
        underflow_bytes: completion.underflow_bytes,
        overflow_bytes: completion.overflow_bytes,
    }
}

/// Judges a status.
pub(crate) fn on_status(entry: &mut Entry, response: Response) -> Verdict {
    if matches!(response.status, Status::BUSY | Status::TASK_SET_FULL) {
        let wait = BUSY_WAIT_MIN.saturating_mul(1 << entry.busy.min(10));
        entry.busy = entry.busy.saturating_add(1);
        return Verdict::RetryAfter(wait.min(BUSY_WAIT_MAX));
    }
    match entry.origin {
        Origin::Control | Origin::Recovery => Verdict::Finish(Ok(response)),
        Origin::Data | Origin::OwnFlush => on_data_status(entry, response),
    }
}

fn on_data_status(entry: &mut Entry, response: Response) -> Verdict {
    if response.status.is_good() {
        return Verdict::Finish(Ok(response));
    }
    let fail = |entry: &Entry, response: Response| {
        let what = format!("{:?} to LUN {}", entry.command.cdb, entry.command.lun);
        let error = UnitError::Scsi {
            what,
            status: response.status,
            sense: response.sense,
        };
        Verdict::Finish(Err(error))
    };
    match (response.status, response.sense) {
        (Status::RESERVATION_CONFLICT, _) => Verdict::Finish(Err(UnitError::ReservationConflict)),
        (Status::TASK_ABORTED, _) => retry_some(entry, |entry| fail(entry, response)),
        (Status::CHECK_CONDITION, Some(sense)) => match sense.key {
            SenseKey::RecoveredError if !sense.deferred => Verdict::Finish(Ok(response)),
            // Somebody took the reservation from us: never retried.
            SenseKey::UnitAttention if sense.asc == 0x2a && (3..=5).contains(&sense.ascq) => {
                Verdict::Finish(Err(UnitError::ReservationConflict))
            }
            SenseKey::UnitAttention => Verdict::Recover(sense),
            // Becoming ready, or changing between two states: it will.
            SenseKey::NotReady if sense.asc == 0x04 && sense.ascq != 0x03 => Verdict::NotReady(sense),
            SenseKey::AbortedCommand => retry_some(entry, |entry| fail(entry, response)),
            // A deferred error is about an earlier command; this one was not carried out.
            _ if sense.deferred => Verdict::Recover(sense),
            SenseKey::IllegalRequest if is_flush(&entry.command.cdb) && lacks_command(sense) => {
                // Nothing to synchronise, then.
                Verdict::Finish(Ok(response))
            }
            _ => fail(entry, response),
        },
        _ => fail(entry, response),
    }
}

fn is_flush(cdb: &Cdb) -> bool {
    matches!(cdb, Cdb::SynchronizeCache { .. })
}

fn lacks_command(sense: Sense) -> bool {
    Asc(sense.asc, sense.ascq) == Asc::INVALID_COMMAND_OPERATION_CODE
}

fn retry_some(entry: &mut Entry, give_up: impl FnOnce(&Entry) -> Verdict) -> Verdict {
    entry.failures += 1;
    if entry.failures >= FAILURES_MAX {
        give_up(entry)
    } else {
        Verdict::Retry
    }
}

/// Judges a task that ended without a status.
pub(crate) fn on_task_error(entry: &mut Entry, error: TaskError) -> Verdict {
    let what = || format!("{:?} to LUN {}", entry.command.cdb, entry.command.lun);
    let unknown = |reason: &str| {
        let error = TransportError::OutcomeUnknown {
            what: what(),
            reason: reason.to_owned(),
        };
        Verdict::Finish(Err(error.into()))
    };
    let is_data = matches!(entry.origin, Origin::Data | Origin::OwnFlush);
    let repeatable = is_data || class(&entry.command.cdb) == ReplayClass::Always;
    match error {
        // The target has ended the task, so a repetition cannot meet it. A caller with a deadline waits no more.
        TaskError::NeverSent | TaskError::Aborted if is_data => Verdict::Retry,
        TaskError::NeverSent | TaskError::Aborted => {
            let session = "the session is up, but the target sent no status".to_owned();
            Verdict::Finish(Err(TransportError::Deadline {
                what: what(),
                session,
            }
            .into()))
        }
        _ if !repeatable => unknown(&error.to_string()),
        TaskError::DataDigest => retry_some(entry, |entry| {
            let what = format!("{:?} to LUN {}", entry.command.cdb, entry.command.lun);
            let error = TransportError::DataDigest {
                what,
                attempts: entry.failures,
            };
            Verdict::Finish(Err(error.into()))
        }),
        // The lost sense data may have been a unit attention that is told only once. A new login verifies everything.
        TaskError::SenseLost => Verdict::Reconnect("sense data came damaged (CRC32C)".to_owned()),
        TaskError::Rejected(RejectReason::LongOperationReject) => Verdict::RetryAfter(BUSY_WAIT_MAX),
        TaskError::Rejected(reason) => {
            entry.failures += 1;
            if entry.failures >= FAILURES_MAX {
                let what = format!("{:?} to LUN {}", entry.command.cdb, entry.command.lun);
                let error = TransportError::Rejected {
                    what,
                    reason: reason.to_string(),
                };
                return Verdict::Finish(Err(error.into()));
            }
            // A rejected command leaves a gap in the CmdSNs that only a new login closes for certain.
            Verdict::Reconnect(format!("the target rejected a command: {reason}"))
        }
        TaskError::TargetFailure => {
            entry.failures += 1;
            if entry.failures >= FAILURES_MAX {
                let what = format!("{:?} to LUN {}", entry.command.cdb, entry.command.lun);
                let error = TransportError::Aborted {
                    what,
                    attempts: entry.failures,
                };
                return Verdict::Finish(Err(error.into()));
            }
            Verdict::RetryAfter(BUSY_WAIT_MAX)
        }
    }
}

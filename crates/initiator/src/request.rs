//! What handles ask of the session's task.

use std::sync::Arc;
use std::time::Instant;

use longshore_scsi::lun::Lun;
use tokio::sync::oneshot;

use crate::board::Recovered;
use crate::command::{Command, Response};
use crate::error::UnitError;
use crate::replay::{ReplayClass, class};
use crate::unit::UnitShared;

/// On whose behalf a command is sent; decides what happens with a status that is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A caller of `Session::execute`, or a unit that asks about itself: every final status goes back as it is.
    Control,
    /// The data path of a unit: retried until there is a result.
    Data,
    /// The recovery of a unit: passes the unit's closed gate; every status goes back as it is.
    Recovery,
    /// The session's own SYNCHRONIZE CACHE.
    OwnFlush,
}

/// A command and who waits for it.
pub(crate) struct Entry {
    pub(crate) command: Command,
    pub(crate) origin: Origin,
    /// After this the caller waits no more. Data has none.
    pub(crate) deadline: Option<Instant>,
    pub(crate) reply: Option<oneshot::Sender<Result<Response, UnitError>>>,
    /// How often the target or the network spoilt this very command.
    pub(crate) failures: u32,
    /// How often it was put off by BUSY or TASK SET FULL.
    pub(crate) busy: u32,
}

impl Entry {
    pub(crate) fn new(
        command: Command,
        origin: Origin,
        deadline: Option<Instant>,
        reply: oneshot::Sender<Result<Response, UnitError>>,
    ) -> Self {
        Entry {
            command,
            origin,
            deadline,
            reply: Some(reply),
            failures: 0,
            busy: 0,
        }
    }

    /// Answers whoever waits, if anybody still does.
    pub(crate) fn finish(mut self, result: Result<Response, UnitError>) {
        if let Some(reply) = self.reply.take() {
            // A waiter that is gone is no error: its future was dropped.
            let _gone = reply.send(result);
        }
    }

    /// Whether the command waits at its unit's gate: the data path, and whatever else may change the unit.
    pub(crate) fn is_gated(&self) -> bool {
        match self.origin {
            Origin::Recovery => false,
            Origin::Data | Origin::OwnFlush => true,
            Origin::Control => class(&self.command.cdb) != ReplayClass::Always,
        }
    }

    /// Nobody waits any more.
    pub(crate) fn is_abandoned(&self, now: Instant) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
            || self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// A message to the session's task.
pub(crate) enum Request {
    /// Send this command.
    Submit(Entry),
    /// A unit was opened: give it a gate, a place for retained writes, and recovery after each login.
    Open {
        unit: Arc<UnitShared>,
        /// [`crate::Session::news`] before the unit was asked who it is.
        as_of: u64,
        reply: oneshot::Sender<Result<Arc<UnitShared>, UnitError>>,
    },
    /// One handle of a unit is gone.
    Close { lun: Lun },
    /// LOGICAL UNIT RESET, for a recovery on another nexus.
    ResetUnit { lun: Lun, reply: oneshot::Sender<bool> },
    /// The recovery of a unit came to an end.
    Recovered {
        lun: Lun,
        round: u64,
        outcome: Recovered,
    },
    /// Log out.
    Logout {
        deadline: Instant,
        reply: oneshot::Sender<Result<(), UnitError>>,
    },
}

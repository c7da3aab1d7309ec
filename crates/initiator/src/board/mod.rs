//! `Board`: every command that a session has been given and that has no result yet, and what goes next. It knows no
//! socket and reads no clock.

mod outages;
mod queue;
mod results;
#[cfg(test)]
mod tests;
mod time;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_iscsi::pdu::InitiatorTaskTag;
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::SenseKey;
use tokio::sync::oneshot;

use crate::command::{Command, Response};
use crate::error::{TransportError, UnitError};
use crate::identity::Condition;
use crate::info::Counters;
use crate::recovery::Job;
use crate::request::{Entry, Origin};
use crate::slot::{Gate, Slot};
use crate::unit::UnitShared;

/// Abandoned commands are looked for when so many wait.
const SWEEP_AT: usize = 64;

/// A command that the target has.
struct UnderWay {
    tag: InitiatorTaskTag,
    entry: Entry,
    /// Its place in the order of submission.
    number: u64,
    /// Counted by its unit's slot. For a flush: which of the retained writes it covers.
    mark: Option<u64>,
}

/// All commands of a session.
pub(crate) struct Board {
    slots: HashMap<Lun, Slot>,
    /// What may go out, in order.
    ready: VecDeque<Entry>,
    /// What waits for a time (BUSY and the like).
    delayed: Vec<(Instant, Entry)>,
    /// By the low half of the tag, which is a small number.
    under_way: Vec<Option<UnderWay>>,
    under_way_len: usize,
    numbers: u64,
    /// Recoveries to be started.
    jobs: Vec<Job>,
    idle_flush: Duration,
    /// Counts what may mean that a unit is another one: logins and unit attentions.
    news: Arc<AtomicU64>,
    pub(crate) counters: Counters,
    /// Why the connection must be given up, if so.
    pub(crate) reconnect: Option<String>,
    /// Nothing new is taken.
    closing: Option<String>,
}

impl Board {
    pub(crate) fn new(idle_flush: Duration, news: Arc<AtomicU64>) -> Self {
        Board {
            slots: HashMap::new(),
            ready: VecDeque::new(),
            delayed: Vec::new(),
            under_way: Vec::new(),
            under_way_len: 0,
            numbers: 0,
            jobs: Vec::new(),
            idle_flush,
            news,
            counters: Counters::default(),
            reconnect: None,
            closing: None,
        }
    }

    // Units.

    /// Takes a unit into care, or gives the one that is there already. `as_of` is what `news` stood at before the unit
    /// was asked who it is: if anything has happened since, it is asked again before it is used (F3).
    pub(crate) fn open(
        &mut self,
        now: Instant,
        unit: Arc<UnitShared>,
        as_of: u64,
    ) -> Result<Arc<UnitShared>, UnitError> {
        if let Some(slot) = self.slots.get_mut(&unit.lun) {
            if let Some(condition) = slot.shared.condition() {
                return Err(UnitError::Fenced(condition));
            }
            if slot.shared.identity.wwid != unit.identity.wwid {
                // The recovery, which a unit attention or the next login starts, fences it for the other handles.
                let text = |unit: &UnitShared| format!("{:?}", unit.identity.wwid);
                let (expected, found) = (text(&slot.shared), text(&unit));
                let condition = Condition::IdentityChanged { expected, found };
                slot.shared.fence(condition.clone());
                return Err(UnitError::Fenced(condition));
            }
            slot.handles += 1;
            return Ok(slot.shared.clone());
        }
        self.slots.insert(unit.lun, Slot::new(now, unit.clone()));
        if self.news.load(Ordering::Relaxed) != as_of {
            self.start_recovery(unit.lun);
        }
        Ok(unit)
    }

    /// One handle of a unit is gone. With the last one it leaves our care, once its cache is flushed.
    pub(crate) fn close(&mut self, now: Instant, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        slot.handles = slot.handles.saturating_sub(1);
        self.settle(now, lun);
    }

    /// Drops a unit that nobody has a handle of and that holds nothing, or asks for the flush that makes it so.
    fn settle(&mut self, now: Instant, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        if slot.handles > 0 {
            return;
        }
        slot.parked.retain(|entry| !entry.is_abandoned(now));
        let fenced = slot.shared.condition().is_some();
        if slot.under_way > 0 || slot.own_flush {
            return;
        }
        if slot.retained.is_empty() || fenced {
            slot.shared.next_round();
            if let Some(slot) = self.slots.remove(&lun) {
                slot.parked
                    .into_iter()
                    .for_each(|entry| entry.finish(Err(closed("the unit was closed"))));
            }
        } else if slot.gate == Gate::Open {
            self.start_own_flush(lun);
        }
    }
}

/// How a recovery ended.
#[derive(Debug)]
pub(crate) enum Recovered {
    /// It is the same unit.
    Same {
        /// How many retained writes were sent again.
        replayed: u64,
        /// Why the others could not be.
        lost: Option<String>,
    },
    /// It is not.
    Fenced(Condition),
}

/// Whether the command was carried out, whoever asked for it.
fn is_done(result: &Result<Response, UnitError>) -> bool {
    let recovered = |response: &Response| {
        response
            .sense
            .is_some_and(|sense| sense.key == SenseKey::RecoveredError)
    };
    result
        .as_ref()
        .is_ok_and(|response| response.status.is_good() || recovered(response))
}

fn closed(reason: &str) -> UnitError {
    TransportError::Closed {
        reason: reason.to_owned(),
    }
    .into()
}

impl Entry {
    /// A command of our own.
    fn without_waiter(command: Command, origin: Origin) -> Self {
        let (reply, _) = oneshot::channel();
        Entry {
            reply: None,
            ..Entry::new(command, origin, None, reply)
        }
    }
}

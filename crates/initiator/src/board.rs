//! `Board`: every command that a session has been given and that has no result yet, and what goes next. It knows no
//! socket and reads no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_iscsi::initiator::{Completion, TaskError};
use longshore_iscsi::pdu::InitiatorTaskTag;
use longshore_scsi::cdb::Cdb;
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::{Sense, SenseKey};
use tokio::sync::oneshot;

use crate::command::{Command, Data, Response};
use crate::error::{TransportError, UnitError};
use crate::identity::Condition;
use crate::info::Counters;
use crate::interrogate::is_reset;
use crate::recovery::Job;
use crate::replay::{ReplayClass, class};
use crate::request::{Entry, Origin};
use crate::retained::Retained;
use crate::slot::{Gate, Slot};
use crate::unit::UnitShared;
use crate::verdict::{self, Verdict};

/// Abandoned commands are looked for when so many wait.
const SWEEP_AT: usize = 64;

/// A command that the target has.
struct UnderWay {
    tag: InitiatorTaskTag,
    entry: Entry,
    /// Its place in the order of submission.
    number: u64,
    /// For a flush: which of the retained writes it covers.
    mark: u64,
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
    pub(crate) counters: Counters,
    /// Why the connection must be given up, if so.
    pub(crate) reconnect: Option<String>,
    /// Nothing new is taken.
    closing: Option<String>,
}

impl Board {
    pub(crate) fn new(idle_flush: Duration) -> Self {
        Board {
            slots: HashMap::new(),
            ready: VecDeque::new(),
            delayed: Vec::new(),
            under_way: Vec::new(),
            under_way_len: 0,
            numbers: 0,
            jobs: Vec::new(),
            idle_flush,
            counters: Counters::default(),
            reconnect: None,
            closing: None,
        }
    }

    // Units.

    /// Takes a unit into care, or gives the one that is there already.
    pub(crate) fn open(&mut self, now: Instant, unit: Arc<UnitShared>) -> Result<Arc<UnitShared>, UnitError> {
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

    // Commands in.

    pub(crate) fn submit(&mut self, now: Instant, entry: Entry) {
        if let (Some(reason), Origin::Control | Origin::Data) = (&self.closing, entry.origin) {
            return entry.finish(Err(closed(reason)));
        }
        if self.ready.len() >= SWEEP_AT {
            self.ready.retain(|entry| !entry.is_abandoned(now));
        }
        self.admit(entry);
    }

    /// Puts a new command where it belongs.
    fn admit(&mut self, entry: Entry) {
        let lun = entry.command.lun;
        let gated = match entry.origin {
            Origin::Recovery => false,
            Origin::Data | Origin::OwnFlush => true,
            // What somebody else sends must not change an unverified unit either.
            Origin::Control => class(&entry.command.cdb) != ReplayClass::Always,
        };
        let Some(slot) = self.slots.get_mut(&lun).filter(|_| gated) else {
            if matches!(entry.origin, Origin::Data | Origin::OwnFlush) {
                return entry.finish(Err(closed("the unit was closed")));
            }
            return self.ready.push_back(entry);
        };
        if let Some(condition) = slot.shared.condition() {
            return entry.finish(Err(UnitError::Fenced(condition)));
        }
        if !slot.admits(&entry) {
            return slot.parked.push_back(entry);
        }
        slot.begin(&entry.command.cdb);
        self.ready.push_back(entry);
    }

    /// Lets those out that waited and need not any more, in their order.
    fn unpark(&mut self, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        if slot.parked.is_empty() || (slot.gate != Gate::Open && slot.shared.condition().is_none()) {
            return;
        }
        for entry in std::mem::take(&mut slot.parked) {
            self.admit(entry);
        }
    }

    // Commands out.

    /// The next command to send. `None` when nothing may go.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Entry> {
        while let Some(entry) = self.ready.pop_front() {
            let begun = matches!(entry.origin, Origin::Data | Origin::OwnFlush)
                || class(&entry.command.cdb) != ReplayClass::Always;
            let slot = self
                .slots
                .get_mut(&entry.command.lun)
                .filter(|_| begun && entry.origin != Origin::Recovery);
            if entry.is_abandoned(now) {
                if let Some(slot) = slot {
                    slot.end(&entry.command.cdb);
                }
                entry.finish(Err(closed("nobody waits for it")));
                continue;
            }
            let Some(slot) = slot else { return Some(entry) };
            if let Some(condition) = slot.shared.condition() {
                slot.end(&entry.command.cdb);
                entry.finish(Err(UnitError::Fenced(condition)));
            } else if slot.gate != Gate::Open {
                // The gate was shut after the command had passed it.
                slot.end(&entry.command.cdb);
                slot.parked.push_back(entry);
            } else {
                return Some(entry);
            }
        }
        None
    }

    /// Whether [`Board::next`] has something to look at.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The command that [`Board::next`] gave has this tag now.
    pub(crate) fn sent(&mut self, tag: InitiatorTaskTag, entry: Entry) {
        let mut mark = 0;
        if let (Some(slot), Origin::Data | Origin::OwnFlush) =
            (self.slots.get_mut(&entry.command.lun), entry.origin)
        {
            slot.under_way += 1;
            mark = slot.retained.mark();
        }
        let index = (tag.0 & 0xffff) as usize;
        if self.under_way.len() <= index {
            self.under_way.resize_with(index + 1, || None);
        }
        self.numbers += 1;
        self.under_way_len += 1;
        self.under_way[index] = Some(UnderWay {
            tag,
            entry,
            number: self.numbers,
            mark,
        });
    }

    /// A command could not be sent after all.
    pub(crate) fn unsent(&mut self, entry: Entry) {
        self.ready.push_front(entry);
    }

    // Results.

    /// A task came to its end.
    pub(crate) fn completed(
        &mut self,
        now: Instant,
        tag: InitiatorTaskTag,
        result: Result<Completion, TaskError>,
    ) {
        let index = (tag.0 & 0xffff) as usize;
        let place = self
            .under_way
            .get_mut(index)
            .filter(|place| place.as_ref().is_some_and(|it| it.tag == tag));
        let Some(UnderWay { mut entry, mark, .. }) = place.and_then(Option::take) else {
            return;
        };
        self.under_way_len -= 1;
        let lun = entry.command.lun;
        let is_data = matches!(entry.origin, Origin::Data | Origin::OwnFlush);
        if let Some(slot) = self.slots.get_mut(&lun).filter(|_| is_data) {
            slot.under_way -= 1;
        }
        let verdict = match result {
            Ok(completion) => {
                self.count(&entry, &completion);
                let response = verdict::response(completion);
                self.heed(&entry, response.sense.as_ref());
                verdict::on_status(&mut entry, response)
            }
            Err(error) => {
                self.counters.data_digest_errors += u64::from(error == TaskError::DataDigest);
                verdict::on_task_error(&mut entry, error)
            }
        };
        match verdict {
            Verdict::Finish(result) => self.finish(now, entry, mark, result),
            Verdict::Retry => self.retry(entry),
            Verdict::RetryAfter(wait) => {
                self.counters.retries += 1;
                self.delayed.push((now + wait, entry));
            }
            Verdict::Recover(sense) => {
                self.attention(lun, &sense);
                self.retry(entry);
            }
            Verdict::Reconnect(reason) => {
                self.reconnect = Some(reason);
                self.retry(entry);
            }
        }
        self.start_drained(lun);
    }

    fn count(&mut self, entry: &Entry, completion: &Completion) {
        self.counters.commands += 1;
        match &entry.command.data {
            Data::In(_) => self.counters.bytes_read += completion.data.len() as u64,
            Data::Out(data) => self.counters.bytes_written += data.len() as u64,
            Data::None => {}
        }
    }

    /// A unit attention that went to somebody else than the data path is told only once, so it counts here too.
    fn heed(&mut self, entry: &Entry, sense: Option<&Sense>) {
        let Some(sense) = sense.filter(|sense| sense.key == SenseKey::UnitAttention) else {
            return;
        };
        if entry.origin == Origin::Control {
            self.attention(entry.command.lun, sense);
        }
    }

    /// Sends a command again, before everything that came later.
    fn retry(&mut self, entry: Entry) {
        self.counters.retries += 1;
        let lun = entry.command.lun;
        match self
            .slots
            .get_mut(&lun)
            .filter(|slot| slot.gate != Gate::Open && entry.origin == Origin::Data)
        {
            Some(slot) => {
                slot.end(&entry.command.cdb);
                slot.parked.push_front(entry);
            }
            None => self.ready.push_front(entry),
        }
    }

    fn finish(&mut self, now: Instant, entry: Entry, mark: u64, result: Result<Response, UnitError>) {
        let Entry {
            command: Command { lun, cdb, .. },
            origin,
            ..
        } = entry;
        let Some(slot) = self.slots.get_mut(&lun).filter(|_| origin != Origin::Recovery) else {
            return entry.finish(result);
        };
        slot.end(&cdb);
        let mut result = result;
        if matches!(cdb, Cdb::SynchronizeCache { .. }) && origin != Origin::Control {
            slot.own_flush &= origin != Origin::OwnFlush;
            result = Self::flushed(slot, origin, mark, result);
        } else if result.is_ok() && Retained::concerns(&cdb) && slot.shared.geometry().write_cache {
            slot.last_write = now;
            slot.retained.push(entry.command.clone());
        }
        entry.finish(result);
        if self
            .slots
            .get(&lun)
            .is_some_and(|slot| slot.retained.wants_flush() && slot.gate == Gate::Open)
        {
            self.start_own_flush(lun);
        }
        self.unpark(lun);
        self.settle(now, lun);
    }

    /// What a flush's result means for the retained writes and for whoever asked.
    fn flushed(
        slot: &mut Slot,
        origin: Origin,
        mark: u64,
        result: Result<Response, UnitError>,
    ) -> Result<Response, UnitError> {
        match (&result, origin) {
            (Ok(_), _) => slot.retained.release(mark),
            // Nobody waits for our own flush, so the next one that somebody waits for must tell.
            (Err(error), Origin::OwnFlush) => {
                slot.lost.get_or_insert_with(|| error.to_string());
                slot.retained.release(mark);
            }
            (Err(_), _) => slot.retained.release(mark),
        }
        if origin == Origin::OwnFlush {
            return result;
        }
        match slot.lost.take() {
            Some(reason) => Err(UnitError::WritesLost { reason }),
            None => result,
        }
    }

    fn start_own_flush(&mut self, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun).filter(|slot| !slot.own_flush) else {
            return;
        };
        slot.own_flush = true;
        // A reply that nobody waits for: OwnFlush is never abandoned.
        let command = Command {
            lun,
            cdb: Cdb::synchronize_cache(),
            data: Data::None,
        };
        self.admit(Entry::without_waiter(command, Origin::OwnFlush));
    }

    // Recovery.

    /// The unit reported something that means: ask who you are before anything else is sent.
    pub(crate) fn attention(&mut self, lun: Lun, sense: &Sense) {
        let everywhere = sense.asc == 0x3f && sense.ascq == 0x0e;
        let luns: Vec<Lun> = match everywhere {
            true => self.slots.keys().copied().collect(),
            false => vec![lun],
        };
        for lun in luns {
            let Some(slot) = self.slots.get_mut(&lun) else {
                continue;
            };
            slot.reset_seen |= is_reset(sense);
            if sense.deferred {
                slot.lost
                    .get_or_insert_with(|| format!("the unit reported a deferred error: {sense}"));
            }
            match slot.gate {
                Gate::Open => slot.gate = Gate::Draining,
                // The recovery under way may have looked already: begin again.
                Gate::Recovering => {
                    slot.shared.next_round();
                    slot.gate = Gate::Draining;
                }
                Gate::Draining | Gate::Down => {}
            }
            self.start_drained(lun);
        }
    }

    /// Starts the recovery of a unit whose last command under way has ended.
    fn start_drained(&mut self, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        if slot.gate == Gate::Draining && slot.under_way == 0 {
            self.start_recovery(lun, false);
        }
    }

    fn start_recovery(&mut self, lun: Lun, reset_unit: bool) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        slot.gate = Gate::Recovering;
        self.jobs.push(Job {
            round: slot.shared.next_round(),
            unit: slot.shared.clone(),
            reset_unit,
            reset_seen: slot.reset_seen,
            replay: slot.retained.snapshot(),
        });
    }

    /// The recoveries that are to be started.
    pub(crate) fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// A recovery came to its end: the gate opens, or the unit is fenced.
    pub(crate) fn recovered(&mut self, now: Instant, lun: Lun, round: u64, outcome: Recovered) {
        let Some(slot) = self
            .slots
            .get_mut(&lun)
            .filter(|slot| slot.shared.round() == round)
        else {
            return;
        };
        if slot.gate != Gate::Recovering {
            return;
        }
        slot.gate = Gate::Open;
        slot.unknown_writes = false;
        slot.reset_seen = false;
        match outcome {
            Recovered::Same { replayed, lost } => {
                self.counters.replayed_writes += replayed;
                if let Some(reason) = lost {
                    slot.lost.get_or_insert(reason);
                    slot.retained.release(slot.retained.mark());
                }
            }
            Recovered::Fenced(condition) => slot.shared.fence(condition),
        }
        self.unpark(lun);
        self.settle(now, lun);
    }

    // The connection.

    /// The connection is gone: commands without a status go back to where they came from, or fail if they must not be
    /// sent again.
    pub(crate) fn connection_lost(&mut self, reason: &str) {
        self.reconnect = None;
        let mut lost: Vec<UnderWay> = self.under_way.iter_mut().filter_map(Option::take).collect();
        self.under_way_len = 0;
        // Commands that were about to go wait with the others, behind those that had gone.
        let ready: Vec<Entry> = std::mem::take(&mut self.ready).into();
        let delayed = std::mem::take(&mut self.delayed)
            .into_iter()
            .map(|(_, entry)| entry);
        for slot in self.slots.values_mut() {
            slot.gate = Gate::Down;
            slot.under_way = 0;
            slot.shared.next_round();
        }
        lost.sort_by_key(|it| it.number);
        let unfinished: Vec<Entry> = lost
            .into_iter()
            .filter_map(|it| self.survives(it.entry, reason))
            .collect();
        for entry in unfinished.into_iter().chain(delayed).chain(ready).rev() {
            self.put_back(entry, reason);
        }
    }

    /// A command that the target had: it may be sent again, or it ends here.
    fn survives(&mut self, entry: Entry, reason: &str) -> Option<Entry> {
        let slot = self.slots.get_mut(&entry.command.lun);
        let may = match (entry.origin, class(&entry.command.cdb)) {
            (_, ReplayClass::Always) => true,
            (Origin::Data, _) => true,
            // Only a unit that is verified after the login may be written to again.
            (_, ReplayClass::AfterReinstatement) => slot.is_some(),
            (_, ReplayClass::Never) => false,
        };
        if class(&entry.command.cdb) != ReplayClass::Always {
            if let Some(slot) = slot {
                slot.unknown_writes = true;
            }
        }
        if may {
            self.counters.retries += 1;
            return Some(entry);
        }
        if let Some(slot) = self.slots.get_mut(&entry.command.lun) {
            slot.end(&entry.command.cdb);
        }
        let what = format!("{:?} to LUN {}", entry.command.cdb, entry.command.lun);
        let error = TransportError::OutcomeUnknown {
            what,
            reason: reason.to_owned(),
        };
        entry.finish(Err(error.into()));
        None
    }

    /// Puts a command in front of those that wait already.
    fn put_back(&mut self, entry: Entry, reason: &str) {
        let gated = entry.origin == Origin::Data || class(&entry.command.cdb) != ReplayClass::Always;
        let slot = self.slots.get_mut(&entry.command.lun);
        match (entry.origin, slot) {
            // The recovery that sent it begins anew.
            (Origin::Recovery, _) => {
                let what = format!("{:?}", entry.command.cdb);
                let error = TransportError::OutcomeUnknown {
                    what,
                    reason: reason.to_owned(),
                };
                entry.finish(Err(error.into()));
            }
            (Origin::OwnFlush, Some(slot)) => slot.own_flush = false,
            (Origin::OwnFlush, None) => {}
            (_, Some(slot)) if gated => {
                slot.end(&entry.command.cdb);
                slot.parked.push_front(entry);
            }
            _ => self.ready.push_front(entry),
        }
    }

    /// A new connection: every unit is verified before any of its commands goes out (F3). `same_nexus`: the login
    /// reinstated the old session, whose tasks are dead therefore.
    pub(crate) fn connected(&mut self, same_nexus: bool) {
        let luns: Vec<Lun> = self.slots.keys().copied().collect();
        for lun in luns {
            let reset_unit = !same_nexus && self.slots.get(&lun).is_some_and(|slot| slot.unknown_writes);
            self.start_recovery(lun, reset_unit);
        }
    }

    // Time.

    /// When [`Board::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let delayed = self.delayed.iter().map(|(due, _)| *due);
        let flushes = self.slots.values().filter(|slot| Self::wants_idle_flush(slot));
        delayed
            .chain(flushes.map(|slot| slot.last_write + self.idle_flush))
            .min()
    }

    fn wants_idle_flush(slot: &Slot) -> bool {
        slot.gate == Gate::Open && !slot.own_flush && !slot.retained.is_empty()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.delayed.len() {
            if self.delayed[at].0 <= now {
                let (_, entry) = self.delayed.swap_remove(at);
                self.ready.push_back(entry);
            } else {
                at += 1;
            }
        }
        let idle = self
            .slots
            .iter()
            .filter(|(_, slot)| Self::wants_idle_flush(slot) && slot.last_write + self.idle_flush <= now);
        let luns: Vec<Lun> = idle.map(|(lun, _)| *lun).collect();
        luns.into_iter().for_each(|lun| self.start_own_flush(lun));
    }

    // The end.

    /// Takes no new commands.
    pub(crate) fn close_entrance(&mut self, reason: &str) {
        self.closing = Some(reason.to_owned());
    }

    /// Flushes what is retained. `true` when there is nothing left to wait for.
    pub(crate) fn drain(&mut self) -> bool {
        let busy = self.under_way_len > 0 || !self.ready.is_empty() || !self.delayed.is_empty();
        let mut quiet = !busy;
        let mut flushes = Vec::new();
        for (lun, slot) in &self.slots {
            if slot.shared.condition().is_some() {
                continue;
            }
            quiet &= slot.is_idle() && slot.retained.is_empty() && slot.gate == Gate::Open;
            if slot.is_idle() && !slot.retained.is_empty() && slot.gate == Gate::Open {
                flushes.push(*lun);
            }
        }
        flushes.into_iter().for_each(|lun| self.start_own_flush(lun));
        quiet
    }

    /// Whether anything would be lost if the session ended now.
    pub(crate) fn holds_data(&self) -> bool {
        self.slots
            .values()
            .any(|slot| !slot.retained.is_empty() || !slot.parked.is_empty() || slot.under_way > 0)
    }

    /// What was lost, for whoever logs out.
    pub(crate) fn losses(&self) -> Option<String> {
        self.slots.values().find_map(|slot| {
            if let Some(reason) = &slot.lost {
                return Some(format!("LUN {}: {reason}", slot.shared.lun));
            }
            let held = !slot.retained.is_empty();
            held.then(|| {
                format!(
                    "LUN {}: no flush succeeded before the session ended",
                    slot.shared.lun
                )
            })
        })
    }

    /// Fails everything.
    pub(crate) fn fail_all(&mut self, reason: &str) {
        let under_way = self.under_way.drain(..).flatten().map(|it| it.entry);
        let delayed = self.delayed.drain(..).map(|(_, entry)| entry);
        let parked = self.slots.values_mut().flat_map(|slot| {
            slot.shared.next_round();
            std::mem::take(&mut slot.parked)
        });
        for entry in under_way.chain(delayed).chain(parked).chain(self.ready.drain(..)) {
            entry.finish(Err(closed(reason)));
        }
        self.under_way_len = 0;
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

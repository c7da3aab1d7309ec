//! Unit attentions, lost connections and new ones: what waits, what is repeated, what is verified first.

use std::sync::atomic::Ordering;
use std::time::Instant;

use longshore_scsi::lun::Lun;
use longshore_scsi::sense::Sense;

use super::{Board, Recovered, UnderWay};

use crate::error::TransportError;
use crate::interrogate::is_reset;
use crate::recovery::Job;
use crate::replay::{ReplayClass, class};
use crate::request::{Entry, Origin};
use crate::slot::Gate;
impl Board {
    /// The unit reported something that means: ask who you are before anything else is sent.
    pub(crate) fn attention(&mut self, lun: Lun, sense: &Sense) {
        self.news.fetch_add(1, Ordering::Relaxed);
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
    pub(super) fn start_drained(&mut self, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        if slot.gate == Gate::Draining && slot.under_way == 0 {
            self.start_recovery(lun);
        }
    }

    pub(super) fn start_recovery(&mut self, lun: Lun) {
        let Some(slot) = self.slots.get_mut(&lun) else {
            return;
        };
        slot.gate = Gate::Recovering;
        self.jobs.push(Job {
            round: slot.shared.next_round(),
            unit: slot.shared.clone(),
            reset_unit: slot.reset_due,
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
        slot.reset_due = false;
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
    pub(super) fn survives(&mut self, entry: Entry, reason: &str) -> Option<Entry> {
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
    pub(super) fn put_back(&mut self, entry: Entry, reason: &str) {
        let gated = entry.is_gated();
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
        self.news.fetch_add(1, Ordering::Relaxed);
        let luns: Vec<Lun> = self.slots.keys().copied().collect();
        for lun in luns {
            if let Some(slot) = self.slots.get_mut(&lun) {
                // Stays due until a recovery succeeds, however many logins that takes.
                slot.reset_due |= !same_nexus && slot.unknown_writes;
            }
            self.start_recovery(lun);
        }
    }
}

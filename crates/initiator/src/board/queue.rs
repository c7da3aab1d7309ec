//! Commands on their way in and out: who may go, who waits.

use std::collections::VecDeque;
use std::time::Instant;

use longshore_iscsi::pdu::InitiatorTaskTag;
use longshore_scsi::lun::Lun;

use super::{Board, SWEEP_AT, UnderWay, closed};

use crate::error::UnitError;
use crate::request::{Entry, Origin};
use crate::slot::Gate;
impl Board {
    pub(crate) fn submit(&mut self, now: Instant, entry: Entry) {
        if let (Some(reason), Origin::Control | Origin::Data) = (&self.closing, entry.origin) {
            return entry.finish(Err(closed(reason)));
        }
        if self.ready.len() >= SWEEP_AT {
            self.sweep(now);
        }
        self.admit(entry);
    }

    /// Ends the commands that nobody waits for any more.
    fn sweep(&mut self, now: Instant) {
        let (gone, ready) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition::<VecDeque<_>, _>(|entry| entry.is_abandoned(now));
        self.ready = ready;
        gone.into_iter().for_each(|entry| self.abandon(now, entry));
    }

    /// Ends a command that nobody waits for, and lets those out that waited for it.
    fn abandon(&mut self, now: Instant, entry: Entry) {
        let lun = entry.command.lun;
        if let Some(slot) = self.slots.get_mut(&lun).filter(|_| entry.is_gated()) {
            slot.end(&entry.command.cdb);
            slot.no_more_waiting();
        }
        entry.finish(Err(closed("nobody waits for it")));
        self.unpark(lun);
        self.settle(now, lun);
    }

    /// Puts a new command where it belongs.
    pub(super) fn admit(&mut self, entry: Entry) {
        let lun = entry.command.lun;
        let Some(slot) = self.slots.get_mut(&lun).filter(|_| entry.is_gated()) else {
            if matches!(entry.origin, Origin::Data | Origin::OwnFlush) {
                return entry.finish(Err(closed("the unit was closed")));
            }
            return self.ready.push_back(entry);
        };
        if let Some(condition) = slot.shared.condition() {
            slot.own_flush &= entry.origin != Origin::OwnFlush;
            return entry.finish(Err(UnitError::Fenced(condition)));
        }
        if !slot.admits(&entry) {
            return slot.parked.push_back(entry);
        }
        slot.begin(&entry.command.cdb);
        self.ready.push_back(entry);
    }

    /// Lets those out that waited and need not any more, in their order.
    pub(super) fn unpark(&mut self, lun: Lun) {
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

    /// The next command to send. `None` when nothing may go.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Entry> {
        while let Some(entry) = self.ready.pop_front() {
            let lun = entry.command.lun;
            if entry.is_abandoned(now) {
                self.abandon(now, entry);
                continue;
            }
            let Some(slot) = self.slots.get_mut(&lun).filter(|_| entry.is_gated()) else {
                return Some(entry);
            };
            if let Some(condition) = slot.shared.condition() {
                slot.end(&entry.command.cdb);
                slot.own_flush &= entry.origin != Origin::OwnFlush;
                entry.finish(Err(UnitError::Fenced(condition)));
                self.settle(now, lun);
            } else if slot.gate != Gate::Open {
                // The gate was shut after the command had passed it. Those that wait already may overlap it and came
                // later, so it goes in front of them.
                slot.end(&entry.command.cdb);
                slot.parked.push_front(entry);
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
        let mut mark = None;
        if let Some(slot) = self
            .slots
            .get_mut(&entry.command.lun)
            .filter(|_| entry.is_gated())
        {
            slot.under_way += 1;
            mark = Some(slot.retained.mark());
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
}

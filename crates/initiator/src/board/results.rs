//! What becomes of a command that has its status, or has none.

use std::time::Instant;

use longshore_iscsi::initiator::{Completion, TaskError};
use longshore_iscsi::pdu::InitiatorTaskTag;
use longshore_scsi::cdb::Cdb;
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::{Sense, SenseKey};

use super::{Board, UnderWay, is_done};

use crate::command::{Command, Data, Response};
use crate::error::UnitError;
use crate::request::{Entry, Origin};
use crate::retained::Retained;
use crate::slot::{Gate, Slot};
use crate::verdict;
use crate::verdict::Verdict;
impl Board {
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
        if let Some(slot) = self.slots.get_mut(&lun).filter(|_| mark.is_some()) {
            slot.under_way = slot.under_way.saturating_sub(1);
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
                if let TaskError::Rejected(reason) = error {
                    // Its CmdSN is a gap that shuts the window (§11.17.1); only a new login closes it for certain.
                    self.reconnect = Some(format!("the target rejected a command: {reason}"));
                }
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
            Verdict::NotReady(sense) => {
                self.counters.retries += 1;
                if let Some(slot) = self.slots.get_mut(&lun) {
                    slot.not_ready = true;
                    slot.shared
                        .set_trouble(Some(format!("the unit is not ready: {sense}")));
                }
                self.delayed.push((now + verdict::NOT_READY_WAIT, entry));
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

    pub(super) fn count(&mut self, entry: &Entry, completion: &Completion) {
        self.counters.commands += 1;
        match &entry.command.data {
            Data::In(_) => self.counters.bytes_read += completion.data.len() as u64,
            Data::Out(data) => self.counters.bytes_written += data.len() as u64,
            Data::None => {}
        }
    }

    /// A unit attention that went to somebody else than the data path is told only once, so it counts here too.
    pub(super) fn heed(&mut self, entry: &Entry, sense: Option<&Sense>) {
        let Some(sense) = sense.filter(|sense| sense.key == SenseKey::UnitAttention) else {
            return;
        };
        if entry.origin == Origin::Control {
            self.attention(entry.command.lun, sense);
        }
    }

    /// Sends a command again, before everything that came later.
    pub(super) fn retry(&mut self, entry: Entry) {
        self.counters.retries += 1;
        let lun = entry.command.lun;
        match self
            .slots
            .get_mut(&lun)
            .filter(|slot| slot.gate != Gate::Open && entry.is_gated())
        {
            Some(slot) => {
                slot.end(&entry.command.cdb);
                slot.parked.push_front(entry);
            }
            None => self.ready.push_front(entry),
        }
    }

    pub(super) fn finish(
        &mut self,
        now: Instant,
        entry: Entry,
        mark: Option<u64>,
        result: Result<Response, UnitError>,
    ) {
        let Entry {
            command: Command { lun, cdb, .. },
            origin,
            ..
        } = entry;
        let Some(slot) = self.slots.get_mut(&lun).filter(|_| origin != Origin::Recovery) else {
            return entry.finish(result);
        };
        slot.end(&cdb);
        if origin != Origin::Control {
            slot.no_more_waiting();
        }
        let mut result = result;
        if matches!(cdb, Cdb::SynchronizeCache { .. }) && origin != Origin::Control {
            slot.own_flush &= origin != Origin::OwnFlush;
            let heard = entry.reply.as_ref().is_some_and(|reply| !reply.is_closed());
            result = Self::flushed(slot, heard, mark.unwrap_or(0), result);
        } else if is_done(&result) && Retained::concerns(&cdb) && slot.shared.geometry().write_cache {
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
    pub(super) fn flushed(
        slot: &mut Slot,
        heard: bool,
        mark: u64,
        result: Result<Response, UnitError>,
    ) -> Result<Response, UnitError> {
        slot.retained.release(mark);
        if !heard {
            // Nobody waits for our own flush, nor for one that was given up: the next one that is heard must tell.
            if let Err(error) = &result {
                slot.lost.get_or_insert_with(|| error.to_string());
            }
            return result;
        }
        match slot.lost.take() {
            Some(reason) => Err(UnitError::WritesLost { reason }),
            None => result,
        }
    }

    pub(super) fn start_own_flush(&mut self, lun: Lun) {
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
}

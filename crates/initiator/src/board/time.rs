//! What the board does by itself: waits that end, and flushes when nothing is written.

use std::time::Instant;

use longshore_scsi::lun::Lun;

use super::{Board, closed};

use crate::slot::{Gate, Slot};
impl Board {
    /// When [`Board::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let delayed = self.delayed.iter().map(|(due, _)| *due);
        let flushes = self.slots.values().filter(|slot| Self::wants_idle_flush(slot));
        delayed
            .chain(flushes.map(|slot| slot.last_write + self.idle_flush))
            .min()
    }

    pub(super) fn wants_idle_flush(slot: &Slot) -> bool {
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

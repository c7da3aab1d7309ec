//! Unit attention conditions of each nexus (SAM-5 5.14) and what raises them.

use super::{LogicalUnit, NexusId, Reply, Step};
use crate::Sense;
use crate::sense::{Asc, SenseKey};

/// More conditions than this are not kept for one nexus; each kind is kept once.
const MAX_PENDING: usize = 8;

/// The conditions that a nexus has not been told yet, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Attentions(Vec<Asc>);

impl Attentions {
    fn raise(&mut self, code: Asc) {
        if code.0 == 0x29 {
            self.0.clear(); // a reset clears and outranks what was there before (SAM-5 5.14.2)
        }
        if !self.0.contains(&code) && self.0.len() < MAX_PENDING {
            self.0.push(code);
        }
    }

    fn take(&mut self) -> Option<Asc> {
        if self.0.is_empty() {
            None
        } else {
            Some(self.0.remove(0))
        }
    }
}

impl LogicalUnit {
    /// `nexus` can reach this unit from now on; `attention` is what it is told first.
    pub fn attach(&mut self, nexus: NexusId, attention: Option<Asc>) {
        let attentions = self.nexuses.entry(nexus).or_default();
        if let Some(code) = attention {
            attentions.raise(code);
        }
    }

    /// The nexus was lost (SAM-5 6.3.4): its SPC-2 reservation is released; persistent reservations and conditions
    /// that are not told yet stay, and 29/07 is told when it comes back.
    pub fn nexus_lost(&mut self, nexus: NexusId) {
        self.reservations.release_held(nexus);
        if let Some(attentions) = self.nexuses.get_mut(&nexus) {
            attentions.raise(Asc::NEXUS_LOSS_OCCURRED);
        }
    }

    /// The nexus logged out: its SPC-2 reservation is released, and it is told nothing when it comes back.
    pub fn logged_out(&mut self, nexus: NexusId) {
        self.reservations.release_held(nexus);
    }

    /// Forgets a nexus. Its persistent reservations stay.
    pub fn detach(&mut self, nexus: NexusId) {
        self.reservations.release_held(nexus);
        self.nexuses.remove(&nexus);
    }

    /// Logical unit reset (SAM-5 6.3.3): SPC-2 reservations and changed mode parameters are gone, and every nexus is told
    /// `code` ([`Asc::BUS_DEVICE_RESET`] for LOGICAL UNIT RESET).
    pub fn reset(&mut self, code: Asc) {
        self.reservations.reset();
        self.write_cache = true;
        self.software_write_protect = false;
        self.stopped = false;
        self.raise(code, None);
    }

    /// Raises a condition for every nexus but `except`.
    pub fn raise(&mut self, code: Asc, except: Option<NexusId>) {
        for (nexus, attentions) in &mut self.nexuses {
            if Some(*nexus) != except {
                attentions.raise(code);
            }
        }
    }

    /// Raises a condition for one nexus, if it is attached.
    pub fn raise_for(&mut self, nexus: NexusId, code: Asc) {
        if let Some(attentions) = self.nexuses.get_mut(&nexus) {
            attentions.raise(code);
        }
    }

    /// Forgets a condition that `nexus` has learnt otherwise, such as 3F/0E after REPORT LUNS on any logical unit.
    pub fn forget_attention(&mut self, nexus: NexusId, code: Asc) {
        if let Some(attentions) = self.nexuses.get_mut(&nexus) {
            attentions.0.retain(|&pending| pending != code);
        }
    }

    pub(super) fn take_attention(&mut self, nexus: NexusId) -> Option<Sense> {
        self.nexuses.get_mut(&nexus)?.take().map(Sense::unit_attention)
    }

    /// REQUEST SENSE (SPC-5 6.39): a pending unit attention is returned as data and cleared.
    pub(super) fn request_sense(&mut self, nexus: NexusId, descriptor: bool, allocation_length: u8) -> Step {
        let sense = self
            .take_attention(nexus)
            .unwrap_or(Sense::new(SenseKey::NoSense, Asc::NONE));
        let data = if descriptor {
            sense.to_descriptor()
        } else {
            sense.to_fixed().to_vec()
        };
        Step::Reply(Reply::data(data, allocation_length.into()))
    }
}

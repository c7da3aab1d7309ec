//! Unit attention conditions of each nexus (SAM-5 5.14) and what raises them.

use super::{LogicalUnit, NexusId, Reply, Step};
use crate::Sense;
use crate::sense::{Asc, SenseKey};

/// More conditions than this are not kept for one nexus; each kind is kept once.
const MAX_PENDING: usize = 8;

/// What is kept for a nexus.
#[derive(Debug, Default)]
pub(super) struct Nexus {
    /// The conditions that it has not been told yet, the oldest first.
    pending: Vec<Asc>,
    /// Grows whenever all its commands are aborted.
    epoch: u64,
    /// Logged out: it has to learn nothing, because it begins anew when it comes back.
    gone: bool,
    /// Name of its initiator port.
    port: String,
}

impl Nexus {
    fn raise(&mut self, code: Asc) {
        if self.gone {
            return;
        }
        if code.0 == 0x29 {
            self.pending.clear(); // a reset clears and outranks what was there before (SAM-5 5.14.2)
        }
        if !self.pending.contains(&code) && self.pending.len() < MAX_PENDING {
            self.pending.push(code);
        }
    }

    fn take(&mut self) -> Option<Asc> {
        if self.pending.is_empty() {
            None
        } else {
            Some(self.pending.remove(0))
        }
    }
}

impl LogicalUnit {
    /// `nexus` can reach this unit from now on; `attention` is what it is told first. `port` is the name of its initiator
    /// port, such as `iqn.2026-11.example:host,i,0x800000000001` (RFC 7143 4.4.1), for READ FULL STATUS.
    pub fn attach(&mut self, nexus: NexusId, port: &str, attention: Option<Asc>) {
        let known = self.nexuses.entry(nexus).or_default();
        known.gone = false;
        port.clone_into(&mut known.port);
        if let Some(code) = attention {
            known.raise(code);
        }
    }

    /// The nexus was lost (SAM-5 6.3.4): its SPC-2 reservation is released; persistent reservations and conditions
    /// that are not told yet stay, and 29/07 is told when it comes back.
    pub fn nexus_lost(&mut self, nexus: NexusId) {
        self.reservations.release_held(nexus);
        self.abort_commands_of(nexus);
        self.raise_for(nexus, Asc::NEXUS_LOSS_OCCURRED);
    }

    /// The nexus logged out: its SPC-2 reservation is released, and it is told nothing when it comes back.
    pub fn logged_out(&mut self, nexus: NexusId) {
        self.reservations.release_held(nexus);
        self.abort_commands_of(nexus);
        if let Some(known) = self.nexuses.get_mut(&nexus) {
            known.gone = true;
            known.pending.clear();
        }
    }

    /// Name of the initiator port of a nexus.
    pub(super) fn port_of(&self, nexus: NexusId) -> &str {
        self.nexuses.get(&nexus).map_or("", |known| &known.port)
    }

    /// A number that changes whenever all commands of `nexus` are aborted: by the loss of the nexus, a reset, or
    /// PREEMPT AND ABORT. A caller whose I/O was asked for under another number must not begin it any more.
    #[must_use]
    pub fn epoch(&self, nexus: NexusId) -> u64 {
        self.nexuses.get(&nexus).map_or(u64::MAX, |known| known.epoch)
    }

    /// Aborts all commands of a nexus: ABORT TASK SET, and what includes it.
    pub fn abort_commands_of(&mut self, nexus: NexusId) {
        if let Some(known) = self.nexuses.get_mut(&nexus) {
            known.epoch += 1;
        }
    }

    /// All nexuses that are attached.
    pub fn nexuses(&self) -> impl Iterator<Item = NexusId> + '_ {
        self.nexuses.keys().copied()
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
        for known in self.nexuses.values_mut() {
            known.epoch += 1;
            known.raise(code);
        }
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
            attentions.pending.retain(|&pending| pending != code);
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

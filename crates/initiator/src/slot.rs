//! `Slot`: what the session's task knows of one opened unit: its gate, the writes that are under way, the writes that
//! are retained.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use longshore_scsi::cdb::Cdb;

use crate::replay::written;
use crate::request::Entry;
use crate::retained::Retained;
use crate::unit::UnitShared;

/// Whether data commands of a unit may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// They may.
    Open,
    /// A recovery is due as soon as the commands that are still under way have ended.
    Draining,
    /// A recovery is under way.
    Recovering,
    /// The connection is down.
    Down,
}

/// One opened unit.
pub(crate) struct Slot {
    pub(crate) shared: Arc<UnitShared>,
    pub(crate) handles: usize,
    pub(crate) gate: Gate,
    /// Commands that wait for the gate, for an overlapping write to end, or for room among the retained writes.
    pub(crate) parked: VecDeque<Entry>,
    /// The ranges of writes that were handed out and have not ended, including those that are to be sent again.
    writing: Vec<Range<u64>>,
    /// Data commands that the target has.
    pub(crate) under_way: usize,
    pub(crate) retained: Retained,
    /// The unit said that it is not ready, and no data command has ended since.
    pub(crate) not_ready: bool,
    /// Why the next flush must fail.
    pub(crate) lost: Option<String>,
    pub(crate) own_flush: bool,
    pub(crate) last_write: Instant,
    /// The target may have lost its volatile cache since the last recovery.
    pub(crate) reset_seen: bool,
    /// Writes were under way when the last connection was lost.
    pub(crate) unknown_writes: bool,
    /// The session went on in another I_T nexus: the old one's tasks must be ended by LOGICAL UNIT RESET.
    pub(crate) reset_due: bool,
}

impl Slot {
    pub(crate) fn new(now: Instant, shared: Arc<UnitShared>) -> Self {
        Slot {
            retained: Retained::new(shared.retained_bytes_max),
            shared,
            handles: 1,
            gate: Gate::Open,
            parked: VecDeque::new(),
            writing: Vec::new(),
            under_way: 0,
            not_ready: false,
            lost: None,
            own_flush: false,
            last_write: now,
            reset_seen: false,
            unknown_writes: false,
            reset_due: false,
        }
    }

    /// Whether a command may go out now. One that waits longer may be overtaken, but never by a write that overlaps it.
    pub(crate) fn admits(&self, entry: &Entry) -> bool {
        if self.gate != Gate::Open {
            return false;
        }
        let Some(range) = written(&entry.command.cdb) else {
            return true;
        };
        let meets = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        let parked = self.parked.iter().filter_map(|entry| written(&entry.command.cdb));
        !self.retained.is_full() && !self.writing.iter().any(meets) && !parked.into_iter().any(|r| meets(&r))
    }

    /// A command that is admitted goes out.
    pub(crate) fn begin(&mut self, cdb: &Cdb) {
        self.writing.extend(written(cdb));
    }

    /// A data command has ended or was given up. Another one that still waits says so again when it is tried next.
    pub(crate) fn no_more_waiting(&mut self) {
        if std::mem::take(&mut self.not_ready) {
            self.shared.set_trouble(None);
        }
    }

    /// A command has its result.
    pub(crate) fn end(&mut self, cdb: &Cdb) {
        let Some(range) = written(cdb) else { return };
        if let Some(at) = self.writing.iter().position(|other| *other == range) {
            self.writing.swap_remove(at);
        }
    }

    /// Nothing is under way or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.parked.is_empty() && !self.own_flush
    }
}

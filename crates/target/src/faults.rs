//! Faults on purpose, for tests of initiators. Nothing here is for a server that serves somebody.

use crate::server::Shared;
use crate::sync::{lock, read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What a read of a faulty range gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadFault {
    /// CHECK CONDITION, MEDIUM ERROR 11/00, with the first bad block as information.
    MediumError,
    /// GOOD status with the data that stand before the range, and the rest as underflow.
    Short,
}

/// The faults of one server.
#[derive(Clone)]
pub struct Faults {
    pub(crate) shared: Arc<Shared>,
}

impl Faults {
    /// From now on connections are accepted and nothing is answered, on old ones and new ones.
    pub fn pause(&self) {
        *lock(&self.shared.fault_state.paused) = true;
    }

    /// Ends a pause: everything that has arrived meanwhile is answered.
    pub fn resume(&self) {
        *lock(&self.shared.fault_state.paused) = false;
        self.shared.fault_state.changed.notify_all();
    }

    /// Closes all connections, in the middle of whatever they do; new ones are taken.
    pub fn drop_connections(&self) {
        self.shared.shut_down_connections();
    }

    /// Waits so long before each SCSI command is looked at; `Duration::ZERO` ends it.
    pub fn delay_commands(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.shared.fault_state.delay_us.store(micros, Ordering::Relaxed);
    }

    /// Makes reads that touch `lbas` of a logical unit fail; gives whether there is such a unit.
    pub fn fail_reads(&self, target: &str, lun: u16, lbas: Range<u64>, fault: ReadFault) -> bool {
        let lun = self
            .shared
            .target(target)
            .and_then(|target| read(&target.luns).get(&lun).cloned());
        lun.inspect(|lun| lun.faults.add(lbas, fault)).is_some()
    }

    /// Lets all reads of a logical unit succeed again; gives whether there is such a unit.
    pub fn heal_reads(&self, target: &str, lun: u16) -> bool {
        let lun = self
            .shared
            .target(target)
            .and_then(|target| read(&target.luns).get(&lun).cloned());
        lun.inspect(|lun| lun.faults.clear()).is_some()
    }
}

/// What all connections of a server look at.
#[derive(Default)]
pub(crate) struct FaultState {
    paused: Mutex<bool>,
    changed: Condvar,
    delay_us: AtomicU64,
}

impl FaultState {
    /// Waits while the server is paused, at most until `over` says that there is nothing to wait for.
    pub(crate) fn wait_while_paused(&self, over: impl Fn() -> bool) {
        let mut paused = lock(&self.paused);
        while *paused && !over() {
            let waited = self.changed.wait_timeout(paused, Duration::from_millis(50));
            paused = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        match self.delay_us.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

/// The faulty ranges of one logical unit.
#[derive(Debug, Default)]
pub(crate) struct ReadFaults {
    any: AtomicBool,
    ranges: Mutex<Vec<(Range<u64>, ReadFault)>>,
}

impl ReadFaults {
    fn add(&self, lbas: Range<u64>, fault: ReadFault) {
        lock(&self.ranges).push((lbas, fault));
        self.any.store(true, Ordering::Release);
    }

    fn clear(&self) {
        self.any.store(false, Ordering::Release);
        lock(&self.ranges).clear();
    }

    /// The first bad block of a read of `lbas`.
    pub(crate) fn hit(&self, lbas: Range<u64>) -> Option<(u64, ReadFault)> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.ranges)
            .iter()
            .filter(|(bad, _)| bad.start < lbas.end && lbas.start < bad.end)
            .map(|(bad, fault)| (bad.start.max(lbas.start), *fault))
            .min_by_key(|(lba, _)| *lba)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_block_of_a_range_is_found() {
        let faults = ReadFaults::default();
        assert_eq!(faults.hit(0..100), None);
        faults.add(50..60, ReadFault::Short);
        faults.add(10..20, ReadFault::MediumError);
        assert_eq!(faults.hit(0..100), Some((10, ReadFault::MediumError)));
        assert_eq!(faults.hit(55..56), Some((55, ReadFault::Short)));
        assert_eq!(faults.hit(20..50), None);
        faults.clear();
        assert_eq!(faults.hit(0..100), None);
    }
}

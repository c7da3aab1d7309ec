//! How many bytes may be under way: a budget for the process, shared so that a stalled device cannot starve others.
//!
//! A device may take more as long as what it has is less than what is left of the budget (the dynamic threshold that
//! switches use for shared buffers): alone it gets half, beside k stalled ones 1/(k+2) of it. And whatever the others
//! hold, every device may always have one request under way, so none ever waits for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget of a process. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    limit_bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl Budget {
    /// A budget of so many bytes for requests under way in all devices together.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            taken: Arc::default(),
        }
    }

    /// The share of a further device.
    pub(crate) fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            own: 0,
        }
    }
}

/// One device's part; gives back what it holds when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    own: usize,
}

impl Share {
    /// Whether another request may be read.
    pub(crate) fn may_take(&self) -> bool {
        let left = self
            .budget
            .limit_bytes
            .saturating_sub(self.budget.taken.load(Ordering::Relaxed));
        self.own == 0 || self.own < left
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.own += bytes;
        self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.own -= bytes;
        self.budget.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.own, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(share: &mut Share, request: usize) -> usize {
        let before = share.own;
        while share.may_take() {
            share.take(request);
        }
        share.own - before
    }

    #[test]
    fn one_device_alone_gets_half_and_leaves_the_rest() {
        let budget = Budget::new(32 << 20);
        let mut alone = budget.share();
        assert_eq!(fill(&mut alone, 1 << 20), 16 << 20);
    }

    #[test]
    fn stalled_devices_never_starve_another() {
        let budget = Budget::new(32 << 20);
        let mut stalled: Vec<Share> = (0..200).map(|_| budget.share()).collect();
        for share in &mut stalled {
            assert!(fill(share, 1 << 20) >= 1 << 20);
        }
        let mut fresh = budget.share();
        assert!(fresh.may_take(), "one request is always possible");
        fresh.take(1 << 20);
        fresh.give_back(1 << 20);
        assert!(fresh.may_take());

        drop(stalled);
        assert_eq!(
            fill(&mut fresh, 1 << 20),
            16 << 20,
            "what the dropped ones held is free again"
        );
    }
}

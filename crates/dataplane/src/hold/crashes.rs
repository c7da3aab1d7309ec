//! How long to wait before the next data plane is started.

use std::time::Duration;

/// So many deaths in a row are answered at once.
const FREE: u32 = 5;
/// A data plane that lived so long did not die of what it found at its start.
const LONG_LIFE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Deaths in a row, each soon after the start.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    in_a_row: u32,
}

impl Crashes {
    /// Counts a death after a life of `lived`; the pause that is due now: none at first, then 1, 2, 4 … 30 s.
    pub(super) fn count(&mut self, lived: Duration) -> Duration {
        if lived >= LONG_LIFE {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        match self.in_a_row.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => Duration::from_secs(1 << more.min(5)).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_end_with_a_long_life() {
        let mut crashes = Crashes::default();
        let mut pauses = |lived| crashes.count(Duration::from_secs(lived)).as_secs();
        let first: Vec<u64> = (0..12).map(|_| pauses(1)).collect();
        assert_eq!(first, [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pauses(60), 0);
        assert_eq!(pauses(59), 0);
    }
}

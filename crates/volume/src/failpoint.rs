//! Places at which a test may kill the process (feature `failpoints`, off by default and never in a release).
//!
//! `LONGSHORE_FAILPOINT=<name>:<n>` makes the process kill itself with SIGKILL when the point `<name>` is passed for
//! the n-th time (`:<n>` left out: the first). [`all`] lists every name, so that a test can loop over them.

use crate::progress::Step;

/// Where around a step the point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The journal does not know of the step yet.
    Before,
    /// The journal says that the step is about to be taken; it was not taken yet.
    Recorded,
    /// The step was taken; the journal does not know yet that it is done.
    Done,
}

/// The names of the points inside a write of the journal.
const JOURNAL_POINTS: [&str; 3] = ["journal:begin", "journal:temporary-written", "journal:renamed"];

/// Every point's name.
pub fn all() -> Vec<String> {
    let moments = [Moment::Before, Moment::Recorded, Moment::Done];
    // The record that `forget` removes is its own record of the step.
    let steps = Step::WITH_EFFECT
        .into_iter()
        .flat_map(|step| moments.map(|moment| (step, moment)))
        .filter(|point| *point != (Step::Forget, Moment::Recorded))
        .map(|(step, moment)| name_of(step, moment));
    steps.chain(JOURNAL_POINTS.map(str::to_owned)).collect()
}

fn name_of(step: Step, moment: Moment) -> String {
    let moment = match moment {
        Moment::Before => "before",
        Moment::Recorded => "recorded",
        Moment::Done => "done",
    };
    format!("{step}:{moment}")
}

/// Passes a point around a step.
pub(crate) fn step(step: Step, moment: Moment) {
    armed::pass(|| name_of(step, moment));
}

/// Passes a point inside a write of the journal.
pub(crate) fn journal(at: usize) {
    armed::pass(|| JOURNAL_POINTS.get(at).copied().unwrap_or_default().to_owned());
}

#[cfg(not(any(test, feature = "failpoints")))]
mod armed {
    //! Without the feature a point is nothing.
    pub(super) fn pass(_name: impl FnOnce() -> String) {}
}

#[cfg(any(test, feature = "failpoints"))]
mod armed {
    //! Counts the passes of the armed point.
    use std::cell::RefCell;
    use std::sync::Mutex;

    /// The name, and how many passes are left before the process dies.
    static ARMED: Mutex<Option<Option<(String, u32)>>> = Mutex::new(None);

    thread_local! {
        /// For tests in this process: the passes left before this thread panics, and the names passed.
        pub(super) static TRAP: RefCell<super::Trap> = RefCell::default();
    }

    pub(super) fn pass(name: impl FnOnce() -> String) {
        let name = name();
        TRAP.with(|trap| super::spring(trap, &name));
        let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let armed =
            armed.get_or_insert_with(|| parse(&std::env::var("LONGSHORE_FAILPOINT").unwrap_or_default()));
        let Some((wanted, left)) = armed else {
            return;
        };
        if *wanted != name {
            return;
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            die();
        }
    }

    fn parse(text: &str) -> Option<(String, u32)> {
        if text.is_empty() {
            return None;
        }
        // The names hold one colon themselves.
        match text.rsplit_once(':') {
            Some((name, count)) if count.bytes().all(|b| b.is_ascii_digit()) && !count.is_empty() => {
                Some((name.to_owned(), count.parse().unwrap_or(1).max(1)))
            }
            _ => Some((text.to_owned(), 1)),
        }
    }

    fn die() -> ! {
        let own = rustix::process::getpid();
        // It cannot fail for the own process; abort in any case.
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        std::process::abort()
    }
}

/// A trap for tests that simulate a crash by unwinding.
#[cfg(any(test, feature = "failpoints"))]
#[derive(Default)]
struct Trap {
    /// Passes left before the panic; `None`: not set.
    left: Option<u32>,
    /// Every name passed since the trap was set.
    passed: Vec<String>,
}

/// The payload of the panic by which a trap ends a call.
#[cfg(any(test, feature = "failpoints"))]
#[derive(Debug)]
pub struct Crash(
    /// The point's name.
    pub String,
);

/// Makes this thread panic with [`Crash`] at the `n`-th point that it passes (from 0). Unwinding drops locks as a
/// death does and does nothing else.
#[cfg(any(test, feature = "failpoints"))]
pub fn set_trap(n: u32) {
    armed::TRAP.with(|trap| {
        *trap.borrow_mut() = Trap {
            left: Some(n),
            passed: Vec::new(),
        }
    });
}

/// Removes the trap; gives the names of the points that were passed since it was set.
#[cfg(any(test, feature = "failpoints"))]
pub fn clear_trap() -> Vec<String> {
    armed::TRAP.with(|trap| std::mem::take(&mut *trap.borrow_mut()).passed)
}

#[cfg(any(test, feature = "failpoints"))]
fn spring(trap: &std::cell::RefCell<Trap>, name: &str) {
    let mut trap = trap.borrow_mut();
    let Some(left) = trap.left else {
        return;
    };
    trap.passed.push(name.to_owned());
    trap.left = left.checked_sub(1);
    if left == 0 {
        drop(trap);
        std::panic::resume_unwind(Box::new(Crash(name.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_point_has_one_name() {
        let names = super::all();
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        assert!(names.contains(&"mount:recorded".to_owned()));
        assert!(names.contains(&"journal:renamed".to_owned()));
    }
}

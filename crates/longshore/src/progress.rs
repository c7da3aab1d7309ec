//! Progress on standard error: what has been under way for over a second, or all of it with `--progress`.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a job may take before its steps are shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// When steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// From the first step on.
    Always,
    /// When the job takes over a second.
    Slow,
    /// Never: standard error is not a terminal.
    Never,
}

impl When {
    /// What `--progress` and the terminal ask for.
    pub(crate) fn new(asked: bool) -> Self {
        match (asked, std::io::stderr().is_terminal()) {
            (true, _) => Self::Always,
            (false, true) => Self::Slow,
            (false, false) => Self::Never,
        }
    }
}

/// Shows the steps of one job; stops when dropped.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
    always: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    step: Option<String>,
    shown: Option<String>,
    finished: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the progress display with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Begins a job.
    pub(crate) fn start(when: When) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let painter = (when == When::Slow)
            .then(|| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name("progress".into())
                    .spawn(move || paint(&shared))
                    .ok()
            })
            .flatten();
        Self {
            shared,
            painter,
            always: when == When::Always,
        }
    }

    /// A step begins.
    pub(crate) fn step(&self, text: &str) {
        if self.always {
            show(text);
        } else if self.painter.is_some() {
            self.shared.lock().step = Some(text.to_owned());
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.lock().finished = true;
        self.shared.changed.notify_one();
        if let Some(painter) = self.painter.take() {
            // It only prints; its panic would concern nobody.
            let _ = painter.join();
        }
    }
}

fn paint(shared: &Shared) {
    let patient_until = Instant::now() + PATIENCE;
    let mut state = shared.lock();
    while !state.finished {
        let left = patient_until.saturating_duration_since(Instant::now());
        if left.is_zero() && state.step != state.shown {
            if let Some(step) = &state.step {
                show(step);
            }
            state.shown = state.step.clone();
        }
        state = if left.is_zero() {
            shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
        } else {
            shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        };
    }
}

fn show(text: &str) {
    // Without standard error there is nobody to show it to.
    let _ = writeln!(std::io::stderr(), "  … {}", crate::output::printable(text));
}

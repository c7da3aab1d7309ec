//! Threads for what may take long. They start on need and end when they have had nothing to do for a while.

use crate::sync::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many jobs run at one time: enough to keep a disk's queue busy.
const MAX_THREADS: usize = 16;
/// An idle thread ends after this time.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Jobs need little.
const STACK_LEN: usize = 128 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The pool. How many jobs can wait is bounded by the connections' command windows.
#[derive(Default)]
pub(crate) struct Workers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

impl Workers {
    /// Runs `job` on a thread of the pool; on the caller's if none can be started at all.
    pub(crate) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.state);
        state.jobs.push_back(Box::new(job));
        if state.jobs.len() <= state.idle {
            self.changed.notify_one();
            return;
        }
        if state.threads >= MAX_THREADS {
            return; // a busy one takes it next
        }
        state.threads += 1;
        drop(state);
        let pool = Arc::clone(self);
        let started = std::thread::Builder::new()
            .name("target-worker".to_owned())
            .stack_size(STACK_LEN)
            .spawn(move || pool.work());
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start a worker thread");
            let mut state = lock(&self.state);
            state.threads -= 1;
            if state.threads == 0 {
                let job = state.jobs.pop_back();
                drop(state);
                job.into_iter().for_each(|job| job());
            }
        }
    }

    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = lock(&self.state);
                continue;
            }
            if state.stopped {
                break;
            }
            state.idle += 1;
            let waited = self.changed.wait_timeout(state, IDLE_TIME);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Lets the threads end when all jobs are done; gives how many had not ended at the deadline.
    pub(crate) fn stop(&self, deadline: Instant) -> usize {
        let mut state = lock(&self.state);
        state.stopped = true;
        self.changed.notify_all();
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_job_that_hangs_does_not_hold_up_the_others() {
        let workers = Arc::new(Workers::default());
        let (release, hang) = channel::<()>();
        let (done, results) = channel();
        workers.run(move || {
            let _ = hang.recv();
        });
        for number in 0..50 {
            let done = done.clone();
            workers.run(move || done.send(number).unwrap());
        }
        let mut all: Vec<i32> = results.iter().take(50).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert!(workers.stop(Instant::now()) >= 1, "the job that hangs is counted");
        drop(release);
        assert_eq!(workers.stop(Instant::now() + Duration::from_secs(20)), 0);
    }
}

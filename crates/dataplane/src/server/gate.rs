//! One at a time for each unit, with a shared failure: who waited for an attempt that failed gets its error, instead of
//! trying the same once more.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::OwnedMutexGuard;

use super::translate;
use crate::proto::{ErrorKind, RemoteError};

/// When an attempt failed, and how.
type Failure = Option<(Instant, RemoteError)>;

/// A lock for each key that somebody holds or waits for.
pub(super) struct Gates<K> {
    locks: Mutex<HashMap<K, Arc<tokio::sync::Mutex<Failure>>>>,
}

/// A turn at a key.
pub(super) struct Turn {
    guard: OwnedMutexGuard<Failure>,
}

impl<K: Clone + Eq + Hash> Gates<K> {
    pub(super) fn new() -> Self {
        Self {
            locks: Mutex::default(),
        }
    }

    /// Waits for a turn. An attempt that ended with an error while we waited is ours too, unless it merely had less
    /// time than we have.
    pub(super) async fn enter(&self, key: &K, what: &str, deadline: Instant) -> Result<Turn, RemoteError> {
        let asked = Instant::now();
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|other, lock| other == key || Arc::strong_count(lock) > 1);
            locks.entry(key.clone()).or_default().clone()
        };
        let guard = tokio::time::timeout_at(deadline.into(), lock.lock_owned());
        let guard = guard.await.map_err(|_| translate::late(what))?;
        match &*guard {
            Some((at, error)) if *at >= asked && error.kind != ErrorKind::DeadlineExceeded => {
                Err(error.clone())
            }
            _ => Ok(Turn { guard }),
        }
    }
}

impl Turn {
    /// Ends the turn; an error is shared with those who wait.
    pub(super) fn end<T>(mut self, result: Result<T, RemoteError>) -> Result<T, RemoteError> {
        *self.guard = result.as_ref().err().map(|error| (Instant::now(), error.clone()));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn who_waited_for_a_failure_shares_it_and_who_comes_later_tries_again() {
        let gates = Arc::new(Gates::new());
        let far = Instant::now() + Duration::from_secs(60);
        let first = gates.enter(&1, "attach", far).await.unwrap();
        let waiter = tokio::spawn({
            let gates = gates.clone();
            async move { gates.enter(&1, "attach", far).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let failed: Result<(), _> = Err(RemoteError::new(ErrorKind::Unreachable, "no route"));
        first.end(failed).unwrap_err();
        assert_eq!(waiter.await.unwrap().unwrap_err().kind, ErrorKind::Unreachable);
        assert!(gates.enter(&1, "attach", far).await.is_ok());
        assert!(gates.enter(&2, "attach", far).await.is_ok());
    }
}

//! Sessions, shared by all devices of one target: one login for all, and a logout when nobody is left (F5).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_initiator::{Session, SessionState};

use super::source::{SessionKey, session_config};
use super::translate;
use crate::proto::{ErrorKind, IscsiSource, RemoteError};

/// A session that is lost within this time of its login was taken away rather than lost.
const RIGHT_AFTER_LOGIN: Duration = Duration::from_secs(3);
/// So many times in a row raise the suspicion of a clash.
const CLASHES: u32 = 3;
/// How long a logout may take; the session is closed in any case.
const LOGOUT: Duration = Duration::from_secs(3);

/// All sessions of this process.
pub(super) struct Sessions {
    slots: Mutex<HashMap<SessionKey, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    /// Held for the whole of a login or logout.
    shared: tokio::sync::Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    session: Option<(Session, Arc<Watched>)>,
    users: usize,
    failure: Option<(Instant, RemoteError)>,
}

/// What is observed of a session over time.
#[derive(Default)]
pub(super) struct Watched {
    clash: Mutex<Option<String>>,
}

impl Watched {
    /// Why somebody else seems to use our name and ISID.
    pub(super) fn clash(&self) -> Option<String> {
        self.clash.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A use of a session, to be given back by [`Sessions::release`].
pub(super) struct SessionUse {
    pub(super) session: Session,
    pub(super) watched: Arc<Watched>,
    key: SessionKey,
    /// Whether this use logged in.
    pub(super) is_new: bool,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self {
            slots: Mutex::default(),
        }
    }

    /// The session of a source: the one that is there, the one that is just logging in, or a new one.
    pub(super) async fn acquire(
        &self,
        key: &SessionKey,
        source: &IscsiSource,
        deadline: Instant,
    ) -> Result<SessionUse, RemoteError> {
        let config = session_config(source)?;
        let asked = Instant::now();
        let slot = self.slot(key);
        let shared = tokio::time::timeout_at(deadline.into(), slot.shared.lock());
        let mut shared = shared
            .await
            .map_err(|_| translate::late(&format!("the login to {}", key.iqn)))?;
        let open = shared
            .session
            .as_ref()
            .filter(|(session, _)| session.info().state != SessionState::Closed);
        if let Some((session, watched)) = open.cloned() {
            shared.users += 1;
            return Ok(SessionUse {
                session,
                watched,
                key: key.clone(),
                is_new: false,
            });
        }
        match &shared.failure {
            // Of the login that we waited for; one that had less time than we have is tried again.
            Some((at, error)) if *at >= asked && error.kind != ErrorKind::DeadlineExceeded => {
                return Err(error.clone());
            }
            _ => {}
        }
        match Session::login(config, deadline).await {
            Ok(session) => {
                let watched = Arc::new(Watched::default());
                tokio::spawn(watch(session.watch(), Arc::downgrade(&watched), key.iqn.clone()));
                shared.session = Some((session.clone(), watched.clone()));
                shared.failure = None;
                shared.users += 1;
                Ok(SessionUse {
                    session,
                    watched,
                    key: key.clone(),
                    is_new: true,
                })
            }
            Err(failure) => {
                let error = translate::login(&failure);
                shared.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Gives a use back; the last one logs out. A session that cannot say goodbye is closed all the same.
    pub(super) async fn release(&self, used: SessionUse) {
        let SessionUse {
            session,
            watched,
            key,
            ..
        } = used;
        drop(watched);
        let slot = self.slot(&key);
        let mut shared = slot.shared.lock().await;
        shared.users = shared.users.saturating_sub(1);
        if shared.users > 0 {
            return;
        }
        if let Err(error) = session.logout(Instant::now() + LOGOUT).await {
            tracing::warn!(target_name = key.iqn, %error, "the logout did not go as it should; the session is closed");
        }
        shared.session = None;
    }

    fn slot(&self, key: &SessionKey) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = |slot: &Arc<Slot>| {
            Arc::strong_count(slot) > 1
                || slot
                    .shared
                    .try_lock()
                    .is_ok_and(|shared| shared.session.is_some())
        };
        slots.retain(|other, slot| other == key || in_use(slot));
        slots.entry(key.clone()).or_default().clone()
    }
}

/// Notices a session that is taken away again and again right after its login (F17).
async fn watch(
    mut state: tokio::sync::watch::Receiver<SessionState>,
    watched: std::sync::Weak<Watched>,
    target_name: String,
) {
    let mut up_since = Instant::now();
    let mut short_lives: VecDeque<Duration> = VecDeque::new();
    while state.changed().await.is_ok() {
        let now = *state.borrow_and_update();
        let Some(watched) = watched.upgrade() else { return };
        match now {
            SessionState::Up => up_since = Instant::now(),
            SessionState::Reconnecting if up_since.elapsed() < RIGHT_AFTER_LOGIN => {
                short_lives.push_back(up_since.elapsed());
                short_lives.truncate(CLASHES as usize);
            }
            SessionState::Reconnecting => short_lives.clear(),
            SessionState::Closed => return,
        }
        let suspicion = (short_lives.len() >= CLASHES as usize).then(|| {
            format!(
                "the session was ended right after its login {CLASHES} times in a row: another node seems to use the \
                 same initiator name and ISID; compare `longshore initiator` on your nodes"
            )
        });
        if suspicion.is_some() && watched.clash().is_none() {
            tracing::warn!(target_name, "{}", suspicion.as_deref().unwrap_or_default());
        }
        *watched.clash.lock().unwrap_or_else(PoisonError::into_inner) = suspicion;
    }
}

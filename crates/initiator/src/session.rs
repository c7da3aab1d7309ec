//! `Session`: the handle of a login that heals itself. The work is done by the task in [`crate::actor`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use longshore_scsi::cdb::Cdb;
use longshore_scsi::lun::Lun;
use longshore_scsi::report_luns;
use tokio::sync::{mpsc, oneshot, watch};

use crate::actor::Actor;
use crate::command::{Command, Data, Response};
use crate::config::SessionConfig;
use crate::connect::{Login, connect};
use crate::error::{TransportError, UnitError};
use crate::info::{SessionInfo, SessionState};
use crate::interrogate::Ask;
use crate::login_error::LoginFailure;
use crate::request::{Entry, Origin, Request};

/// The longest REPORT LUNS answer that is taken: 4,095 LUNs.
const REPORT_LUNS_BYTES: u32 = 32 << 10;
const LUNS_MAX: usize = 4095;

/// A session with one target. Clones share it; any number of commands to any number of units may be under way.
///
/// After an outage it logs in again by itself, with the same ISID, for as long as a handle or a [`crate::Unit`]
/// exists. When the last of them is dropped the session logs out in the background; [`Session::logout`] does so
/// in order and says how it went.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// What the handles and the session's task have in common.
pub(crate) struct Shared {
    requests: mpsc::UnboundedSender<Request>,
    info: Arc<Mutex<SessionInfo>>,
    state: watch::Receiver<SessionState>,
    retained_bytes_max: usize,
    news: Arc<AtomicU64>,
}

impl Session {
    /// Logs in through the first of the portals that answers, and starts the session's task on the current
    /// tokio runtime.
    ///
    /// # Errors
    /// [`LoginFailure`] names each portal that was tried and why it did not do, at the latest at `deadline`.
    pub async fn login(config: SessionConfig, deadline: Instant) -> Result<Session, LoginFailure> {
        let config = Arc::new(config);
        let login = Arc::new(Login::from(&*config));
        let connected = connect(&login, None, deadline).await?;
        let info = Arc::new(Mutex::new(connected.first_info(&config)));
        let (requests, receiver) = mpsc::unbounded_channel();
        let (state_sender, state) = watch::channel(SessionState::Up);
        let retained_bytes_max = config.retained_bytes_max;
        let news = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared {
            requests,
            info: info.clone(),
            state,
            retained_bytes_max,
            news: news.clone(),
        });
        let actor = Actor::new(
            config,
            login,
            receiver,
            Arc::downgrade(&shared),
            info,
            state_sender,
            news,
        );
        tokio::spawn(actor.run(connected));
        Ok(Session { shared })
    }

    /// The handle again, for a recovery; `None` when nobody has one any more.
    pub(crate) fn upgrade(shared: &Weak<Shared>) -> Option<Session> {
        shared.upgrade().map(|shared| Session { shared })
    }

    /// Sends a command and waits for its status. While the session is down it waits too; a command that was under
    /// way is repeated where that is known to be safe.
    ///
    /// # Errors
    /// [`TransportError`] when there is no status: at `deadline`, when the outcome is unknown, or when the session
    /// is closed. A SCSI status, whichever, is an `Ok`.
    pub async fn execute(&self, command: Command, deadline: Instant) -> Result<Response, TransportError> {
        let what = format!("{:?} to LUN {}", command.cdb, command.lun);
        match self
            .submit(command, Origin::Control, Some(deadline))
            .wait(what, deadline, self)
            .await
        {
            Ok(response) => Ok(response),
            Err(UnitError::Transport(error)) => Err(error),
            Err(other) => Err(TransportError::Invalid(other.to_string())),
        }
    }

    /// The LUNs that the target shows to this initiator (REPORT LUNS).
    ///
    /// # Errors
    /// [`UnitError`] when there is no answer or one that cannot be read.
    pub async fn report_luns(&self, deadline: Instant) -> Result<Vec<Lun>, UnitError> {
        let lun = Lun::default();
        let cdb = Cdb::report_luns(REPORT_LUNS_BYTES);
        let mut ask = Ask::new(self, lun, Origin::Control, deadline);
        let response = ask
            .answer(cdb, Data::In(REPORT_LUNS_BYTES), "REPORT LUNS")
            .await?;
        report_luns::parse(&response.data.into_bytes(), LUNS_MAX).map_err(|error| UnitError::Malformed {
            lun: lun.to_string(),
            what: "REPORT LUNS",
            reason: error.to_string(),
        })
    }

    /// Flushes what the units' volatile caches hold, logs out, and closes the session for all handles.
    ///
    /// # Errors
    /// [`UnitError::WritesLost`] when a flush failed, [`TransportError::Deadline`] when the target did not answer in
    /// time. The session is closed in any case.
    pub async fn logout(&self, deadline: Instant) -> Result<(), UnitError> {
        let (reply, answer) = oneshot::channel();
        if self
            .shared
            .requests
            .send(Request::Logout { deadline, reply })
            .is_err()
        {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// A snapshot of the session.
    pub fn info(&self) -> SessionInfo {
        lock(&self.shared.info).clone()
    }

    /// Tells each change of the session's state.
    pub fn watch(&self) -> watch::Receiver<SessionState> {
        self.shared.state.clone()
    }

    /// Hands a command to the session's task.
    pub(crate) fn submit(&self, command: Command, origin: Origin, deadline: Option<Instant>) -> Pending {
        let (reply, answer) = oneshot::channel();
        let entry = Entry::new(command, origin, deadline, reply);
        // When the task is gone, the reply is dropped with the entry and the waiter sees a closed session.
        let _closed = self.shared.requests.send(Request::Submit(entry));
        Pending { answer }
    }

    pub(crate) fn send(&self, request: Request) -> Result<(), TransportError> {
        self.shared.requests.send(request).map_err(|_| self.closed())
    }

    pub(crate) fn retained_bytes_max(&self) -> usize {
        self.shared.retained_bytes_max
    }

    /// How often something has happened after which a unit may be another one.
    pub(crate) fn news(&self) -> u64 {
        self.shared.news.load(Ordering::Relaxed)
    }

    pub(crate) fn closed(&self) -> TransportError {
        let reason = lock(&self.shared.info).last_error.clone();
        TransportError::Closed {
            reason: reason.unwrap_or_else(|| "it was logged out".into()),
        }
    }
}

/// A command on its way.
pub(crate) struct Pending {
    answer: oneshot::Receiver<Result<Response, UnitError>>,
}

impl Pending {
    /// Waits for a status, at most until `deadline`.
    pub(crate) async fn wait(
        self,
        what: String,
        deadline: Instant,
        session: &Session,
    ) -> Result<Response, UnitError> {
        match tokio::time::timeout_at(deadline.into(), self.answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_closed)) => Err(session.closed().into()),
            Err(_elapsed) => Err(TransportError::Deadline {
                what,
                session: session.describe(),
            }
            .into()),
        }
    }

    /// Waits for a status for as long as the session exists.
    pub(crate) async fn forever(self, session: &Session) -> Result<Response, UnitError> {
        self.answer
            .await
            .unwrap_or_else(|_closed| Err(session.closed().into()))
    }
}

impl Session {
    fn describe(&self) -> String {
        let info = lock(&self.shared.info);
        match (info.state, &info.last_error) {
            (SessionState::Reconnecting, Some(error)) => {
                format!("session to {} is down: {error}", info.target_name)
            }
            (state, _) => format!(
                "session to {} through {} is {state:?}",
                info.target_name, info.portal
            ),
        }
    }
}

/// Locks `mutex`; what it guards are plain values, which a panic elsewhere cannot leave half-written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

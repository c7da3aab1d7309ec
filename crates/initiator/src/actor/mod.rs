//! `Actor`: the task of a session. It owns the connection, makes a new one when it is lost, and moves commands between
//! the handles, the [`Board`] and the wire.

mod serve;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

use longshore_iscsi::initiator::{Connection, ConnectionError, Settings};
use longshore_iscsi::pdu::InitiatorTaskTag;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use crate::board::Board;
use crate::config::SessionConfig;
use crate::connect::{Connected, Login, connect};
use crate::error::UnitError;
use crate::info::{SessionInfo, SessionState};
use crate::link::{Link, LinkError};
use crate::request::Request;
use crate::session::{Shared, lock};

/// Why a connection is over.
enum End {
    /// It was lost; log in again, not before so long.
    Lost(String, Duration),
    /// The session is logged out, or nobody wants it any more.
    Closed,
}

/// A logout under way.
struct Logout {
    deadline: Instant,
    replies: Vec<oneshot::Sender<Result<(), UnitError>>>,
    sent: bool,
}

/// The task of a session.
pub(crate) struct Actor {
    config: Arc<SessionConfig>,
    login: Arc<Login>,
    requests: mpsc::UnboundedReceiver<Request>,
    shared: Weak<Shared>,
    info: Arc<Mutex<SessionInfo>>,
    state: watch::Sender<SessionState>,
    board: Board,
    logout: Option<Logout>,
    /// Unit resets that the target has not answered yet.
    resets: Vec<(InitiatorTaskTag, oneshot::Sender<bool>)>,
    timer: Pin<Box<Sleep>>,
    /// How long to wait before the next login when the connection does not hold.
    pause: Duration,
}

impl Actor {
    pub(crate) fn new(
        config: Arc<SessionConfig>,
        login: Arc<Login>,
        requests: mpsc::UnboundedReceiver<Request>,
        shared: Weak<Shared>,
        info: Arc<Mutex<SessionInfo>>,
        state: watch::Sender<SessionState>,
        news: Arc<AtomicU64>,
    ) -> Self {
        Actor {
            board: Board::new(config.timing.idle_flush, news),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            config,
            login,
            requests,
            shared,
            info,
            state,
            logout: None,
            resets: Vec::new(),
            pause: Duration::ZERO,
        }
    }

    /// Serves the session until it is closed.
    pub(crate) async fn run(mut self, first: Connected) {
        let mut connected = first;
        loop {
            let since = clock();
            let mut link = self.link(connected);
            let end = poll_fn(|cx| self.poll_serve(cx, &mut link)).await;
            drop(link);
            match end {
                End::Closed => break,
                End::Lost(reason, wait) => {
                    self.lost(&reason);
                    let pause = self.pause_after(clock() - since);
                    match self.reconnect(wait.max(pause)).await {
                        Some(again) => connected = again,
                        None => break,
                    }
                }
            }
        }
        self.close();
    }

    // The life of a connection.

    fn link(&mut self, connected: Connected) -> Link {
        let timing = &self.config.timing;
        let settings = Settings {
            keepalive_interval: timing.noop_interval,
            keepalive_timeout: timing.noop_timeout,
            task_management_timeout: timing.task_management_timeout,
        };
        let Connected {
            stream,
            decoder,
            parameters,
            ..
        } = connected;
        Link::new(stream, decoder, Connection::new(clock(), parameters, settings))
    }

    /// How long to wait before the next login. Not at all after a connection that held for a while; longer and longer
    /// when each one is lost as soon as it is made, lest we storm the target (F19).
    fn pause_after(&mut self, held: Duration) -> Duration {
        let timing = &self.config.timing;
        if held >= timing.reconnect_max {
            self.pause = Duration::ZERO;
        }
        let pause = self.pause;
        self.pause = (pause * 2).max(timing.reconnect_min).min(timing.reconnect_max);
        pause
    }

    fn lost(&mut self, reason: &str) {
        tracing::warn!(target = %self.config.target_name, reason, "the connection is lost");
        self.resets.clear();
        self.board.connection_lost(reason);
        let mut info = lock(&self.info);
        info.state = SessionState::Reconnecting;
        info.since = SystemTime::now();
        info.last_error = Some(reason.to_owned());
        drop(info);
        self.state.send_replace(SessionState::Reconnecting);
    }

    /// Logs in again, however long it takes, and serves requests as far as that is possible without a connection.
    async fn reconnect(&mut self, first_wait: Duration) -> Option<Connected> {
        let timing = self.config.timing;
        let mut wait = first_wait;
        let mut next = timing.reconnect_min;
        loop {
            let login = self.login.clone();
            let preferred = lock(&self.info).portal.clone();
            let attempt = async move {
                tokio::time::sleep(wait).await;
                connect(&login, Some(&preferred), Instant::now() + timing.login_timeout).await
            };
            tokio::pin!(attempt);
            let result = loop {
                if self.is_over_without_connection() {
                    return None;
                }
                let deadline = self.logout.as_ref().map(|logout| logout.deadline);
                tokio::select! {
                    biased;
                    request = self.requests.recv() => match request {
                        Some(request) => self.take_request(request, None),
                        None => return None,
                    },
                    result = &mut attempt => break result,
                    () = until(deadline) => return None,
                }
            };
            match result {
                Ok(connected) => {
                    self.connected(&connected);
                    return Some(connected);
                }
                Err(failure) => {
                    tracing::warn!(%failure, "cannot log in again yet");
                    lock(&self.info).last_error = Some(failure.to_string());
                    wait = next;
                    next = (next * 2).min(timing.reconnect_max);
                }
            }
        }
    }

    /// A logout that has nothing to save needs no connection.
    fn is_over_without_connection(&self) -> bool {
        self.logout.is_some() && !self.board.holds_data()
    }

    fn connected(&mut self, connected: &Connected) {
        let mut info = lock(&self.info);
        let tag = connected.parameters.target_portal_group_tag;
        let same_nexus = match (info.target_portal_group_tag, tag) {
            (Some(before), Some(now)) => before == now,
            // A target that does not name its groups: the same address is the same group.
            _ => info.address == connected.address,
        };
        let (reconnects, counters) = (info.reconnects + 1, info.counters);
        let last_error = info.last_error.take();
        *info = SessionInfo {
            reconnects,
            counters,
            last_error,
            ..connected.first_info(&self.config)
        };
        drop(info);
        self.board.connected(same_nexus);
        self.state.send_replace(SessionState::Up);
    }

    fn close(mut self) {
        self.board.close_entrance("it was logged out");
        let losses = self.board.losses();
        self.board.fail_all("it was logged out");
        for reply in self
            .logout
            .take()
            .map(|logout| logout.replies)
            .unwrap_or_default()
        {
            let result = match &losses {
                None => Ok(()),
                Some(reason) => Err(UnitError::WritesLost {
                    reason: reason.clone(),
                }),
            };
            let _gone = reply.send(result);
        }
        let mut info = lock(&self.info);
        info.state = SessionState::Closed;
        info.since = SystemTime::now();
        info.counters = self.board.counters;
        drop(info);
        self.state.send_replace(SessionState::Closed);
    }
}

/// The time, as tests may have set it.
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Sleeps until `deadline`, or for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn lost(error: LinkError) -> End {
    let wait = match &error {
        LinkError::Connection(ConnectionError::Dropped { wait_seconds }) => {
            Duration::from_secs(u64::from(*wait_seconds).min(60))
        }
        _ => Duration::ZERO,
    };
    End::Lost(error.to_string(), wait)
}

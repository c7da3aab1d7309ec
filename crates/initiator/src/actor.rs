//! `Actor`: the task of a session. It owns the connection, makes a new one when it is lost, and moves commands between
//! the handles, the [`Board`] and the wire.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use longshore_iscsi::initiator::{Connection, ConnectionError, Event, ScsiTask, Settings, TaskData};
use longshore_iscsi::pdu::{InitiatorTaskTag, LunField, TaskAttribute};
use longshore_scsi::sense::Sense;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use crate::board::Board;
use crate::command::Data;
use crate::config::SessionConfig;
use crate::connect::{Connected, Login, connect};
use crate::error::UnitError;
use crate::info::{SessionInfo, SessionState};
use crate::link::{Link, LinkError};
use crate::recovery;
use crate::request::{Entry, Request};
use crate::session::{Session, Shared, lock};

/// How often the loop goes round before other tasks get their turn.
const PASSES: usize = 16;
/// How many requests are taken in one pass.
const REQUESTS: usize = 256;
/// How long the orderly end of a session may take when nobody waits for it.
const QUIET_LOGOUT: Duration = Duration::from_secs(5);

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
}

impl Actor {
    pub(crate) fn new(
        config: Arc<SessionConfig>,
        login: Arc<Login>,
        requests: mpsc::UnboundedReceiver<Request>,
        shared: Weak<Shared>,
        info: Arc<Mutex<SessionInfo>>,
        state: watch::Sender<SessionState>,
    ) -> Self {
        Actor {
            board: Board::new(config.timing.idle_flush),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            config,
            login,
            requests,
            shared,
            info,
            state,
            logout: None,
            resets: Vec::new(),
        }
    }

    /// Serves the session until it is closed.
    pub(crate) async fn run(mut self, first: Connected) {
        let mut connected = first;
        loop {
            let mut link = self.link(connected);
            let end = poll_fn(|cx| self.poll_serve(cx, &mut link)).await;
            drop(link);
            match end {
                End::Closed => break,
                End::Lost(reason, wait) => {
                    self.lost(&reason);
                    match self.reconnect(wait).await {
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

    // The loop.

    fn poll_serve(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<End> {
        for _ in 0..PASSES {
            match self.pass(cx, link) {
                Ok(true) => {}
                Ok(false) => {
                    self.publish();
                    return Poll::Pending;
                }
                Err(end) => return Poll::Ready(end),
            }
        }
        self.publish();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One round: requests in, commands out, answers in, time. Tells whether anything moved.
    fn pass(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<bool, End> {
        let mut moved = self.poll_requests(cx, link);
        moved |= self.feed(link);
        if let Poll::Ready(result) = link.poll_write(cx) {
            result.map_err(lost)?;
        }
        if let Poll::Ready(result) = link.poll_read(cx, clock()) {
            moved = true;
            // What came before the error counts: answers are not thrown away with the connection.
            let events = self.take_events(link);
            result.map_err(lost)?;
            events?;
        }
        self.take_events(link)?;
        moved |= self.tick(cx, link)?;
        if let Some(reason) = self.board.reconnect.take() {
            return Err(End::Lost(reason, Duration::ZERO));
        }
        // Whatever became ready in this round goes out in the next one.
        moved |= self.board.has_ready() && link.has_room();
        for job in self.board.take_jobs() {
            if let Some(session) = Session::upgrade(&self.shared) {
                tokio::spawn(recovery::recover(session, job));
            }
        }
        Ok(moved)
    }

    fn poll_requests(&mut self, cx: &mut Context<'_>, link: &mut Link) -> bool {
        for count in 0..REQUESTS {
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(request)) => self.take_request(request, Some(&mut link.connection)),
                Poll::Ready(None) => {
                    // The last handle is gone.
                    let first = self.logout.is_none();
                    self.begin_logout(clock() + QUIET_LOGOUT, None);
                    return first || count > 0;
                }
                Poll::Pending => return count > 0,
            }
        }
        true
    }

    fn take_request(&mut self, request: Request, connection: Option<&mut Connection>) {
        let now = clock();
        match request {
            Request::Submit(entry) => self.board.submit(now, entry),
            Request::Open { unit, reply } => {
                let lun = unit.lun;
                if reply.send(self.board.open(now, unit)).is_err() {
                    self.board.close(now, lun);
                }
            }
            Request::Close { lun } => self.board.close(now, lun),
            Request::ResetUnit { lun, reply } => {
                let tag = connection.and_then(|it| it.reset_unit(now, LunField(lun.to_bytes())));
                // Without a tag the reply is dropped, which is as good as "no".
                self.resets.extend(tag.map(|tag| (tag, reply)));
            }
            Request::Recovered { lun, round, outcome } => self.board.recovered(now, lun, round, outcome),
            Request::Logout { deadline, reply } => self.begin_logout(deadline, Some(reply)),
        }
    }

    /// Gives the machine commands as long as they leave at once.
    fn feed(&mut self, link: &mut Link) -> bool {
        let now = clock();
        let mut moved = link.fill();
        while link.has_room() {
            let Some(entry) = self.board.next(now) else { break };
            let task = self.scsi_task(now, &entry);
            match link.connection.submit(task) {
                Ok(tag) => self.board.sent(tag, entry),
                Err(_) => {
                    self.board.unsent(entry);
                    break;
                }
            }
            link.fill();
            moved = true;
        }
        moved
    }

    fn scsi_task(&self, now: Instant, entry: &Entry) -> ScsiTask {
        let data = match &entry.command.data {
            Data::None => TaskData::None,
            Data::In(len) => TaskData::In(*len),
            Data::Out(data) => TaskData::Out(data.clone()),
        };
        ScsiTask {
            lun: LunField(entry.command.lun.to_bytes()),
            cdb: entry.command.cdb.to_bytes().to_array(),
            data,
            attribute: TaskAttribute::Simple,
            deadline: Some(entry.deadline.unwrap_or(now + self.config.timing.task_timeout)),
        }
    }

    fn take_events(&mut self, link: &mut Link) -> Result<(), End> {
        let now = clock();
        while let Some(event) = link.connection.poll_event() {
            match event {
                Event::Completed { task, result } => self.board.completed(now, task, result),
                Event::UnitReset { request, done, .. } => {
                    if let Some(at) = self.resets.iter().position(|(tag, _)| *tag == request) {
                        let _gone = self.resets.swap_remove(at).1.send(done);
                    }
                }
                Event::Aborting { task } => {
                    self.board.counters.aborts += 1;
                    tracing::warn!(target = %self.config.target_name, %task, "no status in time, aborting");
                }
                Event::ScsiEvent { lun, sense } => {
                    if let Ok(sense) = Sense::parse(&sense) {
                        self.board
                            .attention(longshore_scsi::lun::Lun::from_bytes(lun.0), &sense);
                    }
                }
                Event::LoggedOut if self.logout.is_some() => return Err(End::Closed),
                Event::LoggedOut => {
                    return Err(End::Lost(
                        "the target wanted a new login".to_owned(),
                        Duration::ZERO,
                    ));
                }
                Event::LogoutRequested { within_seconds } => {
                    // A new login reinstates the session, which is as good as a logout and a login.
                    tracing::info!(within_seconds, "the target wants a new login");
                    return Err(End::Lost(
                        "the target asked for a new login".to_owned(),
                        Duration::ZERO,
                    ));
                }
                Event::Text { .. } => {}
                Event::Note(note) => tracing::info!(target = %self.config.target_name, note),
            }
        }
        Ok(())
    }

    /// Does what is due, and sets the timer.
    fn tick(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<bool, End> {
        let now = clock();
        let mut moved = false;
        if self.board.poll_timeout().is_some_and(|due| due <= now) {
            self.board.handle_timeout(now);
        }
        if link.connection.poll_timeout().is_some_and(|due| due <= now) {
            link.connection
                .handle_timeout(now)
                .map_err(|error| lost(error.into()))?;
            moved = true;
            if link.connection.outstanding() <= 1 {
                link.rest();
            }
        }
        self.advance_logout(now, link)?;
        let logout = self.logout.as_ref().map(|logout| logout.deadline);
        let due = [self.board.poll_timeout(), link.connection.poll_timeout(), logout];
        let Some(due) = due.into_iter().flatten().min() else {
            return Ok(moved);
        };
        let due = tokio::time::Instant::from_std(due);
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        Ok(moved | self.timer.as_mut().poll(cx).is_ready())
    }

    // Logout.

    fn begin_logout(&mut self, deadline: Instant, reply: Option<oneshot::Sender<Result<(), UnitError>>>) {
        self.board.close_entrance("it was logged out");
        let logout = self.logout.get_or_insert(Logout {
            deadline,
            replies: Vec::new(),
            sent: false,
        });
        logout.deadline = logout.deadline.min(deadline);
        logout.replies.extend(reply);
    }

    fn advance_logout(&mut self, now: Instant, link: &mut Link) -> Result<(), End> {
        let Some(logout) = &mut self.logout else {
            return Ok(());
        };
        if logout.deadline <= now {
            return Err(End::Closed);
        }
        if !logout.sent && self.board.drain() {
            logout.sent = true;
            link.connection.logout().map_err(|_| End::Closed)?;
            link.fill();
        }
        Ok(())
    }

    fn publish(&mut self) {
        let mut info = lock(&self.info);
        if info.counters != self.board.counters {
            info.counters = self.board.counters;
        }
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

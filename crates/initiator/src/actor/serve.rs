//! The loop of a session while it has a connection: requests in, commands out, answers in, time.

use std::future::Future;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use longshore_iscsi::initiator::{Connection, Event, ScsiTask, TaskData};
use longshore_iscsi::pdu::{LunField, TaskAttribute};
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::Sense;
use tokio::sync::oneshot;

use super::{Actor, End, Logout, clock, lost};
use crate::command::Data;
use crate::error::UnitError;
use crate::link::Link;
use crate::recovery;
use crate::request::{Entry, Request};
use crate::session::{Session, lock};

/// How often the loop goes round before other tasks get their turn.
const PASSES: usize = 16;
/// How many requests are taken in one pass.
const REQUESTS: usize = 256;
/// How long the orderly end of a session may take when nobody waits for it.
const QUIET_LOGOUT: Duration = Duration::from_secs(5);

impl Actor {
    pub(super) fn poll_serve(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<End> {
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
        let queued = link.queued_frames();
        if let Poll::Ready(result) = link.poll_write(cx, clock()) {
            result.map_err(lost)?;
        }
        // Room in the queue: there may be more to be encoded.
        moved |= link.queued_frames() < queued;
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

    pub(super) fn take_request(&mut self, request: Request, connection: Option<&mut Connection>) {
        let now = clock();
        match request {
            Request::Submit(entry) => self.board.submit(now, entry),
            Request::Open { unit, as_of, reply } => {
                let lun = unit.lun;
                if reply.send(self.board.open(now, unit, as_of)).is_err() {
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
                        self.board.attention(Lun::from_bytes(lun.0), &sense);
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
        moved |= self.advance_logout(now, link)?;
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

    pub(super) fn begin_logout(
        &mut self,
        deadline: Instant,
        reply: Option<oneshot::Sender<Result<(), UnitError>>>,
    ) {
        self.board.close_entrance("it was logged out");
        let logout = self.logout.get_or_insert(Logout {
            deadline,
            replies: Vec::new(),
            sent: false,
        });
        logout.deadline = logout.deadline.min(deadline);
        logout.replies.extend(reply);
    }

    /// Sends the Logout Request once nothing is left to be saved. Tells whether it did.
    fn advance_logout(&mut self, now: Instant, link: &mut Link) -> Result<bool, End> {
        let Some(logout) = &mut self.logout else {
            return Ok(false);
        };
        if logout.deadline <= now {
            return Err(End::Closed);
        }
        if !logout.sent && self.board.drain() {
            logout.sent = true;
            link.connection.logout().map_err(|_| End::Closed)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn publish(&mut self) {
        let mut info = lock(&self.info);
        if info.counters != self.board.counters {
            info.counters = self.board.counters;
        }
    }
}

//! The full feature phase of a connection, initiator's side, without I/O (RFC 7143 §4.2, §4.6, §11).

mod error;
mod event;
mod keepalive;
mod management;
mod receive;
mod segments;
mod tags;
mod task;
#[cfg(test)]
mod tests;
mod text;
mod transmit;
mod window;

pub use error::{ConnectionError, SubmitError, TaskError, Violation};
pub use event::{Completion, Event, Function, ScsiTask, Settings, TaskData};
pub use segments::Segments;
pub use text::{TEXT_BYTES_MAX, TEXT_PDUS_MAX};

use crate::params::SessionParameters;
use crate::pdu::InitiatorTaskTag;
use crate::serial::SerialNumber32;
use bytes::Bytes;
use keepalive::Keepalive;
use std::collections::VecDeque;
use std::time::Instant;
use tags::{Request, TAGS_MAX, Tags};
use task::{Burst, Task};
use transmit::Control;
use window::CommandWindow;

/// Up to so many tags [`Connection::has_room`] tells of room: some are left for task management.
const TASKS_MAX: usize = TAGS_MAX - 64;

/// One connection in full feature phase. It owns no socket and reads no clock.
///
/// Its methods, by kind:
/// - getters: [`outstanding`](Self::outstanding), [`has_room`](Self::has_room), [`parameters`](Self::parameters);
/// - events in: [`handle_pdu`](Self::handle_pdu), [`handle_frame_error`](Self::handle_frame_error),
///   [`handle_activity`](Self::handle_activity), [`handle_timeout`](Self::handle_timeout). After an `Err` the connection
///   is dead: every task that has no status has an unknown outcome, and nothing else may be called;
/// - mutators: [`submit`](Self::submit), [`abort`](Self::abort), [`reset_unit`](Self::reset_unit), [`text`](Self::text),
///   [`logout`](Self::logout);
/// - actions out: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout).
///
/// After any call that takes `&mut self`, poll events until there are none, then transmit until there is nothing, then
/// ask for the time at which `handle_timeout` is due.
#[derive(Debug)]
pub struct Connection {
    parameters: SessionParameters,
    settings: Settings,
    window: CommandWindow,
    exp_stat_sn: SerialNumber32,
    tags: Tags,
    /// Commands that wait for the window, in order.
    waiting: VecDeque<InitiatorTaskTag>,
    /// Data-Out to be sent, in order.
    bursts: VecDeque<Burst>,
    /// What goes out before everything else.
    control: VecDeque<Control>,
    events: VecDeque<Event>,
    keepalive: Keepalive,
    /// No later than this a task's deadline passes; recomputed when it does.
    next_deadline: Option<Instant>,
    logging_out: bool,
}

impl Connection {
    /// Goes on where the login ended.
    #[must_use]
    pub fn new(now: Instant, parameters: SessionParameters, settings: Settings) -> Self {
        Connection {
            window: CommandWindow::new(parameters.cmd_sn, parameters.max_cmd_sn),
            exp_stat_sn: parameters.exp_stat_sn,
            parameters,
            settings,
            tags: Tags::default(),
            waiting: VecDeque::new(),
            bursts: VecDeque::new(),
            control: VecDeque::new(),
            events: VecDeque::new(),
            keepalive: Keepalive::new(now, settings),
            next_deadline: None,
            logging_out: false,
        }
    }

    /// How many requests have no answer yet, of all kinds.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.tags.len()
    }

    /// Whether a command that is submitted now may leave at once. Who waits for this keeps the choice of what goes
    /// next, and may change its mind.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !self.logging_out && (self.window.room() as usize) > self.waiting.len() && self.tags.len() < TASKS_MAX
    }

    /// What the login agreed on.
    #[must_use]
    pub fn parameters(&self) -> &SessionParameters {
        &self.parameters
    }

    /// Queues a SCSI command. It leaves as soon as the command window allows, in the order of submission.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued then.
    pub fn submit(&mut self, command: ScsiTask) -> Result<InitiatorTaskTag, SubmitError> {
        if self.logging_out {
            return Err(SubmitError::LoggingOut);
        }
        if u32::try_from(command.data.expected_len()).is_err() {
            return Err(SubmitError::TooLong(command.data.expected_len()));
        }
        let deadline = command.deadline;
        let Some(tag) = self.tags.insert(Request::Scsi(Task::new(command))) else {
            return Err(SubmitError::TooManyTasks(self.tags.len()));
        };
        self.waiting.push_back(tag);
        self.note_deadline(deadline);
        Ok(tag)
    }

    /// Asks for text, for instance SendTargets: `pairs` are key=value pairs, each ended by a zero byte.
    /// The answer comes as [`Event::Text`].
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn text(&mut self, pairs: Bytes) -> Result<InitiatorTaskTag, SubmitError> {
        if self.logging_out {
            return Err(SubmitError::LoggingOut);
        }
        let exchange = Request::Text(text::TextExchange::default());
        let Some(tag) = self.tags.insert(exchange) else {
            return Err(SubmitError::TooManyTasks(self.tags.len()));
        };
        self.control.push_back(Control::first_text(tag, pairs));
        Ok(tag)
    }

    /// Closes the session. Tasks without a status are lost, so wait for them first. [`Event::LoggedOut`] follows.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn logout(&mut self) -> Result<(), SubmitError> {
        if self.logging_out {
            return Ok(());
        }
        let Some(tag) = self.tags.insert(Request::Logout) else {
            return Err(SubmitError::TooManyTasks(self.tags.len()));
        };
        self.logging_out = true;
        self.control.push_back(Control::Logout { tag });
        Ok(())
    }

    /// Bytes came from the target, though perhaps not yet a whole PDU: it lives.
    pub fn handle_activity(&mut self, now: Instant) {
        self.keepalive.note_activity(now);
    }

    /// A time that [`poll_timeout`](Self::poll_timeout) named has come. Calling it earlier does no harm.
    ///
    /// # Errors
    /// [`ConnectionError::KeepaliveTimeout`], [`ConnectionError::TaskManagement`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        self.check_tasks(now);
        self.check_management(now)?;
        if self.keepalive.is_expired(now) {
            return Err(ConnectionError::KeepaliveTimeout);
        }
        if !self.logging_out && self.keepalive.is_due(now) {
            if let Some(tag) = self.tags.insert(Request::Ping) {
                self.keepalive.note_asked(now);
                self.control.push_back(Control::Ping { tag });
            }
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [Some(self.keepalive.next()), self.next_deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn note_deadline(&mut self, deadline: Option<Instant>) {
        self.next_deadline = [self.next_deadline, deadline].into_iter().flatten().min();
    }

    /// Ends a task without a status.
    fn fail(&mut self, task: InitiatorTaskTag, error: TaskError) {
        if self.tags.remove(task).is_some() {
            self.events.push_back(Event::Completed {
                task,
                result: Err(error),
            });
        }
    }
}

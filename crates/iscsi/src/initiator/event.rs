//! What goes into the machine and what comes out of it, besides PDUs.

use super::{Segments, TaskError};
use crate::pdu::{InitiatorTaskTag, LunField, TaskAttribute, TaskManagementFunction};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Task management as far as this machine uses it.
pub type Function = TaskManagementFunction;

/// The times of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// After so long without a byte from the target, a NOP-Out asks whether it lives.
    pub keepalive_interval: Duration,
    /// A NOP-Out without any answer for so long ends the connection.
    pub keepalive_timeout: Duration,
    /// A task management function without an answer for so long is followed by the next harder one.
    pub task_management_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            keepalive_interval: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            task_management_timeout: Duration::from_secs(10),
        }
    }
}

/// The data of a SCSI command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskData {
    /// None.
    None,
    /// At most so many bytes towards the initiator.
    In(u32),
    /// These bytes towards the target.
    Out(Bytes),
}

impl TaskData {
    /// ExpectedDataTransferLength.
    pub(super) fn expected_len(&self) -> usize {
        match self {
            TaskData::None => 0,
            TaskData::In(len) => *len as usize,
            TaskData::Out(bytes) => bytes.len(),
        }
    }
}

/// A SCSI command to be carried to a logical unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScsiTask {
    /// Which unit.
    pub lun: LunField,
    /// The CDB, filled with zeros.
    pub cdb: [u8; 16],
    /// Its data.
    pub data: TaskData,
    /// Its task attribute; SIMPLE but for special needs.
    pub attribute: TaskAttribute,
    /// When to begin aborting it, if it has no status by then.
    pub deadline: Option<Instant>,
}

/// The answer to a SCSI command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The SCSI status byte.
    pub status: u8,
    /// The sense data, as they came; empty when there were none.
    pub sense: Bytes,
    /// Data-In.
    pub data: Segments,
    /// Bytes of the expected length that were not transferred: the greater of what the target says (U bit) and
    /// what we counted ourselves.
    pub underflow_bytes: u32,
    /// Bytes that the target would have transferred beyond the expected length (O bit).
    pub overflow_bytes: u32,
}

/// What happened. Poll for it after each call that takes `&mut self`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A SCSI task came to its end; its tag is free again.
    Completed {
        /// Its tag.
        task: InitiatorTaskTag,
        /// Status and data, or why there are none.
        result: Result<Completion, TaskError>,
    },
    /// A logical unit reset that was asked for by [`super::Connection::reset_unit`] came to its end.
    UnitReset {
        /// The tag of the request.
        request: InitiatorTaskTag,
        /// The unit.
        lun: LunField,
        /// Whether the target carried it out.
        done: bool,
    },
    /// A task had no status at its deadline; ABORT TASK goes out.
    Aborting {
        /// Its tag.
        task: InitiatorTaskTag,
    },
    /// The whole answer to a text request.
    Text {
        /// The tag of the request.
        request: InitiatorTaskTag,
        /// The key=value pairs, each ended by a zero byte; at most 1 MiB. `None` when the target rejected it.
        answer: Option<Bytes>,
    },
    /// The target confirmed our logout: close the TCP connection.
    LoggedOut,
    /// A SCSI event of a unit (Asynchronous Message 0): its sense data, for instance 3F/0E.
    ScsiEvent {
        /// The unit.
        lun: LunField,
        /// Sense data.
        sense: Bytes,
    },
    /// The target wants us to log out within so many seconds (Asynchronous Message 1), or to negotiate again (4),
    /// which a new login does too.
    LogoutRequested {
        /// Parameter3.
        within_seconds: u16,
    },
    /// Something that the target said and that needs no action; for the log.
    Note(&'static str),
}

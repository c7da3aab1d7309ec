//! What a connection tells its driver, and what the driver answers.

use crate::pdu::{InitiatorTaskTag, LunField, TaskAttribute, TaskManagementFunction};
use bytes::Bytes;
use std::fmt;

/// One command on this connection. Tags are used again by initiators; a `TaskId` is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TaskId {
    pub(super) tag: InitiatorTaskTag,
    pub(super) serial: u64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tag)
    }
}

/// Something that the driver has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A SCSI command, in CmdSN order.
    Command(Command),
    /// Data-Out that [`want_data`](super::TargetConnection::want_data) asked for, in order.
    Data {
        /// The command.
        task: TaskId,
        /// Where in the command's data these bytes start.
        offset: u32,
        /// The bytes.
        segments: Vec<Bytes>,
        /// Nothing more comes.
        last: bool,
    },
    /// Data-Out of this command was damaged on its way and is lost: answer with ABORTED COMMAND, 47/05 (§7.8).
    DataLost {
        /// The command.
        task: TaskId,
    },
    /// A task management request; answer with
    /// [`respond_management`](super::TargetConnection::respond_management).
    TaskManagement(TaskManagement),
    /// SendTargets; answer with [`respond_send_targets`](super::TargetConnection::respond_send_targets).
    SendTargets {
        /// The value of the key: `All`, a target name, or empty for the session's own target.
        value: String,
    },
    /// The initiator logged out: transmit what is queued, then close. All commands are over.
    LoggedOut,
}

/// A SCSI command as its driver needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// To be named in every answer.
    pub task: TaskId,
    /// The logical unit.
    pub lun: LunField,
    /// The first 16 bytes of the CDB.
    pub cdb: [u8; 16],
    /// How it is ordered among others.
    pub attribute: TaskAttribute,
    /// The R bit: the initiator takes Data-In.
    pub read: bool,
    /// The W bit: the initiator has Data-Out.
    pub write: bool,
    /// Expected Data Transfer Length in bytes.
    pub expected_len: u32,
}

impl Command {
    /// How many bytes of Data-In the initiator takes.
    #[must_use]
    pub fn data_in_room(&self) -> u32 {
        if self.read { self.expected_len } else { 0 }
    }

    /// How many bytes of Data-Out the initiator has.
    #[must_use]
    pub fn data_out_len(&self) -> u32 {
        if self.write { self.expected_len } else { 0 }
    }
}

/// A task management request. ABORT TASK has already taken its task out of the connection when this arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskManagement {
    /// To be named in the answer.
    pub tag: InitiatorTaskTag,
    /// What is asked for.
    pub function: TaskManagementFunction,
    /// The logical unit, where the function has one.
    pub lun: LunField,
    /// ABORT TASK: the command that it took out; `None` if there was none.
    pub aborted: Option<TaskId>,
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completion {
    /// SCSI status.
    pub status: u8,
    /// Sense data, empty without.
    pub sense: Bytes,
    /// How many bytes the command had to transfer, however many the initiator expected: the residual follows from it
    /// (§11.4.5). Of a command that failed, what was transferred.
    pub transfer_len: u64,
}

impl Completion {
    /// GOOD status of a command that had to transfer so many bytes.
    #[must_use]
    pub const fn good(transfer_len: u64) -> Self {
        Self {
            status: 0,
            sense: Bytes::new(),
            transfer_len,
        }
    }
}

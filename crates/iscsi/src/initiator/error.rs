//! What ends a connection of the full feature phase, and what ends a single task without a status.

use super::Function;
use crate::frame::FrameError;
use crate::pdu::{InitiatorTaskTag, LogoutResponseCode, Opcode, PduError, RejectReason};

/// Why the connection cannot go on. The session logs in again, or gives up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The byte stream cannot be cut into PDUs any more, for instance after a header digest error.
    #[error("the byte stream of the target cannot be read: {0}")]
    Frame(#[from] FrameError),
    /// A PDU is malformed.
    #[error("the target sent a PDU that is not valid: {0}")]
    Pdu(#[from] PduError),
    /// A PDU is well formed, but the protocol does not allow it here.
    #[error("the target broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// A damaged data segment in a PDU that belongs to no SCSI task.
    #[error("the data segment of a {0} is damaged (CRC32C)")]
    DataDigest(Opcode),
    /// The target did not answer a NOP-Out.
    #[error("the target did not answer a NOP-Out in time; it or the network is down")]
    KeepaliveTimeout,
    /// The target answered neither ABORT TASK nor LOGICAL UNIT RESET, or refused both.
    #[error("the target does not end a task: {0} came to nothing")]
    TaskManagement(Function),
    /// The target answered a Logout Request with an error.
    #[error("the target refused the logout: {0}")]
    Logout(LogoutResponseCode),
    /// The target asked for a logout or drops the connection (Asynchronous Message).
    #[error("the target drops the connection; it may be logged in to again after {wait_seconds} s")]
    Dropped {
        /// Time2Wait.
        wait_seconds: u16,
    },
}

/// A rule of RFC 7143 that the target broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the RFC's own numbers")]
pub enum Violation {
    /// A PDU that a target does not send, or not in this phase.
    #[error("{0} is not expected from a target in full feature phase (§11.2.1.2)")]
    UnexpectedPdu(Opcode),
    /// An opcode that the RFC does not define.
    #[error("opcode {0:#04x} is not defined (§11.2.1.2)")]
    UnknownOpcode(u8),
    /// A tag that names no task of ours.
    #[error("{opcode} names task {tag}, which does not exist (§11.2.1.8)")]
    UnknownTask { opcode: Opcode, tag: InitiatorTaskTag },
    /// A status was lost.
    #[error("StatSN {got} came where {expected} was due (§4.2.2.2)")]
    StatSn { expected: u32, got: u32 },
    /// Data-In for a command that does not read, or that was not sent yet.
    #[error("Data-In for task {tag}, which reads nothing (§11.7)")]
    DataInForNonRead { tag: InitiatorTaskTag },
    /// A Data-In PDU is missing.
    #[error("DataSN {got} came where {expected} was due in task {tag} (§11.7.5)")]
    DataSn {
        tag: InitiatorTaskTag,
        expected: u32,
        got: u32,
    },
    /// Data-In out of order, though DataPDUInOrder and DataSequenceInOrder are Yes.
    #[error("Data-In at offset {got} where {expected} was due in task {tag} (§11.7.6)")]
    DataOffset {
        tag: InitiatorTaskTag,
        expected: u32,
        got: u32,
    },
    /// More Data-In than the command asked for.
    #[error("Data-In of {len} bytes at offset {offset} exceeds the {expected} bytes of task {tag} (§11.7.6)")]
    DataOverrun {
        tag: InitiatorTaskTag,
        offset: u32,
        len: u32,
        expected: u32,
    },
    /// Data-In in more and smaller pieces than any target has a reason to send: each costs memory.
    #[error("more than {max} Data-In PDUs in task {tag}")]
    DataInFlood { tag: InitiatorTaskTag, max: u32 },
    /// An R2T for a command that does not write, or that was not sent yet.
    #[error("R2T for task {tag}, which writes nothing (§11.8)")]
    R2tForNonWrite { tag: InitiatorTaskTag },
    /// An R2T after the status of the command.
    #[error("R2T for task {tag}, which has its status already (§11.8)")]
    R2tAfterResponse { tag: InitiatorTaskTag },
    /// An R2T is missing.
    #[error("R2TSN {got} came where {expected} was due in task {tag} (§11.8.1)")]
    R2tSn {
        tag: InitiatorTaskTag,
        expected: u32,
        got: u32,
    },
    /// An R2T for bytes that the command does not have.
    #[error("R2T for {len} bytes at offset {offset} exceeds the {total} bytes of task {tag} (§11.8.4)")]
    R2tRange {
        tag: InitiatorTaskTag,
        offset: u32,
        len: u32,
        total: u32,
    },
    /// An R2T out of order, though DataSequenceInOrder is Yes.
    #[error("R2T at offset {got} where {expected} was due in task {tag} (§13.19)")]
    R2tOffset {
        tag: InitiatorTaskTag,
        expected: u32,
        got: u32,
    },
    /// An R2T for more than MaxBurstLength, or for nothing.
    #[error("R2T for {len} bytes in task {tag}, where 1 to {max_burst_length} are legal (§11.8.4)")]
    R2tLength {
        tag: InitiatorTaskTag,
        len: u32,
        max_burst_length: u32,
    },
    /// More R2Ts than were negotiated.
    #[error("more than {max} R2Ts of task {tag} are open (§13.17)")]
    R2tCount { tag: InitiatorTaskTag, max: u16 },
    /// More NOP-Ins that want an answer than any target needs.
    #[error("more than {0} NOP-Ins wait for an answer (§11.19)")]
    NopFlood(usize),
    /// An answer of another kind than the request.
    #[error("{opcode} for task {tag}, which is a {is} (§11.2.1.8)")]
    WrongTaskKind {
        opcode: Opcode,
        tag: InitiatorTaskTag,
        is: &'static str,
    },
    /// A text answer without end.
    #[error("a text answer of more than {max_bytes} bytes or {max_pdus} PDUs (§11.11)")]
    TextTooLong { max_bytes: usize, max_pdus: u32 },
    /// A text answer that neither ends nor says how it goes on.
    #[error("a Text Response that is not final bears no Target Transfer Tag (§11.11.4)")]
    TextWithoutTag,
}

/// Why a task has no status. The connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It was aborted before it was sent: it had no effect.
    #[error("aborted before it was sent")]
    NeverSent,
    /// It was aborted; the target has ended it, and it may have had any effect.
    #[error("aborted")]
    Aborted,
    /// Its data were damaged on the way to us; what was received is thrown away.
    #[error("its data are damaged (CRC32C)")]
    DataDigest,
    /// It has a status, but its sense data were damaged on the way: nobody knows what the target reported.
    #[error("its sense data are damaged (CRC32C)")]
    SenseLost,
    /// The target rejected the PDU.
    #[error("rejected: {0}")]
    Rejected(RejectReason),
    /// The target says that it could not deliver the command (service response "target failure").
    #[error("target failure")]
    TargetFailure,
}

/// Why a command cannot be submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// All tags are in use.
    #[error("{0} tasks are under way already")]
    TooManyTasks(usize),
    /// The connection is logging out.
    #[error("the connection is logging out")]
    LoggingOut,
    /// The data do not fit the 32-bit length of a command.
    #[error("{0} bytes are more than one command can carry")]
    TooLong(usize),
}

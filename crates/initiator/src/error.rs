//! Errors of sessions and units. A SCSI status is a value; what stands here is why no status came, or why a
//! status makes what was asked for impossible.

use longshore_scsi::sense::Sense;
use longshore_scsi::status::Status;

use crate::identity::Condition;

/// Why a command has no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The caller's deadline passed. The command may or may not have been carried out.
    #[error("{what} got no answer before the deadline ({session})")]
    Deadline {
        /// What was asked.
        what: String,
        /// What the session was doing.
        session: String,
    },
    /// The connection was lost while the command was under way, and repeating it is not known to be safe.
    #[error("the outcome of {what} is unknown, and it must not be repeated: {reason}")]
    OutcomeUnknown {
        /// What was asked.
        what: String,
        /// Why the status was lost.
        reason: String,
    },
    /// The session is closed.
    #[error("the session is closed: {reason}")]
    Closed {
        /// Who closed it.
        reason: String,
    },
    /// The target refused the PDU itself, again and again (RFC 7143 §11.17).
    #[error("the target rejects {what}: {reason}")]
    Rejected {
        /// What was asked.
        what: String,
        /// The target's reason.
        reason: String,
    },
    /// The data came damaged again and again (CRC32C).
    #[error(
        "data digest errors in {attempts} attempts of {what}; look at the network between here and the target"
    )]
    DataDigest {
        /// What was asked.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The task was ended without a status, again and again.
    #[error("the target ended {what} without a status in {attempts} attempts")]
    Aborted {
        /// What was asked.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The command cannot be expressed.
    #[error("{0}")]
    Invalid(String),
}

/// Why a unit cannot do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The unit is not to be used any more.
    #[error("the unit is fenced: {0}")]
    Fenced(Condition),
    /// The target has no unit at this LUN.
    #[error(
        "the target has no unit at LUN {lun}: {reason}; check the LUN number and the target's access list"
    )]
    NoSuchLun {
        /// The LUN asked for.
        lun: String,
        /// What the target answered.
        reason: String,
    },
    /// It is not a disk.
    #[error("LUN {lun} is not a disk: its peripheral device type is {device_type:#04x}")]
    NotADisk {
        /// The LUN asked for.
        lun: String,
        /// PERIPHERAL DEVICE TYPE of INQUIRY.
        device_type: u8,
    },
    /// The unit's answer breaks its own standard.
    #[error("{what} of LUN {lun} cannot be used: {reason}")]
    Malformed {
        /// The LUN.
        lun: String,
        /// Which answer.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The range is outside the unit or not aligned to its blocks.
    #[error(
        "the range of {len} bytes at {offset} is not within the unit's {size_bytes} bytes in blocks of {block_size_bytes}"
    )]
    Range {
        /// Byte offset.
        offset: u64,
        /// Length in bytes.
        len: u64,
        /// Capacity.
        size_bytes: u64,
        /// Block size.
        block_size_bytes: u32,
    },
    /// The unit refuses writes.
    #[error("the unit is read-only")]
    ReadOnly,
    /// The unit cannot do this at all; nothing was changed.
    #[error("the unit does not support {what}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
    /// Another initiator holds a reservation. Never retried.
    #[error("another initiator holds a reservation on the unit (RESERVATION CONFLICT)")]
    ReservationConflict,
    /// The unit failed the command.
    #[error("{what} failed: {}", describe(*status, sense.as_ref()))]
    Scsi {
        /// What was asked.
        what: String,
        /// Its status.
        status: Status,
        /// Its sense data.
        sense: Option<Sense>,
    },
    /// Fewer bytes than asked for were transferred, with good status.
    #[error("{what} moved {moved} bytes of {asked}")]
    Short {
        /// What was asked.
        what: String,
        /// Bytes asked for.
        asked: u32,
        /// Bytes transferred.
        moved: u32,
    },
    /// Writes that were acknowledged may be lost, and could not be sent again.
    #[error("acknowledged writes may be lost: {reason}")]
    WritesLost {
        /// What happened.
        reason: String,
    },
    /// No status.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// A status and its sense data in words.
pub(crate) fn describe(status: Status, sense: Option<&Sense>) -> String {
    match sense {
        Some(sense) => format!("{status}, {sense}"),
        None => status.to_string(),
    }
}

//! A SCSI command as callers give it to a session, and the answer.

use bytes::Bytes;
use longshore_iscsi::initiator::Segments;
use longshore_scsi::cdb::Cdb;
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::Sense;
use longshore_scsi::status::Status;

/// The data of a command and their direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// No data.
    None,
    /// At most so many bytes from the target.
    In(u32),
    /// These bytes to the target. They are sent from where they are, without a copy.
    Out(Bytes),
}

/// One SCSI command for one logical unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which unit.
    pub lun: Lun,
    /// The command descriptor block.
    pub cdb: Cdb,
    /// Its data.
    pub data: Data,
}

/// The target's answer to a command. Any SCSI status is an answer, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// SAM status.
    pub status: Status,
    /// Sense data, when the target sent any that can be read.
    pub sense: Option<Sense>,
    /// Data-In, as it lies in the receive buffers.
    pub data: Segments,
    /// How many bytes fewer than expected were transferred (RFC 7143 §11.4.5.2).
    pub underflow_bytes: u32,
    /// How many bytes the target had beyond what was expected.
    pub overflow_bytes: u32,
}

//! What a connection remembers of one open command.

use super::event::{Command, Completion};
use super::gather::Gather;
use crate::pdu::TargetTransferTag;
use crate::serial::SerialNumber32;

/// A sequence of Data-Out PDUs that is under way (§11.7).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    /// Reserved for unsolicited data.
    pub(super) transfer_tag: TargetTransferTag,
    /// DataSN of the next PDU.
    pub(super) data_sn: SerialNumber32,
    /// Where the sequence ends at the latest; a solicited one ends exactly there.
    pub(super) end: u32,
}

/// An open command.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) command: Command,
    /// Holds a place in the command window; otherwise it was an immediate command.
    pub(super) windowed: bool,
    /// How much Data-Out the driver wants; `None` until it says so.
    pub(super) wanted: Option<u32>,
    /// How much Data-Out is here, handed over or not.
    pub(super) received: u32,
    /// How much was handed over.
    pub(super) delivered: u32,
    pub(super) gather: Gather,
    pub(super) sequence: Option<Sequence>,
    /// Waits for its turn to send an R2T.
    pub(super) queued: bool,
    pub(super) r2t_sn: SerialNumber32,
    /// DataSN of the next Data-In.
    pub(super) data_sn: SerialNumber32,
    /// How much Data-In was sent.
    pub(super) sent: u32,
    /// How much of the current Data-In sequence was sent.
    pub(super) burst: u32,
    /// The answer, held back until the Data-Out sequence that is under way has ended.
    pub(super) held: Option<Completion>,
    /// Data-Out was lost; the driver knows.
    pub(super) damaged: bool,
}

impl Task {
    pub(super) fn new(command: Command, windowed: bool) -> Self {
        Self {
            command,
            windowed,
            wanted: None,
            received: 0,
            delivered: 0,
            gather: Gather::default(),
            sequence: None,
            queued: false,
            r2t_sn: SerialNumber32(0),
            data_sn: SerialNumber32(0),
            sent: 0,
            burst: 0,
            held: None,
            damaged: false,
        }
    }
}

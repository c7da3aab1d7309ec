//! One SCSI task: what was received and sent of its data, and the checks that RFC 7143 asks for (§11.7, §11.8).

use super::{Completion, ScsiTask, Segments, TaskData, Violation};
use crate::pdu::{InitiatorTaskTag, Residual};
use crate::serial::SerialNumber32;
use bytes::Bytes;

/// What a Data-In PDU brings.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) data_sn: u32,
    pub(super) offset: u32,
    /// The length that the header tells; the data are missing when they were damaged.
    pub(super) len: u32,
    pub(super) data: Option<Bytes>,
}

/// What an R2T asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) r2t_sn: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

/// The least that MaxRecvDataSegmentLength may be (RFC 7143 §13.12): no target has a reason to send less at once.
const SMALLEST_SEGMENT: u32 = 512;
/// So many Data-In PDUs may be shorter: the ends of bursts.
const DATA_IN_SPARE: u32 = 64;

/// A SCSI task under way.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) command: ScsiTask,
    /// Its CmdSN, once it is sent.
    pub(super) cmd_sn: Option<SerialNumber32>,
    /// The task management request that aborts it.
    pub(super) aborted_by: Option<InitiatorTaskTag>,
    /// Data-In so far.
    received: Segments,
    received_len: u32,
    next_data_sn: u32,
    damaged: bool,
    /// Up to here data were asked for by R2T, or sent without having been asked.
    promised: u32,
    /// Data-Out that has left.
    sent: u32,
    next_r2t_sn: u32,
    open_r2ts: u16,
}

impl Task {
    pub(super) fn new(command: ScsiTask) -> Self {
        Task {
            command,
            cmd_sn: None,
            aborted_by: None,
            received: Segments::new(),
            received_len: 0,
            next_data_sn: 0,
            damaged: false,
            promised: 0,
            sent: 0,
            next_r2t_sn: 0,
            open_r2ts: 0,
        }
    }

    /// The bytes of a write; none for other commands.
    pub(super) fn out(&self) -> Bytes {
        match &self.command.data {
            TaskData::Out(bytes) => bytes.clone(),
            TaskData::In(_) | TaskData::None => Bytes::new(),
        }
    }

    /// ExpectedDataTransferLength; [`super::Connection::submit`] has checked that it fits.
    pub(super) fn expected_len(&self) -> u32 {
        u32::try_from(self.command.data.expected_len()).unwrap_or(u32::MAX)
    }

    /// The first burst is decided: so much of it goes without an R2T.
    pub(super) fn promise_unsolicited(&mut self, len: u32) {
        self.promised = len;
    }

    /// So many bytes of Data-Out left; `burst_done` when they were the last of a solicited burst.
    pub(super) fn note_sent(&mut self, len: u32, burst_done: bool) {
        self.sent = self.sent.saturating_add(len);
        if burst_done {
            self.open_r2ts = self.open_r2ts.saturating_sub(1);
        }
    }

    /// Takes Data-In: in order, without gaps, never beyond the expected length.
    pub(super) fn take_data_in(&mut self, tag: InitiatorTaskTag, arrived: Arrived) -> Result<(), Violation> {
        let Arrived {
            data_sn,
            offset,
            len,
            data,
        } = arrived;
        let TaskData::In(expected) = self.command.data else {
            return Err(Violation::DataInForNonRead { tag });
        };
        if self.cmd_sn.is_none() {
            return Err(Violation::DataInForNonRead { tag });
        }
        if data_sn != self.next_data_sn {
            return Err(Violation::DataSn {
                tag,
                expected: self.next_data_sn,
                got: data_sn,
            });
        }
        if offset != self.received_len {
            return Err(Violation::DataOffset {
                tag,
                expected: self.received_len,
                got: offset,
            });
        }
        let max = expected / SMALLEST_SEGMENT + DATA_IN_SPARE;
        if data_sn >= max {
            return Err(Violation::DataInFlood { tag, max });
        }
        let end = offset.checked_add(len).filter(|end| *end <= expected);
        let Some(end) = end else {
            return Err(Violation::DataOverrun {
                tag,
                offset,
                len,
                expected,
            });
        };
        self.next_data_sn = self.next_data_sn.wrapping_add(1);
        self.received_len = end;
        match data {
            Some(data) => self.received.push(data),
            None => self.damaged = true,
        }
        Ok(())
    }

    /// Takes an R2T: in order, within the data, not too many at a time.
    pub(super) fn take_r2t(
        &mut self,
        tag: InitiatorTaskTag,
        wanted: Wanted,
        max_burst_length: u32,
        max_outstanding: u16,
    ) -> Result<(), Violation> {
        let Wanted { r2t_sn, offset, len } = wanted;
        let (TaskData::Out(_), Some(_)) = (&self.command.data, self.cmd_sn) else {
            return Err(Violation::R2tForNonWrite { tag });
        };
        let total = self.expected_len();
        if r2t_sn != self.next_r2t_sn {
            return Err(Violation::R2tSn {
                tag,
                expected: self.next_r2t_sn,
                got: r2t_sn,
            });
        }
        if len == 0 || len > max_burst_length {
            return Err(Violation::R2tLength {
                tag,
                len,
                max_burst_length,
            });
        }
        let Some(end) = offset.checked_add(len).filter(|end| *end <= total) else {
            return Err(Violation::R2tRange {
                tag,
                offset,
                len,
                total,
            });
        };
        if offset != self.promised {
            return Err(Violation::R2tOffset {
                tag,
                expected: self.promised,
                got: offset,
            });
        }
        if self.open_r2ts >= max_outstanding {
            return Err(Violation::R2tCount {
                tag,
                max: max_outstanding,
            });
        }
        self.next_r2t_sn = self.next_r2t_sn.wrapping_add(1);
        self.open_r2ts += 1;
        self.promised = end;
        Ok(())
    }

    /// Whether data of this task came damaged: it must fail, whatever its status says.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The task's answer. What the target counts and what we count may differ; the greater lack counts, so that a
    /// caller never takes missing bytes for transferred ones.
    pub(super) fn complete(self, status: u8, sense: Bytes, residual: Residual) -> Completion {
        let moved = match self.command.data {
            TaskData::None => 0,
            TaskData::In(_) => self.received_len,
            TaskData::Out(_) => self.sent,
        };
        let expected = self.expected_len();
        let lacking = expected.saturating_sub(moved);
        let (underflow, overflow_bytes) = match residual {
            Residual::None => (0, 0),
            Residual::Underflow(count) => (count, 0),
            Residual::Overflow(count) => (0, count),
        };
        let underflow_bytes = underflow.min(expected).max(lacking);
        let mut data = self.received;
        data.truncate((expected - underflow_bytes) as usize);
        Completion {
            status,
            sense,
            data,
            underflow_bytes,
            overflow_bytes,
        }
    }
}

/// Data-Out that is to leave as one sequence of PDUs: the rest of the first burst, or the answer to an R2T.
#[derive(Debug)]
pub(super) struct Burst {
    pub(super) task: InitiatorTaskTag,
    /// The R2T's tag; reserved for unsolicited data.
    pub(super) target_transfer_tag: crate::pdu::TargetTransferTag,
    pub(super) offset: u32,
    pub(super) left: u32,
    pub(super) data_sn: u32,
}

//! Task Management Function Request (RFC 7143 §11.5).

use super::{InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TaskManagementFunction};
use crate::serial::SerialNumber32;
use std::fmt;

/// Asks the target to abort a task or a set of tasks, or to reset something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagementRequest {
    /// The I bit.
    pub immediate: bool,
    /// What is asked for; a code without a meaning is for the target to answer, so it parses.
    pub function: TaskManagementFunction,
    /// The logical unit; means nothing to TARGET WARM RESET and TARGET COLD RESET.
    pub lun: LunField,
    /// The tag of this request.
    pub initiator_task_tag: InitiatorTaskTag,
    /// The task to abort or to reassign, otherwise reserved.
    pub referenced_task_tag: InitiatorTaskTag,
    /// CmdSN.
    pub cmd_sn: SerialNumber32,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
    /// RefCmdSN: the CmdSN of the task to abort.
    pub ref_cmd_sn: SerialNumber32,
    /// ExpDataSN of TASK REASSIGN, otherwise zero.
    pub exp_data_sn: SerialNumber32,
}

impl TaskManagementRequest {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved tag; additional headers; data.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::TaskManagementRequest)?;
        raw.expect_no_ahs()?;
        raw.expect_no_data()?;
        Ok(Self {
            immediate: raw.is_immediate(),
            function: TaskManagementFunction::from_code(raw.flags() & 0x7f),
            lun: raw.lun(),
            initiator_task_tag: raw.expect_task_tag()?,
            referenced_task_tag: InitiatorTaskTag(raw.u32_at(20)),
            cmd_sn: raw.serial_at(24),
            exp_stat_sn: raw.serial_at(28),
            ref_cmd_sn: raw.serial_at(32),
            exp_data_sn: raw.serial_at(36),
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::TaskManagementRequest)
            .with_immediate(self.immediate)
            .with_u8(1, 0x80 | self.function.code())
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.referenced_task_tag.0)
            .with_serial(24, self.cmd_sn)
            .with_serial(28, self.exp_stat_sn)
            .with_serial(32, self.ref_cmd_sn)
            .with_serial(36, self.exp_data_sn)
    }
}

impl fmt::Display for TaskManagementRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Task Management Function Request itt={} {} lun={} rtt={} cmdsn={}{} expstatsn={} refcmdsn={}",
            self.initiator_task_tag,
            self.function,
            self.lun,
            self.referenced_task_tag,
            self.cmd_sn,
            if self.immediate { " immediate" } else { "" },
            self.exp_stat_sn,
            self.ref_cmd_sn,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::Fault;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const ABORT: &str = "42 81 0000  00 000000  0003 0000 0000 0000  00000050  0000002a
                         00000007 00000008  00000005 00000000  00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = TaskManagementRequest {
            immediate: true,
            function: TaskManagementFunction::AbortTask,
            lun: LunField([0, 3, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag: InitiatorTaskTag(0x50),
            referenced_task_tag: InitiatorTaskTag(0x2a),
            cmd_sn: SerialNumber32(7),
            exp_stat_sn: SerialNumber32(8),
            ref_cmd_sn: SerialNumber32(5),
            exp_data_sn: SerialNumber32(0),
        };
        assert_eq!(
            pdu.to_string(),
            "Task Management Function Request itt=0x50 ABORT TASK lun=0x0003000000000000 rtt=0x2a \
             cmdsn=7 immediate expstatsn=8 refcmdsn=5"
        );
        assert_both_ways(pdu, raw(ABORT, b""));
    }

    #[test]
    fn an_unknown_function_is_for_the_target_to_answer() {
        let mut unknown = raw(ABORT, b"");
        unknown.bhs[1] = 0x80 | 0x55;
        let parsed = TaskManagementRequest::parse(unknown).unwrap();
        assert_eq!(parsed.function, TaskManagementFunction::Other(0x55));
    }

    #[test]
    fn it_has_a_tag_and_no_data() {
        assert_eq!(refusal(raw(ABORT, b"x")).field, "DataSegmentLength");
        let mut untagged = raw(ABORT, b"");
        untagged.bhs[16..20].fill(0xff);
        let error = refusal(untagged);
        assert_eq!(
            (error.fault, error.field),
            (Fault::PeerMisbehaved, "Initiator Task Tag")
        );
    }
}

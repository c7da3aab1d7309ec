//! Task Management Function Response (RFC 7143 §11.6).

use super::{InitiatorTaskTag, Opcode, PduError, RawPdu, TaskManagementResponseCode};
use crate::serial::SerialNumber32;
use std::fmt;

/// The answer to a task management request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagementResponse {
    /// What came of it.
    pub response: TaskManagementResponseCode,
    /// The tag of the request.
    pub initiator_task_tag: InitiatorTaskTag,
    /// StatSN.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
}

impl TaskManagementResponse {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved tag; additional headers; data.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::TaskManagementResponse)?;
        raw.expect_no_ahs()?;
        raw.expect_no_data()?;
        Ok(Self {
            response: TaskManagementResponseCode::from_code(raw.bhs[2]),
            initiator_task_tag: raw.expect_task_tag()?,
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::TaskManagementResponse)
            .with_u8(1, 0x80)
            .with_u8(2, self.response.code())
            .with_u32(16, self.initiator_task_tag.0)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
    }
}

impl fmt::Display for TaskManagementResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Task Management Function Response itt={} {} statsn={} expcmdsn={} maxcmdsn={}",
            self.initiator_task_tag, self.response, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const GONE: &str = "22 80 01 00  00 000000  0000000000000000  00000050  00000000
                        00000001 00000002 00000003  00000000 00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = TaskManagementResponse {
            response: TaskManagementResponseCode::TaskDoesNotExist,
            initiator_task_tag: InitiatorTaskTag(0x50),
            stat_sn: SerialNumber32(1),
            exp_cmd_sn: SerialNumber32(2),
            max_cmd_sn: SerialNumber32(3),
        };
        assert_eq!(
            pdu.to_string(),
            "Task Management Function Response itt=0x50 task does not exist statsn=1 expcmdsn=2 maxcmdsn=3"
        );
        assert_both_ways(pdu, raw(GONE, b""));
    }

    #[test]
    fn it_has_no_data() {
        assert_eq!(refusal(raw(GONE, b"x")).field, "DataSegmentLength");
    }
}

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

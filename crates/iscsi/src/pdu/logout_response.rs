//! Logout Response (RFC 7143 §11.15).

use super::{InitiatorTaskTag, LogoutResponseCode, Opcode, PduError, RawPdu};
use crate::serial::SerialNumber32;
use std::fmt;

/// The target's answer to a logout; after it the target closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutResponse {
    /// What came of it.
    pub response: LogoutResponseCode,
    /// The tag of the request.
    pub initiator_task_tag: InitiatorTaskTag,
    /// StatSN.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// Time2Wait: least time before a reconnect, in seconds.
    pub time2wait_s: u16,
    /// Time2Retain: longest time for which the tasks are kept, in seconds; 0 means not at all.
    pub time2retain_s: u16,
}

impl LogoutResponse {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved tag; additional headers; data.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::LogoutResponse)?;
        raw.expect_no_ahs()?;
        raw.expect_no_data()?;
        Ok(Self {
            response: LogoutResponseCode::from_code(raw.bhs[2]),
            initiator_task_tag: raw.expect_task_tag()?,
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            time2wait_s: raw.u16_at(40),
            time2retain_s: raw.u16_at(42),
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::LogoutResponse)
            .with_u8(1, 0x80)
            .with_u8(2, self.response.code())
            .with_u32(16, self.initiator_task_tag.0)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_u16(40, self.time2wait_s)
            .with_u16(42, self.time2retain_s)
    }
}

impl fmt::Display for LogoutResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Logout Response itt={} {} statsn={} expcmdsn={} maxcmdsn={} time2wait={}s time2retain={}s",
            self.initiator_task_tag,
            self.response,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.time2wait_s,
            self.time2retain_s,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const CLOSED: &str = "26 80 00 00  00 000000  0000000000000000  00000060  00000000
                          00000001 00000002 00000003  00000000 0002 0014 00000000";

    #[test]
    fn bytes() {
        let pdu = LogoutResponse {
            response: LogoutResponseCode::Success,
            initiator_task_tag: InitiatorTaskTag(0x60),
            stat_sn: SerialNumber32(1),
            exp_cmd_sn: SerialNumber32(2),
            max_cmd_sn: SerialNumber32(3),
            time2wait_s: 2,
            time2retain_s: 20,
        };
        assert_eq!(
            pdu.to_string(),
            "Logout Response itt=0x60 closed successfully statsn=1 expcmdsn=2 maxcmdsn=3 time2wait=2s time2retain=20s"
        );
        assert_both_ways(pdu, raw(CLOSED, b""));
    }

    #[test]
    fn it_has_no_data() {
        assert_eq!(refusal(raw(CLOSED, b"x")).field, "DataSegmentLength");
    }
}

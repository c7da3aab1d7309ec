//! Logout Request (RFC 7143 §11.14).

use super::{Cid, Fault, InitiatorTaskTag, LogoutReason, Opcode, PduError, RawPdu};
use crate::serial::SerialNumber32;
use std::fmt;

/// The initiator ends a connection or its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRequest {
    /// The I bit.
    pub immediate: bool,
    /// What is to end.
    pub reason: LogoutReason,
    /// The tag of this request.
    pub initiator_task_tag: InitiatorTaskTag,
    /// The connection that is to end; means nothing when the session is closed.
    pub cid: Cid,
    /// CmdSN.
    pub cmd_sn: SerialNumber32,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
}

impl LogoutRequest {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reason that the RFC does not define; a reserved tag; additional headers; data.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::LogoutRequest)?;
        raw.expect_no_ahs()?;
        raw.expect_no_data()?;
        let reason = LogoutReason::from_code(raw.flags() & 0x7f);
        if !reason.is_defined() {
            return Err(raw.refuse(
                Fault::InvalidMessage,
                "Reason Code",
                u32::from(reason.code()),
                "this value is reserved",
            ));
        }
        Ok(Self {
            immediate: raw.is_immediate(),
            reason,
            initiator_task_tag: raw.expect_task_tag()?,
            cid: Cid(raw.u16_at(20)),
            cmd_sn: raw.serial_at(24),
            exp_stat_sn: raw.serial_at(28),
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::LogoutRequest)
            .with_immediate(self.immediate)
            .with_u8(1, 0x80 | self.reason.code())
            .with_u32(16, self.initiator_task_tag.0)
            .with_u16(20, self.cid.0)
            .with_serial(24, self.cmd_sn)
            .with_serial(28, self.exp_stat_sn)
    }
}

impl fmt::Display for LogoutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Logout Request itt={} {} cid={} cmdsn={}{} expstatsn={}",
            self.initiator_task_tag,
            self.reason,
            self.cid,
            self.cmd_sn,
            if self.immediate { " immediate" } else { "" },
            self.exp_stat_sn,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const CLOSE: &str = "46 81 0000  00 000000  0000000000000000  00000060  0002 0000
                         00000007 00000008  00000000 00000000  00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = LogoutRequest {
            immediate: true,
            reason: LogoutReason::CloseConnection,
            initiator_task_tag: InitiatorTaskTag(0x60),
            cid: Cid(2),
            cmd_sn: SerialNumber32(7),
            exp_stat_sn: SerialNumber32(8),
        };
        assert_eq!(
            pdu.to_string(),
            "Logout Request itt=0x60 close the connection cid=2 cmdsn=7 immediate expstatsn=8"
        );
        assert_both_ways(pdu, raw(CLOSE, b""));
    }

    #[test]
    fn an_unknown_reason_is_refused() {
        let mut bad = raw(CLOSE, b"");
        bad.bhs[1] = 0x83;
        let error = refusal(bad);
        assert_eq!(
            (error.fault, error.field, error.value),
            (Fault::InvalidMessage, "Reason Code", 3)
        );
    }
}

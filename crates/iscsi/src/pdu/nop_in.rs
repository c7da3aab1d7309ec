//! NOP-In (RFC 7143 §11.19).

use super::{InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// A target's answer to a ping, its own ping, or a bare update of the command window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NopIn {
    /// Any logical unit when the Target Transfer Tag is valid; the answer copies it. Otherwise zero.
    pub lun: LunField,
    /// The tag of the NOP-Out that is answered, otherwise reserved.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Valid when the target wants an answer, otherwise reserved.
    pub target_transfer_tag: TargetTransferTag,
    /// StatSN; the next number, but not used up, when the Initiator Task Tag is reserved.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// The ping data of the NOP-Out, repeated.
    pub data: Bytes,
}

impl NopIn {
    /// Reads the PDU.
    ///
    /// # Errors
    /// Additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::NopIn)?;
        raw.expect_no_ahs()?;
        Ok(Self {
            lun: raw.lun(),
            initiator_task_tag: raw.initiator_task_tag(),
            target_transfer_tag: raw.target_transfer_tag(),
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::NopIn)
            .with_u8(1, 0x80)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_data(self.data)
    }
}

impl fmt::Display for NopIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NOP-In itt={} ttt={} statsn={} expcmdsn={} maxcmdsn={} data={}",
            self.initiator_task_tag,
            self.target_transfer_tag,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.data.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, raw_with_ahs, refusal};

    const PING: &str = "20 80 0000  00 000000  0002 0000 0000 0000  ffffffff  0000abcd
                        00000011 00000022 00000033  00000000 00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = NopIn {
            lun: LunField([0, 2, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag: InitiatorTaskTag::RESERVED,
            target_transfer_tag: TargetTransferTag(0xabcd),
            stat_sn: SerialNumber32(0x11),
            exp_cmd_sn: SerialNumber32(0x22),
            max_cmd_sn: SerialNumber32(0x33),
            data: Bytes::new(),
        };
        assert_eq!(
            pdu.to_string(),
            "NOP-In itt=none ttt=0xabcd statsn=17 expcmdsn=34 maxcmdsn=51 data=0"
        );
        assert_both_ways(pdu, raw(PING, b""));
    }

    #[test]
    fn additional_headers_are_refused() {
        let mut with_ahs = raw_with_ahs(PING, "0005 02 00 00000001", b"");
        with_ahs.bhs[4] = 2;
        let error = refusal(with_ahs);
        assert_eq!(
            (error.fault, error.field, error.value),
            (crate::pdu::Fault::PeerMisbehaved, "TotalAHSLength", 2)
        );
    }
}

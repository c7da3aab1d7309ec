//! Text Response (RFC 7143 §11.11).

use super::text_request::final_and_continue;
use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// The target's answer to a text request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextResponse {
    /// The F bit: the exchange is over.
    pub final_bit: bool,
    /// The C bit: the text goes on in the next response.
    pub continue_bit: bool,
    /// Repeated by the initiator when the exchange goes on.
    pub lun: LunField,
    /// The tag of the exchange.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Valid while the exchange goes on, reserved in a final response.
    pub target_transfer_tag: TargetTransferTag,
    /// StatSN.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// key=value pairs.
    pub data: Bytes,
}

impl TextResponse {
    /// Reads the PDU.
    ///
    /// # Errors
    /// F together with C; an exchange that goes on without a Target Transfer Tag; a reserved task tag; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::TextResponse)?;
        raw.expect_no_ahs()?;
        let (final_bit, continue_bit) = final_and_continue(&raw)?;
        let target_transfer_tag = raw.target_transfer_tag();
        if !final_bit && target_transfer_tag.is_reserved() {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "Target Transfer Tag",
                target_transfer_tag.0,
                "an exchange that goes on needs a tag to go on with",
            ));
        }
        Ok(Self {
            final_bit,
            continue_bit,
            lun: raw.lun(),
            initiator_task_tag: raw.expect_task_tag()?,
            target_transfer_tag,
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        let flags = u8::from(self.final_bit) << 7 | u8::from(self.continue_bit) << 6;
        RawPdu::new(Opcode::TextResponse)
            .with_u8(1, flags)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_data(self.data)
    }
}

impl fmt::Display for TextResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Text Response itt={} ttt={}{}{} statsn={} expcmdsn={} maxcmdsn={} data={}",
            self.initiator_task_tag,
            self.target_transfer_tag,
            if self.final_bit { " F" } else { "" },
            if self.continue_bit { " C" } else { "" },
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
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const PART: &str = "24 40 0000  00 000003  0000000000000000  00000003  00000042
                        00000001 00000002 00000003  00000000 00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = TextResponse {
            final_bit: false,
            continue_bit: true,
            lun: LunField::default(),
            initiator_task_tag: InitiatorTaskTag(3),
            target_transfer_tag: TargetTransferTag(0x42),
            stat_sn: SerialNumber32(1),
            exp_cmd_sn: SerialNumber32(2),
            max_cmd_sn: SerialNumber32(3),
            data: Bytes::from_static(b"Tar"),
        };
        assert_eq!(
            pdu.to_string(),
            "Text Response itt=0x3 ttt=0x42 C statsn=1 expcmdsn=2 maxcmdsn=3 data=3"
        );
        assert_both_ways(pdu, raw(PART, b"Tar"));
    }

    #[test]
    fn illegal_combinations() {
        let mut both = raw(PART, b"Tar");
        both.bhs[1] = 0xc0;
        assert_eq!(refusal(both).field, "F and C");
        let mut endless = raw(PART, b"Tar");
        endless.bhs[20..24].fill(0xff);
        let error = refusal(endless);
        assert_eq!(
            (error.fault, error.field),
            (Fault::PeerMisbehaved, "Target Transfer Tag")
        );
    }
}

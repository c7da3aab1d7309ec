//! Text Request (RFC 7143 §11.10).

use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// One step of a text negotiation in the full feature phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRequest {
    /// The I bit.
    pub immediate: bool,
    /// The F bit: the initiator has nothing more to say.
    pub final_bit: bool,
    /// The C bit: the text goes on in the next request.
    pub continue_bit: bool,
    /// Copied from the response that is answered, otherwise zero.
    pub lun: LunField,
    /// The tag of the exchange.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Copied from the response that is answered; reserved in the first request.
    pub target_transfer_tag: TargetTransferTag,
    /// CmdSN.
    pub cmd_sn: SerialNumber32,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
    /// key=value pairs.
    pub data: Bytes,
}

impl TextRequest {
    /// Reads the PDU.
    ///
    /// # Errors
    /// F together with C; a reserved task tag; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::TextRequest)?;
        raw.expect_no_ahs()?;
        let (final_bit, continue_bit) = final_and_continue(&raw)?;
        Ok(Self {
            immediate: raw.is_immediate(),
            final_bit,
            continue_bit,
            lun: raw.lun(),
            initiator_task_tag: raw.expect_task_tag()?,
            target_transfer_tag: raw.target_transfer_tag(),
            cmd_sn: raw.serial_at(24),
            exp_stat_sn: raw.serial_at(28),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        let flags = u8::from(self.final_bit) << 7 | u8::from(self.continue_bit) << 6;
        RawPdu::new(Opcode::TextRequest)
            .with_immediate(self.immediate)
            .with_u8(1, flags)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(24, self.cmd_sn)
            .with_serial(28, self.exp_stat_sn)
            .with_data(self.data)
    }
}

/// The F and C bits of text requests and responses, which exclude each other (§11.10.2).
pub(super) fn final_and_continue(raw: &RawPdu) -> Result<(bool, bool), PduError> {
    let (final_bit, continue_bit) = (raw.flag(0x80), raw.flag(0x40));
    if final_bit && continue_bit {
        return Err(raw.refuse(
            Fault::PeerMisbehaved,
            "F and C",
            u32::from(raw.flags()),
            "a text that goes on is not final",
        ));
    }
    Ok((final_bit, continue_bit))
}

impl fmt::Display for TextRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Text Request itt={} ttt={}{}{} cmdsn={}{} expstatsn={} data={}",
            self.initiator_task_tag,
            self.target_transfer_tag,
            if self.final_bit { " F" } else { "" },
            if self.continue_bit { " C" } else { "" },
            self.cmd_sn,
            if self.immediate { " immediate" } else { "" },
            self.exp_stat_sn,
            self.data.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const FIRST: &str = "04 80 0000  00 000010  0000000000000000  00000003  ffffffff
                         00000004 00000005 00000000  00000000 00000000 00000000";
    const TEXT: &[u8] = b"SendTargets=All\0";

    #[test]
    fn bytes() {
        let pdu = TextRequest {
            immediate: false,
            final_bit: true,
            continue_bit: false,
            lun: LunField::default(),
            initiator_task_tag: InitiatorTaskTag(3),
            target_transfer_tag: TargetTransferTag::RESERVED,
            cmd_sn: SerialNumber32(4),
            exp_stat_sn: SerialNumber32(5),
            data: Bytes::from_static(TEXT),
        };
        assert_eq!(
            pdu.to_string(),
            "Text Request itt=0x3 ttt=none F cmdsn=4 expstatsn=5 data=16"
        );
        assert_both_ways(pdu, raw(FIRST, TEXT));
    }

    #[test]
    fn final_and_continued_exclude_each_other() {
        let mut bad = raw(FIRST, TEXT);
        bad.bhs[1] = 0xc0;
        let error = refusal(bad);
        assert_eq!((error.fault, error.field), (Fault::PeerMisbehaved, "F and C"));
    }
}

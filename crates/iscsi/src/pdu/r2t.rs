//! Ready To Transfer, R2T (RFC 7143 §11.8).

use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TargetTransferTag};
use crate::serial::SerialNumber32;
use std::fmt;

/// The target asks for a piece of a command's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct R2t {
    /// The logical unit, which the Data-Out PDUs repeat.
    pub lun: LunField,
    /// The task's tag.
    pub initiator_task_tag: InitiatorTaskTag,
    /// The tag that the Data-Out PDUs repeat.
    pub target_transfer_tag: TargetTransferTag,
    /// StatSN: the next number, not used up.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// R2TSN, from 0 in each command.
    pub r2t_sn: SerialNumber32,
    /// Where in the command's data the piece starts, in bytes; offset + length does not overflow.
    pub buffer_offset: u32,
    /// Length of the piece in bytes, not zero.
    pub desired_data_transfer_length: u32,
}

impl R2t {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved tag; an empty piece; a piece whose end does not fit into 32 bits; additional headers; data.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::R2t)?;
        raw.expect_no_ahs()?;
        raw.expect_no_data()?;
        let target_transfer_tag = raw.target_transfer_tag();
        if target_transfer_tag.is_reserved() {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "Target Transfer Tag",
                target_transfer_tag.0,
                "an R2T without a tag cannot be answered",
            ));
        }
        let (buffer_offset, length) = (raw.u32_at(40), raw.u32_at(44));
        if length == 0 {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "Desired Data Transfer Length",
                0,
                "an R2T asks for at least one byte",
            ));
        }
        if buffer_offset.checked_add(length).is_none() {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "Buffer Offset",
                buffer_offset,
                "the piece ends beyond the longest possible transfer",
            ));
        }
        Ok(Self {
            lun: raw.lun(),
            initiator_task_tag: raw.expect_task_tag()?,
            target_transfer_tag,
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            r2t_sn: raw.serial_at(36),
            buffer_offset,
            desired_data_transfer_length: length,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::R2t)
            .with_u8(1, 0x80)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_serial(36, self.r2t_sn)
            .with_u32(40, self.buffer_offset)
            .with_u32(44, self.desired_data_transfer_length)
    }
}

impl fmt::Display for R2t {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "R2T itt={} ttt={} r2tsn={} offset={} length={} statsn={} expcmdsn={} maxcmdsn={}",
            self.initiator_task_tag,
            self.target_transfer_tag,
            self.r2t_sn,
            self.buffer_offset,
            self.desired_data_transfer_length,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const ASK: &str = "31 80 0000  00 000000  0001 0000 0000 0000  0000002a  00000099
                       00000010 00000020 00000030  00000001 00010000 00020000";

    #[test]
    fn bytes() {
        let pdu = R2t {
            lun: LunField([0, 1, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag: InitiatorTaskTag(0x2a),
            target_transfer_tag: TargetTransferTag(0x99),
            stat_sn: SerialNumber32(0x10),
            exp_cmd_sn: SerialNumber32(0x20),
            max_cmd_sn: SerialNumber32(0x30),
            r2t_sn: SerialNumber32(1),
            buffer_offset: 0x1_0000,
            desired_data_transfer_length: 0x2_0000,
        };
        assert_eq!(
            pdu.to_string(),
            "R2T itt=0x2a ttt=0x99 r2tsn=1 offset=65536 length=131072 statsn=16 expcmdsn=32 maxcmdsn=48"
        );
        assert_both_ways(pdu, raw(ASK, b""));
    }

    #[test]
    fn illegal_combinations() {
        let cases: [(usize, [u8; 4], &str); 4] = [
            (16, [0xff; 4], "Initiator Task Tag"),
            (20, [0xff; 4], "Target Transfer Tag"),
            (44, [0; 4], "Desired Data Transfer Length"),
            (40, [0xff, 0xfe, 0, 1], "Buffer Offset"),
        ];
        for (at, bytes, field) in cases {
            let mut bad = raw(ASK, b"");
            bad.bhs[at..at + 4].copy_from_slice(&bytes);
            let error = refusal(bad);
            assert_eq!((error.fault, error.field), (Fault::PeerMisbehaved, field));
        }
        assert_eq!(refusal(raw(ASK, b"x")).field, "DataSegmentLength");
    }

    #[test]
    fn a_piece_may_end_exactly_at_the_longest_transfer() {
        let mut edge = raw(ASK, b"");
        edge.bhs[40..44].copy_from_slice(&0xfffd_ffff_u32.to_be_bytes());
        assert!(R2t::parse(edge).is_ok());
    }
}

//! NOP-Out (RFC 7143 §11.18).

use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// An initiator's ping, or its answer to a target's ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NopOut {
    /// The I bit; must be set when the Initiator Task Tag is reserved.
    pub immediate: bool,
    /// Copied from the NOP-In that is answered, otherwise zero.
    pub lun: LunField,
    /// Reserved when no answer is wanted.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Copied from the NOP-In that is answered, otherwise reserved.
    pub target_transfer_tag: TargetTransferTag,
    /// CmdSN.
    pub cmd_sn: SerialNumber32,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
    /// Ping data, which the answer repeats.
    pub data: Bytes,
}

impl NopOut {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A NOP-Out without a task tag that is not immediate; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::NopOut)?;
        raw.expect_no_ahs()?;
        let initiator_task_tag = raw.initiator_task_tag();
        if initiator_task_tag.is_reserved() && !raw.is_immediate() {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "I",
                0,
                "a NOP-Out without an Initiator Task Tag must be immediate",
            ));
        }
        Ok(Self {
            immediate: raw.is_immediate(),
            lun: raw.lun(),
            initiator_task_tag,
            target_transfer_tag: raw.target_transfer_tag(),
            cmd_sn: raw.serial_at(24),
            exp_stat_sn: raw.serial_at(28),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::NopOut)
            .with_immediate(self.immediate)
            .with_u8(1, 0x80)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(24, self.cmd_sn)
            .with_serial(28, self.exp_stat_sn)
            .with_data(self.data)
    }
}

impl fmt::Display for NopOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NOP-Out itt={} ttt={} cmdsn={}{} expstatsn={} data={}",
            self.initiator_task_tag,
            self.target_transfer_tag,
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

    /// An immediate answer to a target's ping.
    const ANSWER: &str = "40 80 0000  00 000004  0001 0000 0000 0000  ffffffff  00000007
                          00000102 00000304 00000000  00000000 00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = NopOut {
            immediate: true,
            lun: LunField([0, 1, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag: InitiatorTaskTag::RESERVED,
            target_transfer_tag: TargetTransferTag(7),
            cmd_sn: SerialNumber32(0x102),
            exp_stat_sn: SerialNumber32(0x304),
            data: Bytes::from_static(b"ping"),
        };
        assert_eq!(
            pdu.to_string(),
            "NOP-Out itt=none ttt=0x7 cmdsn=258 immediate expstatsn=772 data=4"
        );
        assert_both_ways(pdu, raw(ANSWER, b"ping"));
    }

    #[test]
    fn without_a_task_tag_it_must_be_immediate() {
        let mut queued = raw(ANSWER, b"ping");
        queued.bhs[0] = 0x00;
        let error = refusal(queued);
        assert_eq!(
            (error.fault, error.field, error.section),
            (Fault::PeerMisbehaved, "I", "11.18")
        );
    }

    #[test]
    fn reserved_bits_are_not_looked_at() {
        let mut noisy = raw(ANSWER, b"ping");
        noisy.bhs[0] |= 0x80;
        noisy.bhs[1] = 0xff;
        noisy.bhs[2..4].fill(0xff);
        noisy.bhs[32..].fill(0xff);
        assert_eq!(NopOut::parse(noisy), NopOut::parse(raw(ANSWER, b"ping")));
    }
}

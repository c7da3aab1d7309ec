//! SCSI Data-Out (RFC 7143 §11.7).

use super::{InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// Data towards the target, unsolicited or as the answer to an R2T.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOut {
    /// The F bit: the last PDU of the sequence.
    pub final_bit: bool,
    /// Copied from the R2T; of unsolicited data, the command's.
    pub lun: LunField,
    /// The task's tag.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Copied from the R2T; reserved when the data is unsolicited.
    pub target_transfer_tag: TargetTransferTag,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
    /// DataSN, from 0 in each sequence.
    pub data_sn: SerialNumber32,
    /// Where in the command's data these bytes start, in bytes.
    pub buffer_offset: u32,
    /// The data.
    pub data: Bytes,
}

impl DataOut {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved task tag; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::DataOut)?;
        raw.expect_no_ahs()?;
        Ok(Self {
            final_bit: raw.flag(0x80),
            lun: raw.lun(),
            initiator_task_tag: raw.expect_task_tag()?,
            target_transfer_tag: raw.target_transfer_tag(),
            exp_stat_sn: raw.serial_at(28),
            data_sn: raw.serial_at(36),
            buffer_offset: raw.u32_at(40),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::DataOut)
            .with_u8(1, u8::from(self.final_bit) << 7)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(28, self.exp_stat_sn)
            .with_serial(36, self.data_sn)
            .with_u32(40, self.buffer_offset)
            .with_data(self.data)
    }
}

impl fmt::Display for DataOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCSI Data-Out itt={} ttt={} datasn={} offset={} data={}{} expstatsn={}",
            self.initiator_task_tag,
            self.target_transfer_tag,
            self.data_sn,
            self.buffer_offset,
            self.data.len(),
            if self.final_bit { " F" } else { "" },
            self.exp_stat_sn,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const LAST: &str = "05 80 0000  00 000005  0001 0000 0000 0000  0000002a  00000099
                        00000000 00000009 00000000  00000003 00001000 00000000";

    #[test]
    fn bytes() {
        let pdu = DataOut {
            final_bit: true,
            lun: LunField([0, 1, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag: InitiatorTaskTag(0x2a),
            target_transfer_tag: TargetTransferTag(0x99),
            exp_stat_sn: SerialNumber32(9),
            data_sn: SerialNumber32(3),
            buffer_offset: 0x1000,
            data: Bytes::from_static(b"hello"),
        };
        assert_eq!(
            pdu.to_string(),
            "SCSI Data-Out itt=0x2a ttt=0x99 datasn=3 offset=4096 data=5 F expstatsn=9"
        );
        assert_both_ways(pdu, raw(LAST, b"hello"));
    }

    #[test]
    fn it_belongs_to_a_task() {
        let mut untagged = raw(LAST, b"hello");
        untagged.bhs[16..20].fill(0xff);
        assert_eq!(refusal(untagged).field, "Initiator Task Tag");
    }
}

//! SCSI Data-In (RFC 7143 §11.7).

use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, Residual, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// Data towards the initiator, at the end possibly with the command's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataIn {
    /// The F bit: the last PDU of a sequence.
    pub final_bit: bool,
    /// The A bit: the target wants a DataACK SNACK (error recovery level 1 and 2 only).
    pub acknowledge: bool,
    /// The S bit and what comes with it.
    pub status: Option<DataInStatus>,
    /// The logical unit when `acknowledge` is set, otherwise zero.
    pub lun: LunField,
    /// The task's tag.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Valid when `acknowledge` is set, otherwise reserved.
    pub target_transfer_tag: TargetTransferTag,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// DataSN, from 0 in each command.
    pub data_sn: SerialNumber32,
    /// Where in the command's data these bytes start, in bytes.
    pub buffer_offset: u32,
    /// The data.
    pub data: Bytes,
}

/// The status that a last Data-In carries in place of a SCSI Response (the S bit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataInStatus {
    /// The SAM status code.
    pub status: u8,
    /// StatSN, which has a meaning only together with a status.
    pub stat_sn: SerialNumber32,
    /// The residual of the transfer.
    pub residual: Residual,
}

impl DataIn {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved task tag; a status in a PDU that is not the last; both residual bits; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::DataIn)?;
        raw.expect_no_ahs()?;
        let final_bit = raw.flag(0x80);
        Ok(Self {
            final_bit,
            acknowledge: raw.flag(0x40),
            status: if raw.flag(0x01) {
                Some(DataInStatus::parse(&raw)?)
            } else {
                None
            },
            lun: raw.lun(),
            initiator_task_tag: raw.expect_task_tag()?,
            target_transfer_tag: raw.target_transfer_tag(),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            data_sn: raw.serial_at(36),
            buffer_offset: raw.u32_at(40),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        let flags = u8::from(self.final_bit) << 7 | u8::from(self.acknowledge) << 6;
        let raw = RawPdu::new(Opcode::DataIn)
            .with_u8(1, flags)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.target_transfer_tag.0)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_serial(36, self.data_sn)
            .with_u32(40, self.buffer_offset)
            .with_data(self.data);
        let Some(status) = self.status else {
            return raw;
        };
        let (bits, count) = status.residual.to_wire(0x04, 0x02);
        raw.with_u8(1, flags | bits | 0x01)
            .with_u8(3, status.status)
            .with_serial(24, status.stat_sn)
            .with_u32(44, count)
    }
}

impl DataInStatus {
    fn parse(raw: &RawPdu) -> Result<Self, PduError> {
        if !raw.flag(0x80) {
            return Err(raw.refuse(
                Fault::PeerMisbehaved,
                "F",
                0,
                "a Data-In with status is the last of its command",
            ));
        }
        let residual = Residual::from_wire(raw.flag(0x04), raw.flag(0x02), raw.u32_at(44));
        let residual = residual.ok_or_else(|| {
            let flags = u32::from(raw.flags());
            raw.refuse(
                Fault::PeerMisbehaved,
                "O and U",
                flags,
                "overflow and underflow exclude each other",
            )
        })?;
        Ok(Self {
            status: raw.bhs[3],
            stat_sn: raw.serial_at(24),
            residual,
        })
    }
}

impl fmt::Display for DataIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCSI Data-In itt={} datasn={} offset={} data={}{} expcmdsn={} maxcmdsn={}",
            self.initiator_task_tag,
            self.data_sn,
            self.buffer_offset,
            self.data.len(),
            if self.final_bit { " F" } else { "" },
            self.exp_cmd_sn,
            self.max_cmd_sn,
        )?;
        match self.status {
            None => Ok(()),
            Some(s) => write!(
                f,
                " status={:#04x} residual={} statsn={}",
                s.status, s.residual, s.stat_sn
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    /// The last data of a read, with good status and an underflow of 16 bytes.
    const LAST: &str = "25 83 00 00  00 000004  0000000000000000  0000002a  ffffffff
                        00000010 00000020 00000030  00000001 00000200 00000010";
    /// Data in the middle: no status, no StatSN.
    const MIDDLE: &str = "25 00 00 00  00 000004  0000000000000000  0000002a  ffffffff
                          00000000 00000020 00000030  00000000 00000000 00000000";

    fn last() -> DataIn {
        let residual = Residual::Underflow(16);
        DataIn {
            final_bit: true,
            acknowledge: false,
            status: Some(DataInStatus {
                status: 0,
                stat_sn: SerialNumber32(0x10),
                residual,
            }),
            lun: LunField::default(),
            initiator_task_tag: InitiatorTaskTag(0x2a),
            target_transfer_tag: TargetTransferTag::RESERVED,
            exp_cmd_sn: SerialNumber32(0x20),
            max_cmd_sn: SerialNumber32(0x30),
            data_sn: SerialNumber32(1),
            buffer_offset: 0x200,
            data: Bytes::from_static(b"data"),
        }
    }

    #[test]
    fn bytes_with_status() {
        assert_eq!(
            last().to_string(),
            "SCSI Data-In itt=0x2a datasn=1 offset=512 data=4 F expcmdsn=32 maxcmdsn=48 \
             status=0x00 residual=underflow 16 statsn=16"
        );
        assert_both_ways(last(), raw(LAST, b"data"));
    }

    #[test]
    fn bytes_without_status() {
        let middle = DataIn {
            final_bit: false,
            status: None,
            data_sn: SerialNumber32(0),
            buffer_offset: 0,
            ..last()
        };
        assert_both_ways(middle, raw(MIDDLE, b"data"));
    }

    #[test]
    fn bytes_of_a_wish_for_an_acknowledgement() {
        let header = "25 c0 00 00  00 000004  0004 000000000000  0000002a  00000077
                      00000000 00000020 00000030  00000001 00000200 00000000";
        let wish = DataIn {
            acknowledge: true,
            status: None,
            lun: LunField([0, 4, 0, 0, 0, 0, 0, 0]),
            target_transfer_tag: TargetTransferTag(0x77),
            ..last()
        };
        assert_both_ways(wish, raw(header, b"data"));
    }

    #[test]
    fn illegal_combinations() {
        for (flags, field) in [(0x01, "F"), (0x87, "O and U")] {
            let mut bad = raw(LAST, b"data");
            bad.bhs[1] = flags;
            let error = refusal(bad);
            assert_eq!((error.fault, error.field), (Fault::PeerMisbehaved, field));
        }
    }

    #[test]
    fn without_status_its_fields_mean_nothing() {
        let mut noisy = raw(MIDDLE, b"data");
        noisy.bhs[1] |= 0x06;
        noisy.bhs[3] = 2;
        noisy.bhs[24..28].fill(0xee);
        noisy.bhs[44..].fill(0xee);
        assert_eq!(DataIn::parse(noisy).unwrap().status, None);
    }
}

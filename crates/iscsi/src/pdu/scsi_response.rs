//! SCSI Response (RFC 7143 §11.4).

use super::{Fault, InitiatorTaskTag, Opcode, PduError, RawPdu, Residual, ServiceResponse, sense_data};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// The end of a SCSI command: its status, residuals and sense data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiResponse {
    /// Whether the command was carried out at all; only then `status` means something.
    pub response: ServiceResponse,
    /// The SAM status code.
    pub status: u8,
    /// The task's tag.
    pub initiator_task_tag: InitiatorTaskTag,
    /// SNACK Tag: zero, but after an R-Data SNACK.
    pub snack_tag: u32,
    /// StatSN.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// ExpDataSN: how many Data-In and R2T PDUs the target has sent for this command.
    pub exp_data_sn: SerialNumber32,
    /// The residual of the transfer, of a bidirectional command the one towards the target.
    pub residual: Residual,
    /// The residual towards the initiator of a bidirectional command.
    pub bidirectional_read_residual: Residual,
    /// Sense data, empty when there is none.
    pub sense: Bytes,
    /// What follows the sense data: response data of the SCSI command, otherwise empty.
    pub response_data: Bytes,
}

impl ScsiResponse {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved tag; both residual bits of one direction; sense data that overruns the data segment.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::ScsiResponse)?;
        raw.expect_no_ahs()?;
        let initiator_task_tag = raw.expect_task_tag()?;
        let both = |field| {
            let flags = u32::from(raw.flags());
            raw.refuse(
                Fault::PeerMisbehaved,
                field,
                flags,
                "overflow and underflow exclude each other",
            )
        };
        let residual = Residual::from_wire(raw.flag(0x04), raw.flag(0x02), raw.u32_at(44))
            .ok_or_else(|| both("O and U"))?;
        let bidirectional_read_residual = Residual::from_wire(raw.flag(0x10), raw.flag(0x08), raw.u32_at(40))
            .ok_or_else(|| both("o and u"))?;
        let (sense, response_data) = sense_data::split(&raw)?;
        Ok(Self {
            response: ServiceResponse::from_code(raw.bhs[2]),
            status: raw.bhs[3],
            initiator_task_tag,
            snack_tag: raw.u32_at(20),
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            exp_data_sn: raw.serial_at(36),
            residual,
            bidirectional_read_residual,
            sense,
            response_data,
        })
    }

    /// The PDU in wire form.
    ///
    /// # Panics
    /// If the caller put more than 65,535 bytes into `sense`.
    pub fn into_raw(self) -> RawPdu {
        let (bits, count) = self.residual.to_wire(0x04, 0x02);
        let (read_bits, read_count) = self.bidirectional_read_residual.to_wire(0x10, 0x08);
        RawPdu::new(Opcode::ScsiResponse)
            .with_u8(1, 0x80 | bits | read_bits)
            .with_u8(2, self.response.code())
            .with_u8(3, self.status)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.snack_tag)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_serial(36, self.exp_data_sn)
            .with_u32(40, read_count)
            .with_u32(44, count)
            .with_data(sense_data::join(&self.sense, &self.response_data))
    }
}

impl fmt::Display for ScsiResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCSI Response itt={} {} status={:#04x} residual={} statsn={} expcmdsn={} maxcmdsn={} expdatasn={} sense={}",
            self.initiator_task_tag,
            self.response,
            self.status,
            self.residual,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.exp_data_sn,
            self.sense.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    /// CHECK CONDITION with 18 bytes of sense data and an underflow of 512 bytes.
    const CHECK: &str = "21 82 00 02  00 000014  0000000000000000  0000002a  00000000
                         00000010 00000020 00000030  00000002 00000000 00000200";
    const SENSE: &[u8; 20] =
        b"\x00\x12\x70\x00\x05\x00\x00\x00\x00\x0a\x00\x00\x00\x00\x25\x00\x00\x00\x00\x00";

    fn check_condition() -> ScsiResponse {
        ScsiResponse {
            response: ServiceResponse::CommandCompleted,
            status: 2,
            initiator_task_tag: InitiatorTaskTag(0x2a),
            snack_tag: 0,
            stat_sn: SerialNumber32(0x10),
            exp_cmd_sn: SerialNumber32(0x20),
            max_cmd_sn: SerialNumber32(0x30),
            exp_data_sn: SerialNumber32(2),
            residual: Residual::Underflow(0x200),
            bidirectional_read_residual: Residual::None,
            sense: Bytes::from_static(&SENSE[2..]),
            response_data: Bytes::new(),
        }
    }

    #[test]
    fn bytes() {
        assert_eq!(
            check_condition().to_string(),
            "SCSI Response itt=0x2a command completed at target status=0x02 residual=underflow 512 \
             statsn=16 expcmdsn=32 maxcmdsn=48 expdatasn=2 sense=18"
        );
        assert_both_ways(check_condition(), raw(CHECK, SENSE));
    }

    #[test]
    fn bytes_of_a_bidirectional_residual() {
        let response = ScsiResponse {
            status: 0,
            residual: Residual::Overflow(1),
            bidirectional_read_residual: Residual::Underflow(2),
            sense: Bytes::new(),
            ..check_condition()
        };
        let header = "21 8c 00 00  00 000000  0000000000000000  0000002a  00000000
                      00000010 00000020 00000030  00000002 00000002 00000001";
        assert_both_ways(response, raw(header, b""));
    }

    #[test]
    fn both_residual_bits_of_a_direction() {
        for (flags, field) in [(0x86, "O and U"), (0x98, "o and u")] {
            let mut bad = raw(CHECK, SENSE);
            bad.bhs[1] = flags;
            let error = refusal(bad);
            assert_eq!(
                (error.fault, error.field, error.value),
                (Fault::PeerMisbehaved, field, flags.into())
            );
        }
    }

    #[test]
    fn sense_data_that_overruns_its_segment() {
        for (data, field) in [
            (b"\x00".as_slice(), "DataSegmentLength"),
            (b"\x00\x03\x70\x00", "SenseLength"),
        ] {
            let error = refusal(raw(CHECK, data));
            assert_eq!((error.fault, error.field), (Fault::InvalidMessage, field));
        }
    }

    #[test]
    fn an_unknown_response_code_is_kept() {
        let mut vendor = raw(CHECK, SENSE);
        vendor.bhs[2] = 0x80;
        let parsed = ScsiResponse::parse(vendor).unwrap();
        assert_eq!(parsed.response, ServiceResponse::Other(0x80));
        assert_eq!(parsed.into_raw().bhs[2], 0x80);
    }
}

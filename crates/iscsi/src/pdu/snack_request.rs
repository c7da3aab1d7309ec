//! SNACK Request (RFC 7143 §11.16).

use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, RawPdu, SnackType};
use crate::serial::SerialNumber32;
use std::fmt;

/// Asks for PDUs again, or acknowledges data. Legal only at error recovery level 1 and 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnackRequest {
    /// What is asked for.
    pub snack_type: SnackType,
    /// The logical unit of a DataACK, otherwise zero.
    pub lun: LunField,
    /// The task's tag; reserved for Status and DataACK.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Target Transfer Tag of a DataACK, SNACK Tag of an R-Data SNACK, otherwise reserved.
    pub transfer_or_snack_tag: u32,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
    /// BegRun: the first number of the run.
    pub beg_run: SerialNumber32,
    /// RunLength: 0 means all.
    pub run_length: u32,
}

impl SnackRequest {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A type that the RFC does not define; additional headers; data.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::SnackRequest)?;
        raw.expect_no_ahs()?;
        raw.expect_no_data()?;
        let snack_type = SnackType::from_code(raw.flags() & 0x0f);
        if !snack_type.is_defined() {
            return Err(raw.refuse(
                Fault::InvalidMessage,
                "Type",
                u32::from(snack_type.code()),
                "this value is reserved",
            ));
        }
        Ok(Self {
            snack_type,
            lun: raw.lun(),
            initiator_task_tag: raw.initiator_task_tag(),
            transfer_or_snack_tag: raw.u32_at(20),
            exp_stat_sn: raw.serial_at(28),
            beg_run: raw.serial_at(40),
            run_length: raw.u32_at(44),
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::SnackRequest)
            .with_u8(1, 0x80 | self.snack_type.code() & 0x0f)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.transfer_or_snack_tag)
            .with_serial(28, self.exp_stat_sn)
            .with_serial(40, self.beg_run)
            .with_u32(44, self.run_length)
    }
}

impl fmt::Display for SnackRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SNACK Request itt={} {} begrun={} runlength={} expstatsn={}",
            self.initiator_task_tag, self.snack_type, self.beg_run, self.run_length, self.exp_stat_sn,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const AGAIN: &str = "10 80 0000  00 000000  0000000000000000  0000002a  ffffffff
                         00000000 00000009 00000000  00000000 00000002 00000003";

    #[test]
    fn bytes() {
        let pdu = SnackRequest {
            snack_type: SnackType::DataOrR2t,
            lun: LunField::default(),
            initiator_task_tag: InitiatorTaskTag(0x2a),
            transfer_or_snack_tag: 0xffff_ffff,
            exp_stat_sn: SerialNumber32(9),
            beg_run: SerialNumber32(2),
            run_length: 3,
        };
        assert_eq!(
            pdu.to_string(),
            "SNACK Request itt=0x2a Data/R2T begrun=2 runlength=3 expstatsn=9"
        );
        assert_both_ways(pdu, raw(AGAIN, b""));
    }

    #[test]
    fn an_unknown_type_is_refused() {
        let mut bad = raw(AGAIN, b"");
        bad.bhs[1] = 0x84;
        let error = refusal(bad);
        assert_eq!(
            (error.fault, error.field, error.value),
            (Fault::InvalidMessage, "Type", 4)
        );
    }
}

//! Reject (RFC 7143 §11.17).

use super::{BHS_LEN, Bhs, Opcode, PduError, RawPdu, RejectReason};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// The target refuses a PDU and sends its header back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// StatSN; used up, as by any status.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// DataSN/R2TSN: the next number of the task, when a Data/R2T SNACK is rejected.
    pub data_sn_or_r2t_sn: SerialNumber32,
    /// The complete header of the rejected PDU.
    pub data: Bytes,
}

impl Reject {
    /// Reads the PDU. The header that is sent back may be cut short; see [`rejected_bhs`](Self::rejected_bhs).
    ///
    /// # Errors
    /// Additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::Reject)?;
        raw.expect_no_ahs()?;
        Ok(Self {
            reason: RejectReason::from_code(raw.bhs[2]),
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            data_sn_or_r2t_sn: raw.serial_at(36),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::Reject)
            .with_u8(1, 0x80)
            .with_u8(2, self.reason.code())
            .with_u32(16, 0xffff_ffff)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_serial(36, self.data_sn_or_r2t_sn)
            .with_data(self.data)
    }

    /// The basic header of the rejected PDU, if it was sent back whole.
    pub fn rejected_bhs(&self) -> Option<&Bhs> {
        self.data.first_chunk::<BHS_LEN>()
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Reject {} statsn={} expcmdsn={} maxcmdsn={} data={}",
            self.reason,
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
    use crate::pdu::wire::{assert_both_ways, raw};

    const REFUSED: &str = "3f 80 04 00  00 000030  0000000000000000  ffffffff  00000000
                           00000001 00000002 00000003  00000000 00000000 00000000";

    #[test]
    fn bytes() {
        let pdu = Reject {
            reason: RejectReason::ProtocolError,
            stat_sn: SerialNumber32(1),
            exp_cmd_sn: SerialNumber32(2),
            max_cmd_sn: SerialNumber32(3),
            data_sn_or_r2t_sn: SerialNumber32(0),
            data: Bytes::from_static(&[5; 48]),
        };
        assert_eq!(
            pdu.to_string(),
            "Reject protocol error statsn=1 expcmdsn=2 maxcmdsn=3 data=48"
        );
        assert_eq!(pdu.rejected_bhs(), Some(&[5; 48]));
        assert_both_ways(pdu, raw(REFUSED, &[5; 48]));
    }

    #[test]
    fn a_header_cut_short_is_none() {
        let short = Reject::parse(raw(REFUSED, &[5; 47])).unwrap();
        assert_eq!(short.rejected_bhs(), None);
    }
}

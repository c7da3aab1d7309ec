//! Login Request (RFC 7143 §11.12).

use super::stage::StageFlags;
use super::{Cid, InitiatorTaskTag, Opcode, PduError, RawPdu, Stage, Tsih};
use crate::isid::Isid;
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// One step of an initiator's login. It always goes out as an immediate command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// The C bit: the text goes on in the next request.
    pub continue_bit: bool,
    /// CSG.
    pub current_stage: Stage,
    /// The T bit and NSG: the stage that the initiator wants to go to.
    pub transit_to: Option<Stage>,
    /// Version-max.
    pub version_max: u8,
    /// Version-min.
    pub version_min: u8,
    /// ISID.
    pub isid: Isid,
    /// TSIH: 0 asks for a new session, or for reinstatement of the one with the same names.
    pub tsih: Tsih,
    /// The tag of this login, the same in all its requests.
    pub initiator_task_tag: InitiatorTaskTag,
    /// CID.
    pub cid: Cid,
    /// CmdSN of the first command after the login.
    pub cmd_sn: SerialNumber32,
    /// ExpStatSN; in the first request of a login means nothing.
    pub exp_stat_sn: SerialNumber32,
    /// key=value pairs.
    pub data: Bytes,
}

impl LoginRequest {
    /// Reads the PDU.
    ///
    /// # Errors
    /// T together with C; a stage that is reserved or does not come later; a reserved tag; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::LoginRequest)?;
        raw.expect_no_ahs()?;
        let flags = StageFlags::parse(&raw)?;
        Ok(Self {
            continue_bit: flags.continue_bit,
            current_stage: flags.current_stage,
            transit_to: flags.transit_to,
            version_max: raw.bhs[2],
            version_min: raw.bhs[3],
            isid: Isid(raw.array_at(8)),
            tsih: Tsih(raw.u16_at(14)),
            initiator_task_tag: raw.expect_task_tag()?,
            cid: Cid(raw.u16_at(20)),
            cmd_sn: raw.serial_at(24),
            exp_stat_sn: raw.serial_at(28),
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::LoginRequest)
            .with_immediate(true)
            .with_u8(1, self.flags().to_byte())
            .with_u8(2, self.version_max)
            .with_u8(3, self.version_min)
            .with_bytes(8, &self.isid.0)
            .with_u16(14, self.tsih.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u16(20, self.cid.0)
            .with_serial(24, self.cmd_sn)
            .with_serial(28, self.exp_stat_sn)
            .with_data(self.data)
    }

    fn flags(&self) -> StageFlags {
        StageFlags {
            continue_bit: self.continue_bit,
            current_stage: self.current_stage,
            transit_to: self.transit_to,
        }
    }
}

impl fmt::Display for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Login Request itt={} {} isid={} tsih={} cid={} cmdsn={} expstatsn={} data={}",
            self.initiator_task_tag,
            self.flags(),
            self.isid,
            self.tsih,
            self.cid,
            self.cmd_sn,
            self.exp_stat_sn,
            self.data.len(),
        )
    }
}

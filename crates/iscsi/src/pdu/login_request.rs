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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::Fault;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    /// From the security stage to the operational stage.
    const FIRST: &str = "43 81 00 00  00 000012  800a1b2c0001 0000  00000001  0002 0000
                         00000001 00000000  00000000 00000000  00000000 00000000";
    const TEXT: &[u8] = b"AuthMethod=CHAP\0\0\0";

    #[test]
    fn bytes() {
        let pdu = LoginRequest {
            continue_bit: false,
            current_stage: Stage::SecurityNegotiation,
            transit_to: Some(Stage::LoginOperationalNegotiation),
            version_max: 0,
            version_min: 0,
            isid: Isid::random([0x0a, 0x1b, 0x2c], 1),
            tsih: Tsih(0),
            initiator_task_tag: InitiatorTaskTag(1),
            cid: Cid(2),
            cmd_sn: SerialNumber32(1),
            exp_stat_sn: SerialNumber32(0),
            data: Bytes::from_static(TEXT),
        };
        assert_eq!(
            pdu.to_string(),
            "Login Request itt=0x1 SecurityNegotiation->LoginOperationalNegotiation isid=800a1b2c0001 tsih=0x0000 \
             cid=2 cmdsn=1 expstatsn=0 data=18"
        );
        assert_both_ways(pdu, raw(FIRST, TEXT));
    }

    /// T, C, CSG, NSG.
    #[test]
    fn flags() {
        use Stage::{FullFeaturePhase, LoginOperationalNegotiation, SecurityNegotiation};
        let cases = [
            (0b0000_0000, Ok((SecurityNegotiation, None))),
            (0b0000_0100, Ok((LoginOperationalNegotiation, None))),
            (0b0100_0100, Ok((LoginOperationalNegotiation, None))),
            (0b1000_0011, Ok((SecurityNegotiation, Some(FullFeaturePhase)))),
            (
                0b1000_0111,
                Ok((LoginOperationalNegotiation, Some(FullFeaturePhase))),
            ),
            (0b1100_0111, Err((Fault::PeerMisbehaved, "T and C"))),
            (0b0000_1000, Err((Fault::InvalidMessage, "CSG"))),
            (0b0000_1100, Err((Fault::InvalidMessage, "CSG"))),
            (0b1000_0010, Err((Fault::InvalidMessage, "NSG"))),
            (0b1000_0000, Err((Fault::InvalidMessage, "NSG"))),
            (0b1000_0100, Err((Fault::InvalidMessage, "NSG"))),
        ];
        for (flags, expected) in cases {
            let mut request = raw(FIRST, TEXT);
            request.bhs[1] = flags;
            let parsed = LoginRequest::parse(request);
            let got = parsed.map(|pdu| (pdu.current_stage, pdu.transit_to));
            assert_eq!(
                got.map_err(|error| (error.fault, error.field)),
                expected,
                "{flags:#010b}"
            );
        }
    }

    #[test]
    fn without_transit_the_next_stage_is_not_looked_at() {
        let mut request = raw(FIRST, TEXT);
        request.bhs[1] = 0b0000_0010;
        assert_eq!(LoginRequest::parse(request).unwrap().transit_to, None);
    }

    #[test]
    fn it_has_a_tag() {
        let mut untagged = raw(FIRST, TEXT);
        untagged.bhs[16..20].fill(0xff);
        assert_eq!(refusal(untagged).field, "Initiator Task Tag");
    }
}

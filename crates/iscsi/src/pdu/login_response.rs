//! Login Response (RFC 7143 §11.13).

use super::stage::StageFlags;
use super::{InitiatorTaskTag, Opcode, PduError, RawPdu, Stage, Tsih};
use crate::isid::Isid;
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// The target's answer to one login request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginResponse {
    /// The C bit: the text goes on in the next response. False when the login failed.
    pub continue_bit: bool,
    /// CSG. SecurityNegotiation when the login failed and the field holds no stage.
    pub current_stage: Stage,
    /// The T bit and NSG: the target agrees to go to this stage. `None` when the login failed.
    pub transit_to: Option<Stage>,
    /// Version-max.
    pub version_max: u8,
    /// Version-active.
    pub version_active: u8,
    /// ISID, as in the request.
    pub isid: Isid,
    /// TSIH: in the last response of a login the new session's.
    pub tsih: Tsih,
    /// The tag of the login.
    pub initiator_task_tag: InitiatorTaskTag,
    /// StatSN.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// Status-Class and Status-Detail.
    pub status: LoginStatus,
    /// key=value pairs.
    pub data: Bytes,
}

/// Status-Class and Status-Detail of a login response (§11.13.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoginStatus {
    /// 0 success, 1 redirection, 2 the initiator's error, 3 the target's error.
    pub class: u8,
    /// What it is within the class.
    pub detail: u8,
}

#[allow(missing_docs, reason = "the names are the RFC's own")]
impl LoginStatus {
    pub const SUCCESS: Self = Self::new(0, 0);
    pub const TARGET_MOVED_TEMPORARILY: Self = Self::new(1, 1);
    pub const TARGET_MOVED_PERMANENTLY: Self = Self::new(1, 2);
    pub const INITIATOR_ERROR: Self = Self::new(2, 0);
    pub const AUTHENTICATION_FAILURE: Self = Self::new(2, 1);
    pub const AUTHORIZATION_FAILURE: Self = Self::new(2, 2);
    pub const NOT_FOUND: Self = Self::new(2, 3);
    pub const TARGET_REMOVED: Self = Self::new(2, 4);
    pub const UNSUPPORTED_VERSION: Self = Self::new(2, 5);
    pub const TOO_MANY_CONNECTIONS: Self = Self::new(2, 6);
    pub const MISSING_PARAMETER: Self = Self::new(2, 7);
    pub const CANNOT_INCLUDE_IN_SESSION: Self = Self::new(2, 8);
    pub const SESSION_TYPE_NOT_SUPPORTED: Self = Self::new(2, 9);
    pub const SESSION_DOES_NOT_EXIST: Self = Self::new(2, 0x0a);
    pub const INVALID_DURING_LOGIN: Self = Self::new(2, 0x0b);
    pub const TARGET_ERROR: Self = Self::new(3, 0);
    pub const SERVICE_UNAVAILABLE: Self = Self::new(3, 1);
    pub const OUT_OF_RESOURCES: Self = Self::new(3, 2);

    /// A status by its two codes.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self { class, detail }
    }

    /// Status class 0.
    pub const fn is_success(self) -> bool {
        self.class == 0
    }

    /// Status class 1: the target is elsewhere, see TargetAddress.
    pub const fn is_redirection(self) -> bool {
        self.class == 1
    }

    fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::SUCCESS => "success",
            Self::TARGET_MOVED_TEMPORARILY => "target moved temporarily",
            Self::TARGET_MOVED_PERMANENTLY => "target moved permanently",
            Self::INITIATOR_ERROR => "initiator error",
            Self::AUTHENTICATION_FAILURE => "authentication failure",
            Self::AUTHORIZATION_FAILURE => "authorization failure",
            Self::NOT_FOUND => "target not found",
            Self::TARGET_REMOVED => "target removed",
            Self::UNSUPPORTED_VERSION => "unsupported version",
            Self::TOO_MANY_CONNECTIONS => "too many connections",
            Self::MISSING_PARAMETER => "missing parameter",
            Self::CANNOT_INCLUDE_IN_SESSION => "cannot include the connection in the session",
            Self::SESSION_TYPE_NOT_SUPPORTED => "session type not supported",
            Self::SESSION_DOES_NOT_EXIST => "session does not exist",
            Self::INVALID_DURING_LOGIN => "invalid request during login",
            Self::TARGET_ERROR => "target error",
            Self::SERVICE_UNAVAILABLE => "service unavailable",
            Self::OUT_OF_RESOURCES => "out of resources",
            _ => return None,
        })
    }
}

impl fmt::Display for LoginStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text().unwrap_or("unknown status");
        write!(f, "{text} ({:02x}{:02x})", self.class, self.detail)
    }
}

impl LoginResponse {
    /// Reads the PDU. When the status is not success, the stage bits mean nothing and are not checked.
    ///
    /// # Errors
    /// T together with C; a stage that is reserved or does not come later; a reserved tag; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::LoginResponse)?;
        raw.expect_no_ahs()?;
        let status = LoginStatus::new(raw.bhs[36], raw.bhs[37]);
        let flags = match StageFlags::parse(&raw) {
            Ok(flags) if status.is_success() => flags,
            Err(error) if status.is_success() => return Err(error),
            checked => StageFlags {
                continue_bit: false,
                current_stage: checked.map_or(Stage::SecurityNegotiation, |flags| flags.current_stage),
                transit_to: None,
            },
        };
        Ok(Self {
            continue_bit: flags.continue_bit,
            current_stage: flags.current_stage,
            transit_to: flags.transit_to,
            version_max: raw.bhs[2],
            version_active: raw.bhs[3],
            isid: Isid(raw.array_at(8)),
            tsih: Tsih(raw.u16_at(14)),
            initiator_task_tag: raw.expect_task_tag()?,
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            status,
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    pub fn into_raw(self) -> RawPdu {
        RawPdu::new(Opcode::LoginResponse)
            .with_u8(1, self.flags().to_byte())
            .with_u8(2, self.version_max)
            .with_u8(3, self.version_active)
            .with_bytes(8, &self.isid.0)
            .with_u16(14, self.tsih.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_u8(36, self.status.class)
            .with_u8(37, self.status.detail)
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

impl fmt::Display for LoginResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Login Response itt={} {} {} isid={} tsih={} statsn={} expcmdsn={} maxcmdsn={} data={}",
            self.initiator_task_tag,
            self.status,
            self.flags(),
            self.isid,
            self.tsih,
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
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    /// The last response of a login.
    const LAST: &str = "23 87 00 00  00 000005  800a1b2c0001 0007  00000001  00000000
                        00000009 00000001 00000040  00 00 0000  00000000 00000000";

    fn last() -> LoginResponse {
        LoginResponse {
            continue_bit: false,
            current_stage: Stage::LoginOperationalNegotiation,
            transit_to: Some(Stage::FullFeaturePhase),
            version_max: 0,
            version_active: 0,
            isid: Isid::random([0x0a, 0x1b, 0x2c], 1),
            tsih: Tsih(7),
            initiator_task_tag: InitiatorTaskTag(1),
            stat_sn: SerialNumber32(9),
            exp_cmd_sn: SerialNumber32(1),
            max_cmd_sn: SerialNumber32(0x40),
            status: LoginStatus::SUCCESS,
            data: Bytes::from_static(b"A=bc\0"),
        }
    }

    #[test]
    fn bytes() {
        assert_eq!(
            last().to_string(),
            "Login Response itt=0x1 success (0000) LoginOperationalNegotiation->FullFeaturePhase \
             isid=800a1b2c0001 tsih=0x0007 statsn=9 expcmdsn=1 maxcmdsn=64 data=5"
        );
        assert_both_ways(last(), raw(LAST, b"A=bc\0"));
    }

    #[test]
    fn bytes_of_a_failure() {
        let failure = LoginResponse {
            current_stage: Stage::SecurityNegotiation,
            transit_to: None,
            tsih: Tsih(0),
            status: LoginStatus::AUTHENTICATION_FAILURE,
            data: Bytes::new(),
            ..last()
        };
        assert_eq!(failure.status.to_string(), "authentication failure (0201)");
        let header = "23 00 00 00  00 000000  800a1b2c0001 0000  00000001  00000000
                      00000009 00000001 00000040  02 01 0000  00000000 00000000";
        assert_both_ways(failure, raw(header, b""));
    }

    #[test]
    fn nonsense_in_the_stage_bits_hides_no_failure() {
        let mut failure = raw(LAST, b"A=bc\0");
        failure.bhs[1] = 0xff;
        assert_eq!(refusal(failure.clone()).field, "T and C");
        failure.bhs[36..38].copy_from_slice(&[3, 1]);
        let parsed = LoginResponse::parse(failure).unwrap();
        assert_eq!(
            (parsed.status, parsed.transit_to),
            (LoginStatus::SERVICE_UNAVAILABLE, None)
        );
    }

    #[test]
    fn status_names() {
        assert_eq!(LoginStatus::new(2, 3).to_string(), "target not found (0203)");
        assert_eq!(LoginStatus::new(9, 1).to_string(), "unknown status (0901)");
        assert!(LoginStatus::TARGET_MOVED_PERMANENTLY.is_redirection());
    }
}

//! What a login agreed on.

use super::DEFAULT_MAX_RECV_DATA_SEGMENT_LENGTH;
use crate::digest::Digests;
use crate::pdu::Tsih;
use crate::serial::SerialNumber32;
use std::ops::Deref;
use std::time::Duration;

/// What a session is for (RFC 7143 §13.21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionType {
    /// SCSI commands to the logical units of one target.
    #[default]
    Normal,
    /// Only SendTargets and logout.
    Discovery,
}

impl SessionType {
    /// The value of the key `SessionType`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Discovery => "Discovery",
        }
    }
}

/// The operational parameters of a session with its one connection. The default is what RFC 7143 §13 gives when
/// nobody negotiates anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Which digests each PDU carries from full feature phase on (§13.1).
    pub digests: Digests,
    /// Whether a write waits for an R2T before its first unsolicited Data-Out (§13.10).
    pub initial_r2t: bool,
    /// Whether a write command may carry data itself (§13.11).
    pub immediate_data: bool,
    /// Longest solicited or Data-In sequence in bytes (§13.13).
    pub max_burst_length: u32,
    /// Most unsolicited bytes of one command, at most `max_burst_length` (§13.14).
    pub first_burst_length: u32,
    /// Longest data segment in bytes that we receive, as we declared it (§13.12).
    pub max_recv_data_segment_length: u32,
    /// Longest data segment in bytes that we may send, as the other side declared it (§13.12).
    pub max_send_data_segment_length: u32,
    /// Most R2Ts of one command that may be open (§13.17).
    pub max_outstanding_r2t: u16,
    /// Connections of the session: always 1 (§13.2).
    pub max_connections: u16,
    /// Always 0 (§13.20).
    pub error_recovery_level: u8,
    /// How long to wait after a lost connection before the next login (§13.15).
    pub default_time2wait: Duration,
    /// How long after that the target keeps the session's tasks (§13.16).
    pub default_time2retain: Duration,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            digests: Digests::default(),
            initial_r2t: true,
            immediate_data: true,
            max_burst_length: 262_144,
            first_burst_length: 65_536,
            max_recv_data_segment_length: DEFAULT_MAX_RECV_DATA_SEGMENT_LENGTH,
            max_send_data_segment_length: DEFAULT_MAX_RECV_DATA_SEGMENT_LENGTH,
            max_outstanding_r2t: 1,
            max_connections: 1,
            error_recovery_level: 0,
            default_time2wait: Duration::from_secs(2),
            default_time2retain: Duration::from_secs(20),
        }
    }
}

/// Everything that the full feature phase goes on with, the same struct for both roles. The negotiated
/// [`Parameters`] are read as if they were its own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionParameters {
    /// What was negotiated.
    pub parameters: Parameters,
    /// What the session is for.
    pub session_type: SessionType,
    /// The target's half of the session identifier.
    pub tsih: Tsih,
    /// The portal group that serves the session. With InitiatorName and ISID it names the I_T nexus. `None` in
    /// discovery sessions, and from targets that do not tell.
    pub target_portal_group_tag: Option<u16>,
    /// The target's name for humans.
    pub target_alias: Option<String>,
    /// CmdSN of the first command: the initiator sends it, the target expects it.
    pub cmd_sn: SerialNumber32,
    /// The highest CmdSN that the target takes so far.
    pub max_cmd_sn: SerialNumber32,
    /// StatSN of the first response after login: the initiator expects it, the target sends it.
    pub exp_stat_sn: SerialNumber32,
}

impl Deref for SessionParameters {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.parameters
    }
}

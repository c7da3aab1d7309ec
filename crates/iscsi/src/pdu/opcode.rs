//! Operation codes of PDUs (RFC 7143 §11.2.1.2).

use std::fmt;

/// What kind of PDU a basic header segment starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the RFC's own")]
pub enum Opcode {
    NopOut = 0x00,
    ScsiCommand = 0x01,
    TaskManagementRequest = 0x02,
    LoginRequest = 0x03,
    TextRequest = 0x04,
    DataOut = 0x05,
    LogoutRequest = 0x06,
    SnackRequest = 0x10,
    NopIn = 0x20,
    ScsiResponse = 0x21,
    TaskManagementResponse = 0x22,
    LoginResponse = 0x23,
    TextResponse = 0x24,
    DataIn = 0x25,
    LogoutResponse = 0x26,
    R2t = 0x31,
    AsyncMessage = 0x32,
    Reject = 0x3f,
}

impl Opcode {
    /// All opcodes that the RFC defines and this crate speaks.
    pub const ALL: [Self; 18] = [
        Self::NopOut,
        Self::ScsiCommand,
        Self::TaskManagementRequest,
        Self::LoginRequest,
        Self::TextRequest,
        Self::DataOut,
        Self::LogoutRequest,
        Self::SnackRequest,
        Self::NopIn,
        Self::ScsiResponse,
        Self::TaskManagementResponse,
        Self::LoginResponse,
        Self::TextResponse,
        Self::DataIn,
        Self::LogoutResponse,
        Self::R2t,
        Self::AsyncMessage,
        Self::Reject,
    ];

    /// The opcode with these six bits, if the RFC defines it (vendor codes are none of ours).
    pub fn from_bits(bits: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|opcode| *opcode as u8 == bits)
    }

    /// The six bits.
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// True for the PDUs that a target sends.
    pub const fn is_from_target(self) -> bool {
        self as u8 >= 0x20
    }

    /// The RFC's name of the PDU.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NopOut => "NOP-Out",
            Self::ScsiCommand => "SCSI Command",
            Self::TaskManagementRequest => "Task Management Function Request",
            Self::LoginRequest => "Login Request",
            Self::TextRequest => "Text Request",
            Self::DataOut => "SCSI Data-Out",
            Self::LogoutRequest => "Logout Request",
            Self::SnackRequest => "SNACK Request",
            Self::NopIn => "NOP-In",
            Self::ScsiResponse => "SCSI Response",
            Self::TaskManagementResponse => "Task Management Function Response",
            Self::LoginResponse => "Login Response",
            Self::TextResponse => "Text Response",
            Self::DataIn => "SCSI Data-In",
            Self::LogoutResponse => "Logout Response",
            Self::R2t => "Ready To Transfer",
            Self::AsyncMessage => "Asynchronous Message",
            Self::Reject => "Reject",
        }
    }

    /// The section of RFC 7143 that lays the PDU out.
    pub const fn section(self) -> &'static str {
        match self {
            Self::ScsiCommand => "11.3",
            Self::ScsiResponse => "11.4",
            Self::TaskManagementRequest => "11.5",
            Self::TaskManagementResponse => "11.6",
            Self::DataOut | Self::DataIn => "11.7",
            Self::R2t => "11.8",
            Self::AsyncMessage => "11.9",
            Self::TextRequest => "11.10",
            Self::TextResponse => "11.11",
            Self::LoginRequest => "11.12",
            Self::LoginResponse => "11.13",
            Self::LogoutRequest => "11.14",
            Self::LogoutResponse => "11.15",
            Self::SnackRequest => "11.16",
            Self::Reject => "11.17",
            Self::NopOut => "11.18",
            Self::NopIn => "11.19",
        }
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

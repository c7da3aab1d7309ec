//! Why a PDU is refused, and who erred.

use super::{Opcode, RejectReason};
use std::fmt;

/// Who erred, in the sense of "who must change".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The bytes cannot be decoded: a length or a code that cannot be.
    InvalidMessage,
    /// The message can be decoded, and the RFC forbids the peer to send it.
    PeerMisbehaved,
    /// The message is legal, and asks for what this implementation does not speak.
    PeerIncompatible,
    /// Our own caller passed what it must not.
    ApiMisuse,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidMessage => "the peer's message cannot be decoded",
            Self::PeerMisbehaved => "the peer broke the protocol",
            Self::PeerIncompatible => "the peer asks for what is not supported here",
            Self::ApiMisuse => "this program passed a wrong PDU",
        })
    }
}

/// A PDU that is refused: which field of which PDU held what, and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {field} is {value:#x}, but {rule} (RFC 7143 §{section}): {fault}", OpcodeName(*.opcode))]
pub struct PduError {
    /// The six opcode bits of the refused PDU.
    pub opcode: u8,
    /// Who erred.
    pub fault: Fault,
    /// The field, by the RFC's name.
    pub field: &'static str,
    /// What the field held.
    pub value: u32,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// The section of RFC 7143 with that rule.
    pub section: &'static str,
}

impl PduError {
    /// The reason for which a target rejects such a PDU (RFC 7143 §11.17.1).
    pub fn reject_reason(&self) -> RejectReason {
        match self.fault {
            Fault::InvalidMessage => RejectReason::InvalidPduField,
            Fault::PeerMisbehaved | Fault::ApiMisuse => RejectReason::ProtocolError,
            Fault::PeerIncompatible => RejectReason::CommandNotSupported,
        }
    }
}

struct OpcodeName(u8);

impl fmt::Display for OpcodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Opcode::from_bits(self.0) {
            Some(opcode) => opcode.fmt(f),
            None => write!(f, "PDU with opcode {:#04x}", self.0),
        }
    }
}

//! Why a target ends a login, and the status that tells the initiator.

use super::super::error::ProtocolError;
use super::authority::AccessRefusal;
use crate::chap::CredentialsError;
use crate::params::NegotiationError;
use crate::pdu::{LoginResponse, LoginStatus};

/// A login that the target ends: send the response, then close the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the login of {initiator} is refused ({}): {reason}", .response.status)]
pub struct LoginRefusal {
    /// What the initiator is told.
    pub response: LoginResponse,
    /// Who tried, as it says itself; "an unnamed initiator" before it has.
    pub initiator: String,
    /// Why, for the target's log.
    pub reason: RefusalReason,
}

/// Why a target ends a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The authority says no.
    #[error(transparent)]
    Access(#[from] AccessRefusal),
    /// The target is elsewhere.
    #[error("the target is served at {address}")]
    Moved {
        /// Where.
        address: String,
        /// Whether for good.
        permanent: bool,
    },
    /// The initiator wants another protocol version than 0.
    #[error("the initiator needs at least version {version_min} of the protocol")]
    Version {
        /// Version-min.
        version_min: u8,
    },
    /// CHAP is demanded, and the initiator does not offer it or passes the security stage over.
    #[error("the initiator must authenticate by CHAP and does not offer to")]
    ChapRequired,
    /// The initiator insists on authentication, and there is no account for it.
    #[error("the initiator offers {offered:?}, none of which is set up for it")]
    NoCommonMethod {
        /// The value of `AuthMethod`.
        offered: String,
    },
    /// None of the initiator's algorithms is allowed.
    #[error("none of the initiator's CHAP algorithms ({offered}) is allowed")]
    NoCommonAlgorithm {
        /// The value of `CHAP_A`.
        offered: String,
    },
    /// The CHAP name is unknown or the proof is wrong; which of the two, the initiator is not told.
    #[error("the proof of CHAP user {name:?} is wrong, or there is no such user")]
    WrongProof {
        /// The value of `CHAP_N`.
        name: String,
    },
    /// The initiator sent our own challenge back.
    #[error("the initiator sent the target's own challenge back")]
    ReflectedChallenge,
    /// The initiator demands the target's proof, and the target has no secret of its own.
    #[error("the initiator demands the target's proof and the target has no secret of its own")]
    MutualNotConfigured,
    /// The target's own credentials do not fit together.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The authority gave an alias or an address that no key can carry.
    #[error("the target's own {0} holds a control character or is too long; correct it")]
    BadAnswer(&'static str),
    /// `SessionType` is none that there is.
    #[error("there is no session type {value:?}")]
    SessionType {
        /// The value of the key.
        value: String,
    },
    /// TargetName breaks the grammar of names, so there is no such target.
    #[error("TargetName is not an iSCSI name")]
    TargetName,
    /// The two sides do not come to terms about an operational key.
    #[error("the negotiation failed: {0}")]
    Negotiation(#[from] NegotiationError),
    /// The initiator broke the protocol.
    #[error("the initiator broke the login protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The caller refused a login that had come to its end.
    #[error("the session was refused: {0}")]
    Session(LoginStatus),
}

impl RefusalReason {
    /// The status that tells the initiator (RFC 7143 §11.13.5).
    #[must_use]
    pub fn status(&self) -> LoginStatus {
        match self {
            Self::Access(refusal) => refusal.status(),
            Self::Moved { permanent: true, .. } => LoginStatus::TARGET_MOVED_PERMANENTLY,
            Self::Moved { permanent: false, .. } => LoginStatus::TARGET_MOVED_TEMPORARILY,
            Self::Version { .. } => LoginStatus::UNSUPPORTED_VERSION,
            Self::ChapRequired
            | Self::NoCommonMethod { .. }
            | Self::NoCommonAlgorithm { .. }
            | Self::WrongProof { .. }
            | Self::ReflectedChallenge
            | Self::MutualNotConfigured
            | Self::Protocol(ProtocolError::Chap(_)) => LoginStatus::AUTHENTICATION_FAILURE,
            Self::Credentials(_) | Self::BadAnswer(_) => LoginStatus::TARGET_ERROR,
            Self::SessionType { .. } => LoginStatus::SESSION_TYPE_NOT_SUPPORTED,
            Self::TargetName => LoginStatus::NOT_FOUND,
            Self::Protocol(ProtocolError::MissingKey { .. }) => LoginStatus::MISSING_PARAMETER,
            Self::Protocol(ProtocolError::NotUnderWay) => LoginStatus::INVALID_DURING_LOGIN,
            Self::Negotiation(_) | Self::Protocol(_) => LoginStatus::INITIATOR_ERROR,
            Self::Session(status) => *status,
        }
    }
}

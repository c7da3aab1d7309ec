//! Why an initiator's login failed: who erred, and what to do about it.

use crate::chap::{Algorithms, ChapError, CredentialsError};
use crate::params::NegotiationError;
use crate::pdu::{LoginStatus, Stage};
use crate::text::TextError;

/// Who must change something before another login can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsible {
    /// The user of this side: names, secrets, limits.
    LocalConfiguration,
    /// Whoever runs the target: access lists, its secret, its free resources.
    TargetConfiguration,
    /// The target's implementation, which broke the protocol, or somebody who pretends to be it.
    TargetImplementation,
    /// Nobody: the same login may succeed later.
    Transient,
}

/// Why a login failed, as the initiator sees it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The caller's credentials do not fit together.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Mutual CHAP without CHAP: RFC 7143 §12.1.3 knows no such thing.
    #[error(
        "the target is to prove itself, but no CHAP secret for the initiator is given; give both, or neither"
    )]
    MutualWithoutChap,
    /// The initiator's alias cannot be sent.
    #[error("the initiator's alias holds a control character or is too long; give another or none")]
    Alias,
    /// The target refused our proof.
    #[error(
        "the target refused CHAP user {name:?}: the name or the secret is not the one that it has for this initiator; correct the secret here or on the target"
    )]
    WrongSecret {
        /// The CHAP name that was sent.
        name: String,
    },
    /// The target demands CHAP and no credentials were given.
    #[error(
        "the target demands CHAP and no CHAP name and secret are given; give those that are set on the target"
    )]
    ChapRequired,
    /// Credentials were given and the target refused the very method, before any proof.
    #[error(
        "the target refused to authenticate by CHAP; set the CHAP user up on the target for this initiator, or log in without CHAP"
    )]
    ChapRefused,
    /// No algorithm that both sides allow.
    #[error(
        "the target supports none of the CHAP algorithms that are allowed here ({allowed}); allow a weaker one or update the target"
    )]
    NoCommonAlgorithm {
        /// The value of `CHAP_A` that was offered.
        allowed: String,
    },
    /// The target chose SHA-256 and found our proof malformed. IANA's number for SHA-256, 7, means SHA-1 to tgt and
    /// other descendants of the iSCSI Enterprise Target.
    #[error(
        "the target chose CHAP algorithm 7 (SHA-256) and could not read the proof (0200): it probably takes 7 for SHA-1, as tgt does; log in without SHA-256, or update the target"
    )]
    AlgorithmMisnumbered {
        /// The other algorithms that are allowed, if any.
        others: Option<Algorithms>,
    },
    /// The target was to prove itself and did not: it is not the one it claims to be, or it is set up wrongly.
    #[error("the target did not prove that it is the right one: {0}")]
    TargetNotProven(MutualFailure),
    /// The target answered with a status that says no.
    #[error("the target refused the login: {status}; {}", advice(*.status))]
    Refused {
        /// Status-Class and Status-Detail.
        status: LoginStatus,
    },
    /// The target redirects without saying where to.
    #[error("the target redirects ({status}) and gives no TargetAddress; ask whoever runs the target")]
    RedirectWithoutAddress {
        /// Status-Class and Status-Detail.
        status: LoginStatus,
    },
    /// The two sides do not come to terms about an operational key.
    #[error("the negotiation of the session's parameters failed: {0}")]
    Negotiation(#[from] NegotiationError),
    /// The target broke the protocol.
    #[error("the target broke the login protocol: {0}")]
    Protocol(#[from] ProtocolError),
}

/// How a target failed mutual CHAP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutualFailure {
    /// The target chose to go on without CHAP.
    #[error(
        "it did not ask for CHAP at all; set CHAP up on the target in both directions, or do not demand it"
    )]
    ChapNotAsked,
    /// The target took our proof and gave none.
    #[error("it gave no proof of its own; set the target's own CHAP name and secret, or do not demand it")]
    NoProof,
    /// The target's proof carries another name.
    #[error("it calls itself {received:?}, not {expected:?}; correct the target's CHAP name on either side")]
    WrongName {
        /// The name that was configured.
        expected: String,
        /// The name that came.
        received: String,
    },
    /// The target's proof is wrong.
    #[error(
        "its secret is not the one that is configured for it; correct it on either side, or find out who answers"
    )]
    WrongProof,
    /// The target challenged us with our own challenge.
    #[error("it sent our own challenge back")]
    ReflectedChallenge,
    /// The target's proof is our own.
    #[error("it sent back the proof that only this initiator can make")]
    ReflectedProof,
}

/// What the other side sent although RFC 7143 forbids it; both roles use it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A field that must stay the same through one login, or be an echo, is not.
    #[error("{field} is {received:#x} where {expected:#x} belongs")]
    Field {
        /// The field's name in RFC 7143.
        field: &'static str,
        /// What belongs there.
        expected: u64,
        /// What stood there.
        received: u64,
    },
    /// The PDU belongs to another stage.
    #[error("a PDU of {received} came in {expected}")]
    Stage {
        /// The stage that the login is in.
        expected: Stage,
        /// CSG of the PDU.
        received: Stage,
    },
    /// A transition to a stage that was not asked for.
    #[error("the stage was changed to {received} without being asked for")]
    Transition {
        /// NSG of the PDU.
        received: Stage,
    },
    /// A data segment over the login phase's limit.
    #[error(
        "a login PDU carries {len} bytes, over the limit of {}",
        super::MAX_LOGIN_DATA_SEGMENT
    )]
    DataTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Keys although our own list was not complete.
    #[error("keys came before our own list was complete")]
    DataBeforeEndOfList,
    /// The key list cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The login does not come to an end.
    #[error("the login did not end after {} exchanges", super::MAX_EXCHANGES)]
    TooManyExchanges,
    /// A PDU after the login had ended or failed, or before it began.
    #[error("a login PDU came although no login is under way")]
    NotUnderWay,
    /// A key that must come here does not.
    #[error("{key} is missing")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A key that may come once came again.
    #[error("{key} was sent twice")]
    RepeatedKey {
        /// The key.
        key: String,
    },
    /// A key that has no place here.
    #[error("{key} has no place here")]
    UnexpectedKey {
        /// The key.
        key: String,
    },
    /// A value that the key does not allow.
    #[error("{key}={value} is not a legal value")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value, shortened.
        value: String,
    },
    /// A CHAP key that cannot be read.
    #[error(transparent)]
    Chap(#[from] ChapError),
}

impl LoginError {
    /// Who must change something.
    #[must_use]
    pub fn responsible(&self) -> Responsible {
        match self {
            Self::Credentials(_)
            | Self::MutualWithoutChap
            | Self::Alias
            | Self::WrongSecret { .. }
            | Self::ChapRequired
            | Self::NoCommonAlgorithm { .. } => Responsible::LocalConfiguration,
            Self::AlgorithmMisnumbered { .. } => Responsible::TargetImplementation,
            Self::ChapRefused | Self::RedirectWithoutAddress { .. } => Responsible::TargetConfiguration,
            Self::TargetNotProven(MutualFailure::ReflectedChallenge | MutualFailure::ReflectedProof)
            | Self::Protocol(_) => Responsible::TargetImplementation,
            Self::TargetNotProven(_) => Responsible::TargetConfiguration,
            Self::Negotiation(NegotiationError::DigestRefused { .. }) => Responsible::TargetConfiguration,
            Self::Negotiation(_) => Responsible::TargetImplementation,
            Self::Refused { status } => responsible_for(*status),
        }
    }

    /// The algorithms with which a second login may be tried at once, on a new connection. This weakens nothing: all
    /// of them were on offer in the first.
    #[must_use]
    pub fn other_algorithms(&self) -> Option<&Algorithms> {
        match self {
            Self::AlgorithmMisnumbered { others } => others.as_ref(),
            _ => None,
        }
    }

    /// Whether the same login may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.responsible() == Responsible::Transient
    }
}

fn responsible_for(status: LoginStatus) -> Responsible {
    match status {
        LoginStatus::TOO_MANY_CONNECTIONS | LoginStatus::SESSION_DOES_NOT_EXIST => Responsible::Transient,
        LoginStatus::NOT_FOUND => Responsible::LocalConfiguration,
        LoginStatus::AUTHENTICATION_FAILURE
        | LoginStatus::AUTHORIZATION_FAILURE
        | LoginStatus::TARGET_REMOVED => Responsible::TargetConfiguration,
        _ if status.class == 3 => Responsible::Transient,
        _ => Responsible::TargetImplementation,
    }
}

/// What to do about a status of a failed login (RFC 7143 §11.13.5).
fn advice(status: LoginStatus) -> &'static str {
    match status {
        LoginStatus::AUTHENTICATION_FAILURE => {
            "check the authentication that the target demands of this initiator"
        }
        LoginStatus::AUTHORIZATION_FAILURE => "add this initiator's name to the target's access list",
        LoginStatus::NOT_FOUND => "check the target's name, and that the target serves it on this portal",
        LoginStatus::TARGET_REMOVED => "the target is gone for good; find out where its data went",
        LoginStatus::TOO_MANY_CONNECTIONS => {
            "the target takes no further connection; try again later or raise its limit"
        }
        LoginStatus::SESSION_DOES_NOT_EXIST => "the session that was to be continued is gone; log in anew",
        LoginStatus::SESSION_TYPE_NOT_SUPPORTED => "the target does not serve this type of session",
        LoginStatus::SERVICE_UNAVAILABLE | LoginStatus::OUT_OF_RESOURCES => {
            "the target cannot serve now; try again later"
        }
        _ if status.class == 3 => "look at the target's own log; try again later",
        _ => "the target found fault with the request; look at its own log",
    }
}

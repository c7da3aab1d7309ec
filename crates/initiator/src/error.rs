//! Errors of sessions and units. A SCSI status is a value; what stands here is why no status came, or why a
//! status makes what was asked for impossible.

use std::fmt;
use std::net::SocketAddr;

use longshore_iscsi::frame::FrameError;
use longshore_iscsi::login::LoginError;
use longshore_iscsi::pdu::{LoginStatus, PduError};
use longshore_scsi::sense::Sense;
use longshore_scsi::status::Status;

use crate::identity::Condition;
use crate::portal::Portal;
use crate::resolve::ResolveError;

/// What kept one portal from being used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// Its host name has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The interface or the source address cannot be used.
    #[error("cannot bind to {what}: {reason}")]
    Bind {
        /// The interface or the address.
        what: String,
        /// The system's reason.
        reason: String,
    },
    /// No TCP connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection ended or failed during login.
    #[error("the connection was lost during login: {0}")]
    Lost(String),
    /// The target's bytes are no PDUs.
    #[error("the login response cannot be read: {0}")]
    Frame(#[from] FrameError),
    /// The target's PDU is not what it should be.
    #[error("the login response is not valid: {0}")]
    Pdu(#[from] PduError),
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The target refused a login without credentials and did not say why.
    #[error(
        "{0}; no CHAP name and secret are given, and targets such as tgt refuse in this way when they demand them"
    )]
    PerhapsChapRequired(LoginError),
    /// The target sends us elsewhere, and we do not go.
    #[error("the target redirects to {address:?}, which is not followed: {reason}")]
    Redirect {
        /// Where to.
        address: String,
        /// Why not.
        reason: &'static str,
    },
    /// No answer in time.
    #[error("no answer in time while {0}")]
    Timeout(&'static str),
}

impl AttemptError {
    fn kind(&self) -> LoginFailureKind {
        match self {
            AttemptError::Resolve(_) => LoginFailureKind::Unresolved,
            AttemptError::Bind { .. } => LoginFailureKind::Bind,
            AttemptError::Connect(_) | AttemptError::Lost(_) => LoginFailureKind::Unreachable,
            AttemptError::Timeout(_) => LoginFailureKind::Timeout,
            AttemptError::Redirect { .. } => LoginFailureKind::Redirect,
            AttemptError::Frame(_) | AttemptError::Pdu(_) => LoginFailureKind::Protocol,
            AttemptError::PerhapsChapRequired(_) => LoginFailureKind::Authentication,
            AttemptError::Login(error) => of_login(error),
        }
    }
}

fn of_login(error: &LoginError) -> LoginFailureKind {
    match error {
        LoginError::Credentials(_)
        | LoginError::MutualWithoutChap
        | LoginError::WrongSecret { .. }
        | LoginError::ChapRequired
        | LoginError::ChapRefused
        | LoginError::NoCommonAlgorithm { .. }
        | LoginError::AlgorithmMisnumbered { .. }
        | LoginError::TargetNotProven(_) => LoginFailureKind::Authentication,
        LoginError::Refused { status } => match *status {
            LoginStatus::NOT_FOUND | LoginStatus::TARGET_REMOVED => LoginFailureKind::TargetNotFound,
            LoginStatus::AUTHENTICATION_FAILURE | LoginStatus::AUTHORIZATION_FAILURE => {
                LoginFailureKind::Authentication
            }
            _ => LoginFailureKind::Protocol,
        },
        _ => LoginFailureKind::Protocol,
    }
}

/// A portal that was tried, and what kept it from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalFailure {
    /// The portal as configured.
    pub portal: Portal,
    /// The address that it stands for, once known.
    pub address: Option<SocketAddr>,
    /// What kept it from being used.
    pub error: AttemptError,
}

impl fmt::Display for PortalFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.portal, self.error)
    }
}

/// No portal could be logged in to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot log in to {target}: {}", list(.failures))]
pub struct LoginFailure {
    /// The target's name, or "a discovery session".
    pub target: String,
    /// One for each address that was tried; empty when no portal is configured.
    pub failures: Vec<PortalFailure>,
}

/// The most telling kind among the failures of the portals, for exit codes and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginFailureKind {
    /// Nothing was tried.
    NoPortal,
    /// Host names do not resolve.
    Unresolved,
    /// The interface or source address cannot be used.
    Bind,
    /// Nobody listens, or no route.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// A redirect that is not followed.
    Redirect,
    /// The target breaks the protocol or cannot do what we need.
    Protocol,
    /// The target is there, but not this one.
    TargetNotFound,
    /// A secret is wrong or missing, on either side, or the target does not let this initiator in.
    Authentication,
}

impl LoginFailure {
    /// The most telling kind: a portal that answered counts more than one that did not.
    #[must_use]
    pub fn kind(&self) -> LoginFailureKind {
        self.failures
            .iter()
            .map(|failure| failure.error.kind())
            .max()
            .unwrap_or(LoginFailureKind::NoPortal)
    }
}

fn list(failures: &[PortalFailure]) -> String {
    if failures.is_empty() {
        return "no portal is configured".to_owned();
    }
    failures
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Why a discovery gave no list of targets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// No portal could be logged in to.
    #[error(transparent)]
    Login(#[from] LoginFailure),
    /// The answer to SendTargets is not usable.
    #[error("the answer of {portal} to SendTargets is not usable: {reason}")]
    Answer {
        /// The portal.
        portal: Portal,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection failed after the login.
    #[error("the discovery session with {portal} was lost: {reason}")]
    Lost {
        /// The portal.
        portal: Portal,
        /// How.
        reason: String,
    },
    /// No answer in time.
    #[error("{portal} did not answer SendTargets before the deadline")]
    Deadline {
        /// The portal.
        portal: Portal,
    },
}

/// Why a command has no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The caller's deadline passed. The command may or may not have been carried out.
    #[error("{what} got no answer before the deadline ({session})")]
    Deadline {
        /// What was asked.
        what: String,
        /// What the session was doing.
        session: String,
    },
    /// The connection was lost while the command was under way, and repeating it is not known to be safe.
    #[error("the outcome of {what} is unknown, and it must not be repeated: {reason}")]
    OutcomeUnknown {
        /// What was asked.
        what: String,
        /// Why the status was lost.
        reason: String,
    },
    /// The session is closed.
    #[error("the session is closed: {reason}")]
    Closed {
        /// Who closed it.
        reason: String,
    },
    /// The target refused the PDU itself, again and again (RFC 7143 §11.17).
    #[error("the target rejects {what}: {reason}")]
    Rejected {
        /// What was asked.
        what: String,
        /// The target's reason.
        reason: String,
    },
    /// The data came damaged again and again (CRC32C).
    #[error(
        "data digest errors in {attempts} attempts of {what}; look at the network between here and the target"
    )]
    DataDigest {
        /// What was asked.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The task was ended without a status, again and again.
    #[error("the target ended {what} without a status in {attempts} attempts")]
    Aborted {
        /// What was asked.
        what: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The command cannot be expressed.
    #[error("{0}")]
    Invalid(String),
}

/// Why a unit cannot do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The unit is not to be used any more.
    #[error("the unit is fenced: {0}")]
    Fenced(Condition),
    /// The target has no unit at this LUN.
    #[error(
        "the target has no unit at LUN {lun}: {reason}; check the LUN number and the target's access list"
    )]
    NoSuchLun {
        /// The LUN asked for.
        lun: String,
        /// What the target answered.
        reason: String,
    },
    /// It is not a disk.
    #[error("LUN {lun} is not a disk: its peripheral device type is {device_type:#04x}")]
    NotADisk {
        /// The LUN asked for.
        lun: String,
        /// PERIPHERAL DEVICE TYPE of INQUIRY.
        device_type: u8,
    },
    /// The unit's answer breaks its own standard.
    #[error("{what} of LUN {lun} cannot be used: {reason}")]
    Malformed {
        /// The LUN.
        lun: String,
        /// Which answer.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The range is outside the unit or not aligned to its blocks.
    #[error(
        "the range of {len} bytes at {offset} is not within the unit's {size_bytes} bytes in blocks of {block_size_bytes}"
    )]
    Range {
        /// Byte offset.
        offset: u64,
        /// Length in bytes.
        len: u64,
        /// Capacity.
        size_bytes: u64,
        /// Block size.
        block_size_bytes: u32,
    },
    /// The unit refuses writes.
    #[error("the unit is read-only")]
    ReadOnly,
    /// The unit cannot do this at all; nothing was changed.
    #[error("the unit does not support {what}")]
    Unsupported {
        /// What was asked.
        what: &'static str,
    },
    /// Another initiator holds a reservation. Never retried.
    #[error("another initiator holds a reservation on the unit (RESERVATION CONFLICT)")]
    ReservationConflict,
    /// The unit failed the command.
    #[error("{what} failed: {}", describe(*status, sense.as_ref()))]
    Scsi {
        /// What was asked.
        what: String,
        /// Its status.
        status: Status,
        /// Its sense data.
        sense: Option<Sense>,
    },
    /// Fewer bytes than asked for were transferred, with good status.
    #[error("{what} moved {moved} bytes of {asked}")]
    Short {
        /// What was asked.
        what: String,
        /// Bytes asked for.
        asked: u32,
        /// Bytes transferred.
        moved: u32,
    },
    /// Writes that were acknowledged may be lost, and could not be sent again.
    #[error("acknowledged writes may be lost: {reason}")]
    WritesLost {
        /// What happened.
        reason: String,
    },
    /// No status.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// A status and its sense data in words.
pub(crate) fn describe(status: Status, sense: Option<&Sense>) -> String {
    match sense {
        Some(sense) => format!("{status}, {sense}"),
        None => status.to_string(),
    }
}

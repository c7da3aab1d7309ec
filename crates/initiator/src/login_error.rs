//! Errors of logging in and of discovery: one reason for each portal that was tried.

use std::fmt;
use std::net::SocketAddr;

use longshore_iscsi::frame::FrameError;
use longshore_iscsi::login::LoginError;
use longshore_iscsi::pdu::{LoginStatus, PduError};

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

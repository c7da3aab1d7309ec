//! What an initiator logs in with, and what comes out of each step.

use crate::chap::{Algorithm, Algorithms, ChapCredentials, SecretWarning};
use crate::isid::Isid;
use crate::name::IscsiName;
use crate::params::{Offers, SessionParameters, SessionType};
use crate::pdu::{Cid, LoginRequest, Tsih};
use crate::serial::SerialNumber32;
use std::fmt;

/// What an initiator logs in with.
#[derive(Clone, Debug)]
pub struct InitiatorLoginConfig {
    /// Our name.
    pub initiator_name: IscsiName,
    /// Our name for humans.
    pub initiator_alias: Option<String>,
    /// The target; `None` opens a discovery session.
    pub target_name: Option<IscsiName>,
    /// Our half of the session identifier. The same one again reinstates the session (§6.3.5).
    pub isid: Isid,
    /// 0 for a new session or a reinstatement.
    pub tsih: Tsih,
    /// The connection's number.
    pub cid: Cid,
    /// CmdSN of the first command that will follow the login.
    pub cmd_sn: SerialNumber32,
    /// What is offered.
    pub offers: Offers,
    /// With what we prove ourselves, if the target asks. Without `mutual`, a target that does not ask is a
    /// [`LoginWarning`], not an error: only the target loses by it.
    pub chap: Option<ChapCredentials>,
    /// With what the target must prove itself. Then a target that does not ask for CHAP is an error.
    pub mutual: Option<ChapCredentials>,
    /// The CHAP algorithms that may be used, in the order in which they are offered.
    pub algorithms: Algorithms,
}

/// What to do next.
#[derive(Debug)]
pub enum InitiatorStep {
    /// Send this request and wait for its response.
    Send(LoginRequest),
    /// Full feature phase has begun.
    Done(SessionParameters),
    /// Close the connection and log in at another address, which nobody has authenticated (§11.13.5).
    Redirect {
        /// `TargetAddress`, as it came: host name or address, with or without a port.
        address: String,
        /// Whether the target has moved for good.
        permanent: bool,
    },
}

/// What a user should know about a login that goes on all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginWarning {
    /// A secret is short.
    Secret(SecretWarning),
    /// Credentials were given and the target let us in without them.
    ChapNotAsked,
    /// The target chose an algorithm that is known to be weak.
    WeakAlgorithm(Algorithm),
}

impl fmt::Display for LoginWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(warning) => warning.fmt(f),
            Self::ChapNotAsked => f.write_str(
                "a CHAP secret is given and the target let this initiator in without asking for it",
            ),
            Self::WeakAlgorithm(algorithm) => write!(
                f,
                "the target chose CHAP with {algorithm}; forbid it if the target supports SHA-256"
            ),
        }
    }
}

impl InitiatorLoginConfig {
    /// A target's name makes a normal session.
    pub(super) fn session_type(&self) -> SessionType {
        match self.target_name {
            Some(_) => SessionType::Normal,
            None => SessionType::Discovery,
        }
    }
}

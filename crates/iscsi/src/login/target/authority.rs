//! Who may log in where, and how it proves itself: the questions a target's login asks its caller.

use crate::chap::ChapCredentials;
use crate::name::IscsiName;
use crate::pdu::LoginStatus;

/// Answers a login's questions about access. It is asked once per login, before anything is proved.
pub trait Authority {
    /// Decides about one login by the names that it gives.
    fn admit(&self, request: &AccessRequest<'_>) -> Access;
}

/// Who wants to go where, as it says itself.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    /// InitiatorName.
    pub initiator_name: &'a IscsiName,
    /// TargetName; `None` for a discovery session.
    pub target_name: Option<&'a IscsiName>,
}

/// What is decided about a login.
#[derive(Clone, Debug)]
pub enum Access {
    /// It may go on, and must authenticate as the grant says.
    Granted(Grant),
    /// The target is served elsewhere (§11.13.5).
    Moved {
        /// The `TargetAddress` to tell, without a portal group tag (§13.8).
        address: String,
        /// Whether it has moved for good.
        permanent: bool,
    },
    /// It ends here.
    Refused(AccessRefusal),
}

/// On what conditions a login may go on.
#[derive(Clone, Debug)]
pub struct Grant {
    /// How the initiator proves itself.
    pub authentication: Authentication,
    /// TargetAlias to tell.
    pub target_alias: Option<String>,
}

/// How an initiator proves itself, and the target to it.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// Nobody proves anything.
    None,
    /// The initiator must prove one of these accounts.
    Chap {
        /// Names and secrets of initiators.
        accounts: Vec<ChapCredentials>,
        /// The target's own name and secret, for initiators that ask for its proof.
        mutual: Option<ChapCredentials>,
    },
}

/// Why a login may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    /// No such target here.
    #[error("there is no such target")]
    UnknownTarget,
    /// The target was here and is gone for good.
    #[error("the target has been removed")]
    TargetRemoved,
    /// The initiator is not on the access list.
    #[error("the initiator has no access to the target")]
    Forbidden,
    /// No discovery here.
    #[error("discovery sessions are not served")]
    NoDiscovery,
    /// The target cannot serve now.
    #[error("the target is not available now")]
    Unavailable,
    /// The target has no room for another session.
    #[error("the target has no room for another session")]
    OutOfResources,
}

impl AccessRefusal {
    /// What the initiator is told.
    #[must_use]
    pub fn status(self) -> LoginStatus {
        match self {
            Self::UnknownTarget => LoginStatus::NOT_FOUND,
            Self::TargetRemoved => LoginStatus::TARGET_REMOVED,
            Self::Forbidden => LoginStatus::AUTHORIZATION_FAILURE,
            Self::NoDiscovery => LoginStatus::SESSION_TYPE_NOT_SUPPORTED,
            Self::Unavailable => LoginStatus::SERVICE_UNAVAILABLE,
            Self::OutOfResources => LoginStatus::OUT_OF_RESOURCES,
        }
    }
}

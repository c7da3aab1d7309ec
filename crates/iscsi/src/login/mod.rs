//! The login phase of one connection, for both roles (RFC 7143 §6.3, §11.12, §11.13).
//!
//! [`InitiatorLogin`] and [`TargetLogin`] take the other side's login PDU and give the one to send, until both agree
//! to enter full feature phase with the same [`SessionParameters`], or one of them gives up and says why:
//! [`LoginError`] for an initiator, [`LoginRefusal`] for a target. Neither machine waits: whoever drives it sets the
//! deadline. A login ends after [`MAX_EXCHANGES`] exchanges, and a key list is bounded by
//! [`TextLimits::NEGOTIATION`](crate::text::TextLimits::NEGOTIATION).
//!
//! The initiator starts in the security stage even when it has nothing to prove, because a target that demands CHAP
//! can only say so there.

mod error;
mod initiator;
mod list;
mod target;
#[cfg(test)]
mod tests;

pub use crate::params::{Parameters, SessionParameters, SessionType};
pub use error::{LoginError, MutualFailure, ProtocolError, Responsible};
pub use initiator::{InitiatorLogin, InitiatorLoginConfig, InitiatorStep, LoginWarning};
pub use target::{
    Access, AccessRefusal, AccessRequest, Authentication, Authority, Grant, LoginIdentity, LoginRefusal,
    ReadyLogin, RefusalReason, TargetLogin, TargetLoginConfig, TargetStep,
};

/// Longest data segment of a login PDU in bytes, whatever was declared (RFC 7143 §11.12, §13.12).
pub const MAX_LOGIN_DATA_SEGMENT: usize = 8192;

/// Most PDUs of the other side that one login takes; an honest one needs fewer than ten.
pub const MAX_EXCHANGES: u32 = 64;

//! Operational parameters: what each key of RFC 7143 §13 means and how two sides agree on it (§6.2).
//!
//! [`Offers`] is what one side wants, [`Negotiation`] the dialogue about it for either role, [`Parameters`] the
//! outcome. [`respond_in_full_feature`] answers the few keys that may still change after login.

mod error;
mod full_feature;
mod key;
mod negotiation;
mod offers;
mod outcome;
#[cfg(test)]
mod tests;
mod value;

pub use error::NegotiationError;
pub use full_feature::respond_in_full_feature;
pub use key::Key;
pub use negotiation::{Negotiation, Role};
pub use offers::{DigestPolicy, Offers};
pub use outcome::{Parameters, SessionParameters, SessionType};
pub use value::parse_number;

/// Longest data segment in bytes before a side has declared its own limit, and throughout the login phase
/// (RFC 7143 §11.12, §13.12).
pub const DEFAULT_MAX_RECV_DATA_SEGMENT_LENGTH: u32 = 8192;

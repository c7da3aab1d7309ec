//! Why a negotiation fails.

/// Why two sides do not come to terms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// A key came twice (§6.2 forbids to negotiate anything again during login).
    #[error("{key} was sent twice in one login")]
    Repeated {
        /// The key.
        key: &'static str,
    },
    /// An answer that our offer does not allow: out of range, not in the list, against the result function.
    #[error("{key}={answer} is not a legal answer to {key}={offer}")]
    IllegalAnswer {
        /// The key.
        key: &'static str,
        /// What we offered.
        offer: String,
        /// What came back.
        answer: String,
    },
    /// `Reject`, `Irrelevant` or `NotUnderstood` for a key that we never sent.
    #[error("{key}={answer} answers an offer that was never made")]
    UnaskedAnswer {
        /// The key.
        key: &'static str,
        /// What came.
        answer: String,
    },
    /// A declaration outside of its range; the other side cannot be told so in any other way.
    #[error("{key}={value} is not within its range")]
    BadDeclaration {
        /// The key.
        key: &'static str,
        /// What came.
        value: String,
    },
    /// A digest that this side requires is not to be had.
    #[error("{key}=CRC32C is required on this side and the other side does not agree to it")]
    DigestRefused {
        /// `HeaderDigest` or `DataDigest`.
        key: &'static str,
    },
    /// The other side went on without the answer that it owes.
    #[error("{key} was offered and never answered")]
    Unanswered {
        /// The key.
        key: &'static str,
    },
}

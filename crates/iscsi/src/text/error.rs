//! What can be wrong with text.

use crate::name::NameError;
use crate::pdu::Fault;

/// A text that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// More than the limit of the exchange.
    #[error("the text of this exchange is longer than the limit of {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// More pairs than the limit of the exchange.
    #[error("the text of this exchange has more than {max} key=value pairs")]
    TooManyPairs {
        /// The limit.
        max: usize,
    },
    /// The last pair is not ended by a zero byte.
    #[error("the text ends inside a key=value pair, at byte {at}: the closing zero byte is missing")]
    Unterminated {
        /// Where the unfinished pair starts, in bytes from the start of the text.
        at: usize,
    },
    /// A piece of text without `=`.
    #[error("no '=' in the key=value pair at byte {at} of the text")]
    NoEqualsSign {
        /// Where the pair starts, in bytes from the start of the text.
        at: usize,
    },
    /// A key against the grammar: a capital letter, then letters, digits and `.-+@_#`, at most 63 characters.
    #[error("the key {key:?} is against the grammar of RFC 7143 §6.1: {why}")]
    BadKey {
        /// The key, cut to 63 characters, other than printable ASCII replaced.
        key: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value that is too long or holds what no value holds.
    #[error("the value of {key} is against the grammar of RFC 7143 §6.1: {why}")]
    BadValue {
        /// The key.
        key: String,
        /// What is wrong with the value.
        why: &'static str,
    },
    /// A key that may stand only once stands twice (§6.3).
    #[error("the key {key} stands twice in one exchange")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A target name in an answer to SendTargets.
    #[error("the answer to SendTargets holds a bad TargetName: {0}")]
    BadTargetName(#[from] NameError),
    /// A TargetAddress against the grammar `host[:port][,tag]`.
    #[error("the TargetAddress {address:?} is against the grammar of RFC 7143 §13.8: {why}")]
    BadTargetAddress {
        /// The address, cut to 255 characters.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A TargetAddress before any TargetName.
    #[error("the answer to SendTargets has a TargetAddress before the first TargetName")]
    AddressWithoutTarget,
    /// More targets than the limit.
    #[error("the answer to SendTargets names more than {max} targets")]
    TooManyTargets {
        /// The limit.
        max: usize,
    },
}

impl TextError {
    /// Who erred, when the text came from the peer.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::TooLong { .. } | Self::TooManyPairs { .. } | Self::TooManyTargets { .. } => {
                Fault::PeerIncompatible
            }
            Self::Duplicate { .. } | Self::AddressWithoutTarget => Fault::PeerMisbehaved,
            _ => Fault::InvalidMessage,
        }
    }
}

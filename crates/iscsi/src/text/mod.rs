//! Text: lists of key=value pairs, each ended by a zero byte (RFC 7143 §6.1, §6.2), with limits on everything.

mod address;
mod collector;
mod error;
mod key_values;
mod send_targets;
#[cfg(test)]
mod tests;

pub use address::TargetAddress;
pub use collector::TextCollector;
pub use error::TextError;
pub use key_values::{KeyValues, MAX_KEY_LEN, MAX_VALUE_LEN};
pub use send_targets::{MAX_TARGET_RECORDS, SendTargets, TargetRecord};

/// How much text a peer may send in one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// All PDUs of the exchange together, in bytes.
    pub bytes: usize,
    /// Number of key=value pairs.
    pub pairs: usize,
}

impl TextLimits {
    /// For a login, and for negotiation in the full feature phase: 64 KiB, 256 pairs.
    pub const NEGOTIATION: Self = Self {
        bytes: 64 << 10,
        pairs: 256,
    };
    /// For the answer to SendTargets: 1 MiB, 4,096 targets with eight addresses each on average.
    pub const SEND_TARGETS: Self = Self {
        bytes: 1 << 20,
        pairs: 9 * MAX_TARGET_RECORDS,
    };
}

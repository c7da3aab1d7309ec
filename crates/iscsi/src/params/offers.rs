//! What one side wants of a session before it has heard the other.

use super::key::{Key, MAX_LENGTH, MIN_LENGTH, Rule};
use std::time::Duration;

/// How much a side wants a CRC32C digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DigestPolicy {
    /// Never: only `None` is offered and accepted.
    Never,
    /// `None` first, CRC32C if the other side insists.
    Accepted,
    /// CRC32C first, `None` if the other side does not know it.
    #[default]
    Preferred,
    /// CRC32C or no session.
    Required,
}

impl DigestPolicy {
    pub(super) fn offer(self) -> &'static str {
        match self {
            Self::Never => "None",
            Self::Accepted => "None,CRC32C",
            Self::Preferred => "CRC32C,None",
            Self::Required => "CRC32C",
        }
    }

    /// Whether `digest` (true: CRC32C, false: None) may be the outcome.
    pub(super) fn allows(self, digest: bool) -> bool {
        match self {
            Self::Never => !digest,
            Self::Required => digest,
            Self::Accepted | Self::Preferred => true,
        }
    }
}

/// What one side offers or, as the one who answers, the limits within which it agrees. Values outside of the ranges
/// of RFC 7143 §13 are moved to the nearest legal one.
///
/// One connection per session, error recovery level 0, data in order: these are not for the caller to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers {
    /// `HeaderDigest`.
    pub header_digest: DigestPolicy,
    /// `DataDigest`.
    pub data_digest: DigestPolicy,
    /// `InitialR2T`: true demands an R2T before the first burst.
    pub initial_r2t: bool,
    /// `ImmediateData`.
    pub immediate_data: bool,
    /// Our `MaxRecvDataSegmentLength` in bytes.
    pub max_recv_data_segment_length: u32,
    /// `MaxBurstLength` in bytes.
    pub max_burst_length: u32,
    /// `FirstBurstLength` in bytes; at most `max_burst_length` counts.
    pub first_burst_length: u32,
    /// `MaxOutstandingR2T`.
    pub max_outstanding_r2t: u16,
    /// `DefaultTime2Wait`, in whole seconds.
    pub default_time2wait: Duration,
    /// `DefaultTime2Retain`, in whole seconds.
    pub default_time2retain: Duration,
}

/// Fast where the other side allows it: 256 KiB segments, 1 MiB bursts, unsolicited data, digests preferred.
impl Default for Offers {
    fn default() -> Self {
        Self {
            header_digest: DigestPolicy::Preferred,
            data_digest: DigestPolicy::Preferred,
            initial_r2t: false,
            immediate_data: true,
            max_recv_data_segment_length: 262_144,
            max_burst_length: 1_048_576,
            first_burst_length: 262_144,
            max_outstanding_r2t: 8,
            default_time2wait: Duration::from_secs(2),
            // A session without connection is not to linger: error recovery level 0 has nothing to take up.
            default_time2retain: Duration::ZERO,
        }
    }
}

impl Offers {
    pub(super) fn digest(&self, key: Key) -> DigestPolicy {
        if key == Key::HeaderDigest {
            self.header_digest
        } else {
            self.data_digest
        }
    }

    /// The number that this side wants for a key, within the key's range.
    pub(super) fn wish(&self, key: Key) -> u32 {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let wish = match key {
            Key::InitialR2T => u32::from(self.initial_r2t),
            Key::ImmediateData => u32::from(self.immediate_data),
            Key::MaxRecvDataSegmentLength => self.max_recv_data_segment_length,
            Key::MaxBurstLength => self.max_burst_length,
            Key::FirstBurstLength => self.first_burst_length.min(self.max_burst_length),
            Key::DefaultTime2Wait => seconds(self.default_time2wait),
            Key::DefaultTime2Retain => seconds(self.default_time2retain),
            Key::MaxOutstandingR2T => u32::from(self.max_outstanding_r2t),
            // Not for the caller to choose: the defaults are all that is implemented.
            _ => key.default_value(),
        };
        match key.rule() {
            Rule::Minimum(min, max) | Rule::Maximum(min, max) => wish.clamp(min, max),
            Rule::Declare => wish.clamp(MIN_LENGTH, MAX_LENGTH),
            _ => wish,
        }
    }
}

//! The operational keys of RFC 7143 §13: name, result function, range, default.

/// A key that both sides negotiate or declare in the operational stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Key {
    /// §13.1.
    HeaderDigest,
    /// §13.1.
    DataDigest,
    /// §13.2.
    MaxConnections,
    /// §13.10.
    InitialR2T,
    /// §13.11.
    ImmediateData,
    /// §13.12.
    MaxRecvDataSegmentLength,
    /// §13.13.
    MaxBurstLength,
    /// §13.14.
    FirstBurstLength,
    /// §13.15.
    DefaultTime2Wait,
    /// §13.16.
    DefaultTime2Retain,
    /// §13.17.
    MaxOutstandingR2T,
    /// §13.18.
    DataPDUInOrder,
    /// §13.19.
    DataSequenceInOrder,
    /// §13.20.
    ErrorRecoveryLevel,
    /// §13.23.
    TaskReporting,
    /// §13.24, the key `iSCSIProtocolLevel`.
    ProtocolLevel,
    /// §13.25, obsolete: refused.
    IFMarker,
    /// §13.25, obsolete: refused.
    OFMarker,
    /// §13.25, obsolete: refused.
    IFMarkInt,
    /// §13.25, obsolete: refused.
    OFMarkInt,
}

/// How two sides come to one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A list of `CRC32C` and `None`, of which the first that both accept counts.
    Digest,
    /// The smaller number within the range.
    Minimum(u32, u32),
    /// The larger number within the range.
    Maximum(u32, u32),
    /// `Yes` if either side says so.
    Or,
    /// `Yes` if both sides say so.
    And,
    /// Each side tells its own length, from [`MIN_LENGTH`] to [`MAX_LENGTH`]; nobody answers.
    Declare,
    /// A list of which only `RFC3720` is supported here.
    TaskReporting,
    /// An obsolete boolean: answered with `No`.
    Marker,
    /// An obsolete range: answered with `Reject`.
    MarkerInterval,
}

/// The smallest length in bytes that a side may ask for.
pub(super) const MIN_LENGTH: u32 = 512;

/// The largest length in bytes that a side may ask for: what the 24 bits of DataSegmentLength hold.
pub(super) const MAX_LENGTH: u32 = (1 << 24) - 1;

impl Key {
    /// How many keys there are.
    pub(super) const COUNT: usize = 20;

    /// Every key, in the order of the RFC.
    pub const ALL: [Self; Self::COUNT] = [
        Self::HeaderDigest,
        Self::DataDigest,
        Self::MaxConnections,
        Self::InitialR2T,
        Self::ImmediateData,
        Self::MaxRecvDataSegmentLength,
        Self::MaxBurstLength,
        Self::FirstBurstLength,
        Self::DefaultTime2Wait,
        Self::DefaultTime2Retain,
        Self::MaxOutstandingR2T,
        Self::DataPDUInOrder,
        Self::DataSequenceInOrder,
        Self::ErrorRecoveryLevel,
        Self::TaskReporting,
        Self::ProtocolLevel,
        Self::IFMarker,
        Self::OFMarker,
        Self::IFMarkInt,
        Self::OFMarkInt,
    ];

    /// The key's name in text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HeaderDigest => "HeaderDigest",
            Self::DataDigest => "DataDigest",
            Self::MaxConnections => "MaxConnections",
            Self::InitialR2T => "InitialR2T",
            Self::ImmediateData => "ImmediateData",
            Self::MaxRecvDataSegmentLength => "MaxRecvDataSegmentLength",
            Self::MaxBurstLength => "MaxBurstLength",
            Self::FirstBurstLength => "FirstBurstLength",
            Self::DefaultTime2Wait => "DefaultTime2Wait",
            Self::DefaultTime2Retain => "DefaultTime2Retain",
            Self::MaxOutstandingR2T => "MaxOutstandingR2T",
            Self::DataPDUInOrder => "DataPDUInOrder",
            Self::DataSequenceInOrder => "DataSequenceInOrder",
            Self::ErrorRecoveryLevel => "ErrorRecoveryLevel",
            Self::TaskReporting => "TaskReporting",
            Self::ProtocolLevel => "iSCSIProtocolLevel",
            Self::IFMarker => "IFMarker",
            Self::OFMarker => "OFMarker",
            Self::IFMarkInt => "IFMarkInt",
            Self::OFMarkInt => "OFMarkInt",
        }
    }

    /// The key of a name; names are case-sensitive.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    pub(super) fn rule(self) -> Rule {
        match self {
            Self::HeaderDigest | Self::DataDigest => Rule::Digest,
            Self::MaxConnections | Self::MaxOutstandingR2T => Rule::Minimum(1, 65_535),
            Self::InitialR2T | Self::DataPDUInOrder | Self::DataSequenceInOrder => Rule::Or,
            Self::ImmediateData => Rule::And,
            Self::MaxRecvDataSegmentLength => Rule::Declare,
            Self::MaxBurstLength | Self::FirstBurstLength => Rule::Minimum(MIN_LENGTH, MAX_LENGTH),
            Self::DefaultTime2Wait => Rule::Maximum(0, 3600),
            Self::DefaultTime2Retain => Rule::Minimum(0, 3600),
            Self::ErrorRecoveryLevel => Rule::Minimum(0, 2),
            Self::TaskReporting => Rule::TaskReporting,
            Self::ProtocolLevel => Rule::Minimum(0, 31),
            Self::IFMarker | Self::OFMarker => Rule::Marker,
            Self::IFMarkInt | Self::OFMarkInt => Rule::MarkerInterval,
        }
    }

    /// What holds when nobody speaks of the key. Booleans are 1 and 0, and so is "CRC32C" and "None".
    pub(super) fn default_value(self) -> u32 {
        match self {
            Self::MaxConnections
            | Self::InitialR2T
            | Self::ImmediateData
            | Self::MaxOutstandingR2T
            | Self::DataPDUInOrder
            | Self::DataSequenceInOrder
            | Self::ProtocolLevel => 1,
            Self::MaxRecvDataSegmentLength => super::DEFAULT_MAX_RECV_DATA_SEGMENT_LENGTH,
            Self::MaxBurstLength => 262_144,
            Self::FirstBurstLength => 65_536,
            Self::DefaultTime2Wait => 2,
            Self::DefaultTime2Retain => 20,
            Self::HeaderDigest
            | Self::DataDigest
            | Self::ErrorRecoveryLevel
            | Self::TaskReporting
            | Self::IFMarker
            | Self::OFMarker
            | Self::IFMarkInt
            | Self::OFMarkInt => 0,
        }
    }

    /// Whether the key has no meaning in a discovery session, where it is answered with `Irrelevant`.
    pub(super) fn irrelevant_in_discovery(self) -> bool {
        matches!(
            self,
            Self::MaxConnections
                | Self::InitialR2T
                | Self::ImmediateData
                | Self::MaxBurstLength
                | Self::FirstBurstLength
                | Self::MaxOutstandingR2T
                | Self::DataPDUInOrder
                | Self::DataSequenceInOrder
                | Self::TaskReporting
        )
    }
}

//! Tags and other small fields that tie PDUs together (RFC 7143 §11.2.1).

use std::fmt;

macro_rules! tag {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// 0xffffffff: no tag.
            pub const RESERVED: Self = Self(0xffff_ffff);

            /// True when the field holds no tag.
            pub const fn is_reserved(self) -> bool {
                self.0 == Self::RESERVED.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.is_reserved() {
                    true => f.write_str("none"),
                    false => write!(f, "{:#x}", self.0),
                }
            }
        }
    };
}

tag! {
    /// Initiator Task Tag: the initiator's name for a task, unique in its session while the task lives (§11.2.1.8).
    InitiatorTaskTag
}
tag! {
    /// Target Transfer Tag: the target's name for an R2T, a NOP-In that wants an answer, or a text exchange (§11.7.4).
    TargetTransferTag
}

/// Target Session Identifying Handle: 0 asks for a new session (§11.12.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tsih(pub u16);

impl fmt::Display for Tsih {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// Connection ID within a session (§11.12.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cid(pub u16);

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The eight bytes of a LUN as they stand in a header; what they mean is SAM's business (crate `scsi`), not iSCSI's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LunField(pub [u8; 8]);

impl From<[u8; 8]> for LunField {
    fn from(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl From<LunField> for [u8; 8] {
    fn from(lun: LunField) -> Self {
        lun.0
    }
}

impl fmt::Display for LunField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", u64::from_be_bytes(self.0))
    }
}

/// How far a transfer fell short of, or would have gone beyond, what the command expected (§11.4.5), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Residual {
    /// Exactly the expected length.
    #[default]
    None,
    /// The U bit: so many bytes of the expected length were not transferred.
    Underflow(u32),
    /// The O bit: so many bytes were not transferred because the expected length was too short.
    Overflow(u32),
}

impl fmt::Display for Residual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Underflow(count) => write!(f, "underflow {count}"),
            Self::Overflow(count) => write!(f, "overflow {count}"),
        }
    }
}

impl Residual {
    /// Reads the two bits and the count that goes with them; `None` when both bits are set, which is an error.
    pub(crate) fn from_wire(overflow: bool, underflow: bool, count: u32) -> Option<Self> {
        match (overflow, underflow) {
            (false, false) => Some(Self::None),
            (false, true) => Some(Self::Underflow(count)),
            (true, false) => Some(Self::Overflow(count)),
            (true, true) => None,
        }
    }

    /// The O bit's and the U bit's mask, of the caller's choice, and the count.
    pub(crate) fn to_wire(self, overflow_mask: u8, underflow_mask: u8) -> (u8, u32) {
        match self {
            Self::None => (0, 0),
            Self::Underflow(count) => (underflow_mask, count),
            Self::Overflow(count) => (overflow_mask, count),
        }
    }
}

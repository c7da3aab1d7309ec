//! Serial numbers of 32 bits with the arithmetic of RFC 1982 (RFC 7143 §4.2.2): CmdSN, StatSN, DataSN, R2TSN.

use std::fmt;

/// A serial number modulo 2^32.
///
/// It has no `Ord` on purpose: serial numbers wrap, so "less than" only has a meaning between two numbers that are
/// less than 2^31 apart ([`is_before`](Self::is_before), [`is_after`](Self::is_after)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SerialNumber32(pub u32);

impl SerialNumber32 {
    /// The number as it goes onto the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number after this one; 0 follows 2^32 - 1.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The number `count` places further on.
    #[must_use]
    pub const fn advance(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// The number `count` places back.
    #[must_use]
    pub const fn retreat(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }

    /// How many places this number stands after `earlier`, modulo 2^32. The caller knows that it does.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// True when this number comes before `other` (RFC 1982 §3.2). Numbers exactly 2^31 apart have no order: false.
    pub const fn is_before(self, other: Self) -> bool {
        let distance = other.0.wrapping_sub(self.0);
        distance != 0 && distance < 1 << 31
    }

    /// True when this number comes after `other` (RFC 1982 §3.2). Numbers exactly 2^31 apart have no order: false.
    pub const fn is_after(self, other: Self) -> bool {
        other.is_before(self)
    }

    /// True when this number lies in `first..=last`, both ends counted; an interval with `last` just before `first` is empty.
    pub const fn is_within(self, first: Self, last: Self) -> bool {
        !self.is_before(first) && !self.is_after(last) && self.since(first) <= last.since(first)
    }
}

impl From<u32> for SerialNumber32 {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for SerialNumber32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_around_the_wrap() {
        let before = SerialNumber32(0xffff_fffe);
        let after = before.advance(3);
        assert_eq!(after, SerialNumber32(1));
        assert!(before.is_before(after) && after.is_after(before));
        assert!(!after.is_before(before) && !before.is_before(before));
        assert_eq!((after.since(before), after.retreat(3)), (3, before));
        assert_eq!(SerialNumber32(u32::MAX).next(), SerialNumber32(0));
    }

    #[test]
    fn half_the_circle_apart_there_is_no_order() {
        let (zero, half) = (SerialNumber32(0), SerialNumber32(1 << 31));
        assert!(!zero.is_before(half) && !zero.is_after(half));
        assert!(zero.is_before(half.retreat(1)) && zero.is_after(half.advance(1)));
    }

    #[test]
    fn intervals_hold_both_ends_and_may_wrap() {
        let (first, last) = (SerialNumber32(u32::MAX), SerialNumber32(1));
        let inside = [u32::MAX, 0, 1].map(|number| SerialNumber32(number).is_within(first, last));
        assert_eq!(inside, [true; 3]);
        let outside = [u32::MAX - 1, 2].map(|number| SerialNumber32(number).is_within(first, last));
        assert_eq!(outside, [false; 2]);
        // A shut command window: MaxCmdSN = ExpCmdSN - 1.
        assert!(!first.is_within(first, first.retreat(1)));
    }
}

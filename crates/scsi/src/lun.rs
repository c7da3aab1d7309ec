//! Logical unit numbers: the 8 bytes that address a logical unit (SAM-5 4.7).

use std::fmt;

/// The 8-byte logical unit number as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Lun([u8; 8]);

impl Lun {
    /// The well known logical unit REPORT LUNS (SAM-5 4.7.7.5.4).
    pub const REPORT_LUNS: Lun = Lun([0xc1, 0x01, 0, 0, 0, 0, 0, 0]);

    /// The highest number that a single-level LUN can carry: 14 bits of flat space addressing.
    pub const MAX_NUMBER: u16 = 0x3fff;

    /// Takes the bytes as they came.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes as they go out.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// A single-level LUN: peripheral device addressing below 256, flat space addressing above (SAM-5 4.7.7.2, .3),
    /// which is what Linux and every array use. `None` above [`Lun::MAX_NUMBER`].
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        if number > Self::MAX_NUMBER {
            return None;
        }
        let [high, low] = number.to_be_bytes();
        let method = if number < 256 { 0x00 } else { 0x40 };
        Some(Self([method | high, low, 0, 0, 0, 0, 0, 0]))
    }

    /// The number of a single-level LUN in peripheral (bus 0), flat space or logical unit (bus 0, target 0) addressing;
    /// `None` for everything else, such as hierarchical and well known LUNs.
    #[must_use]
    pub fn number(self) -> Option<u16> {
        if self.0[2..] != [0; 6] {
            return None;
        }
        let [high, low] = [self.0[0], self.0[1]];
        match high >> 6 {
            0 if high == 0 => Some(u16::from(low)),
            1 => Some(u16::from_be_bytes([high & 0x3f, low])),
            2 if high == 0x80 && low < 32 => Some(u16::from(low)),
            _ => None,
        }
    }
}

impl fmt::Display for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{number}"),
            None => write!(f, "0x{}", crate::bytes::hex(&self.0)),
        }
    }
}

impl fmt::Debug for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lun({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_256_use_peripheral_addressing() {
        assert_eq!(Lun::from_number(5).unwrap().to_bytes(), [0, 5, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Lun::from_number(5).unwrap().number(), Some(5));
    }

    #[test]
    fn numbers_from_256_use_flat_space() {
        assert_eq!(
            Lun::from_number(0x1234).unwrap().to_bytes(),
            [0x52, 0x34, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(Lun::from_number(0x1234).unwrap().number(), Some(0x1234));
        assert_eq!(Lun::from_number(0x4000), None);
    }

    #[test]
    fn flat_space_is_also_read_for_small_numbers() {
        assert_eq!(Lun::from_bytes([0x40, 7, 0, 0, 0, 0, 0, 0]).number(), Some(7));
    }

    #[test]
    fn hierarchical_and_well_known_luns_have_no_number() {
        assert_eq!(Lun::from_bytes([0, 1, 0, 2, 0, 0, 0, 0]).number(), None);
        assert_eq!(Lun::from_bytes([1, 1, 0, 0, 0, 0, 0, 0]).number(), None);
        assert_eq!(Lun::REPORT_LUNS.number(), None);
        assert_eq!(Lun::REPORT_LUNS.to_string(), "0xc101000000000000");
    }
}

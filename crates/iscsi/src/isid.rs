//! The initiator's part of a session identifier, ISID (RFC 7143 §11.12.5).

use std::fmt;
use std::str::FromStr;

/// The 48-bit ISID: who names it (two type bits and their fields), and a qualifier.
///
/// InitiatorName + ISID + TargetPortalGroupTag name a session: a login with the same three and TSIH 0 reinstates it
/// (§6.3.5). So an ISID is chosen once, at random, and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Isid(pub [u8; 6]);

/// The first two bits of an ISID: what the next bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsidType {
    /// 00b: an IEEE OUI (22 bits), then the qualifier.
    Oui,
    /// 01b: an IANA enterprise number, then the qualifier.
    EnterpriseNumber,
    /// 10b: 24 random bits, then the qualifier.
    Random,
    /// 11b: reserved.
    Reserved,
}

impl Isid {
    /// An ISID of the random type (T = 10b): 24 bits from the caller's random source and a qualifier.
    pub const fn random(random: [u8; 3], qualifier: u16) -> Self {
        let q = qualifier.to_be_bytes();
        Self([0x80, random[0], random[1], random[2], q[0], q[1]])
    }

    /// The two type bits.
    pub const fn isid_type(self) -> IsidType {
        match self.0[0] >> 6 {
            0 => IsidType::Oui,
            1 => IsidType::EnterpriseNumber,
            2 => IsidType::Random,
            _ => IsidType::Reserved,
        }
    }

    /// The last two bytes, which tell the sessions of one initiator apart.
    pub const fn qualifier(self) -> u16 {
        u16::from_be_bytes([self.0[4], self.0[5]])
    }
}

impl fmt::Display for Isid {
    /// Twelve hexadecimal digits in wire order, as Linux and most arrays show an ISID.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no ISID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ISID has exactly twelve hexadecimal digits (such as 800a1b2c0001), this text has not")]
pub struct ParseIsidError;

impl FromStr for Isid {
    type Err = ParseIsidError;

    /// Reads the twelve hexadecimal digits that `Display` writes, with or without `0x` in front.
    fn from_str(text: &str) -> Result<Self, ParseIsidError> {
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        if digits.len() != 12 {
            return Err(ParseIsidError);
        }
        let mut isid = [0; 6];
        for (byte, pair) in isid.iter_mut().zip(digits.chunks_exact(2)) {
            let high = (pair[0] as char).to_digit(16).ok_or(ParseIsidError)?;
            let low = (pair[1] as char).to_digit(16).ok_or(ParseIsidError)?;
            *byte = (high << 4 | low) as u8;
        }
        Ok(Self(isid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_random_type() {
        let isid = Isid::random([0x0a, 0x1b, 0x2c], 0x0102);
        assert_eq!(isid.0, [0x80, 0x0a, 0x1b, 0x2c, 0x01, 0x02]);
        assert_eq!((isid.isid_type(), isid.qualifier()), (IsidType::Random, 0x0102));
        assert_eq!(isid.to_string(), "800a1b2c0102");
        assert_eq!("800A1B2C0102".parse(), Ok(isid));
        assert_eq!("0x800a1b2c0102".parse(), Ok(isid));
    }

    #[test]
    fn types() {
        let types = [0x00, 0x40, 0x80, 0xc0].map(|first| Isid([first, 0, 2, 0x3d, 0, 0]).isid_type());
        assert_eq!(
            types,
            [
                IsidType::Oui,
                IsidType::EnterpriseNumber,
                IsidType::Random,
                IsidType::Reserved
            ]
        );
    }

    #[test]
    fn bad_texts() {
        for text in [
            "",
            "0x",
            "800a1b2c010",
            "800a1b2c01020",
            "800a1b2c010g",
            "+00a1b2c0102",
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
        ] {
            assert_eq!(text.parse::<Isid>(), Err(ParseIsidError), "{text}");
        }
    }
}

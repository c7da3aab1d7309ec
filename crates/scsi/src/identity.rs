//! Which logical unit this is: the best designator of VPD page 83h as a text that can be compared and stored.

use std::fmt;
use std::str::FromStr;

use crate::bytes::hex;
use crate::vpd::{Association, Designator, DesignatorKind};

/// Longest text of a [`Wwid`]: the longest designator has 255 bytes, each of which may be escaped.
const MAX_LEN: usize = 5 + 3 * 255;

/// The canonical text of a logical unit's best designator: `naa.6001…` and `eui.…` in lower-case hexadecimal digits,
/// `uuid.…` in its usual form, `name.…` and `t10.…` as ASCII with everything else escaped as `%xx`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wwid(String);

/// A text that is no WWID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no WWID: expected naa.HEX, eui.HEX, uuid.UUID, name.NAME or t10.VENDOR… as `longshore show` prints it"
)]
pub struct WwidError {
    /// The text, cut to a sensible length.
    pub text: String,
}

impl Wwid {
    /// The WWID of the logical unit that has these designators: only those whose association is the logical unit
    /// count, NAA 6 before NAA 5 and 2, EUI-64, UUID, SCSI name string, T10 vendor identification, NAA 3 (locally
    /// assigned). Of equals, the first. `None`: the identity is unproven.
    #[must_use]
    pub fn choose(designators: &[Designator]) -> Option<Wwid> {
        designators
            .iter()
            .filter(|designator| designator.association == Association::LogicalUnit)
            .filter_map(|designator| ranked(&designator.kind))
            .min_by_key(|&(rank, _)| rank) // the first of several minima
            .map(|(_, text)| Wwid(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Rank, 0 the best, and text of a designator that can be an identity.
fn ranked(kind: &DesignatorKind) -> Option<(u8, String)> {
    match kind {
        DesignatorKind::Naa(bytes) if bytes.iter().any(|&b| b != 0) => {
            let rank = match bytes.first()? >> 4 {
                6 => 0,
                5 => 1,
                2 => 2,
                3 => 7,
                _ => return None,
            };
            Some((rank, format!("naa.{}", hex(bytes))))
        }
        DesignatorKind::Eui64(bytes) if bytes.iter().any(|&b| b != 0) => {
            Some((3, format!("eui.{}", hex(bytes))))
        }
        DesignatorKind::Uuid(uuid) if *uuid != [0; 16] => Some((4, format!("uuid.{}", uuid_text(uuid)))),
        DesignatorKind::ScsiNameString(name) if !name.bytes().all(is_fill) => {
            Some((5, format!("name.{}", escaped(name.as_bytes()))))
        }
        // The vendor alone, or followed by nothing but fill, is the same for all of its units.
        DesignatorKind::T10VendorId(bytes) if bytes.iter().skip(8).any(|&b| !is_fill(b)) => {
            Some((6, format!("t10.{}", escaped(bytes))))
        }
        _ => None,
    }
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let digits = hex(uuid);
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

fn is_fill(byte: u8) -> bool {
    matches!(byte, b' ' | 0)
}

/// ASCII without its fill at the end; what is not a letter, a digit or one of a few marks becomes `%xx`.
fn escaped(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .rposition(|&b| !is_fill(b))
        .map_or(0, |last| last + 1);
    bytes[..end].iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._:,+@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&hex(&[byte]));
        }
        text
    })
}

impl FromStr for Wwid {
    type Err = WwidError;

    /// Reads the canonical text again; upper-case hexadecimal digits of `naa.`, `eui.` and `uuid.` are accepted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || WwidError {
            text: text.chars().take(80).collect(),
        };
        let (kind, value) = text.split_once('.').ok_or_else(error)?;
        let is_hex = |value: &str| value.bytes().all(|b| b.is_ascii_hexdigit());
        let canonical = match kind {
            "naa" if is_hex(value) && matches!(value.len(), 16 | 32) => value.to_ascii_lowercase(),
            "eui" if is_hex(value) && matches!(value.len(), 16 | 24 | 32) => value.to_ascii_lowercase(),
            "uuid" if value.len() == 36 && is_uuid(value) => value.to_ascii_lowercase(),
            "name" | "t10" if !value.is_empty() && is_escaped(value) => value.to_owned(),
            _ => return Err(error()),
        };
        if text.len() > MAX_LEN {
            Err(error())
        } else {
            Ok(Wwid(format!("{kind}.{canonical}")))
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, b)| {
        if matches!(at, 8 | 13 | 18 | 23) {
            b == b'-'
        } else {
            b.is_ascii_hexdigit()
        }
    })
}

fn is_escaped(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._:,+@%".contains(&b))
}

impl fmt::Display for Wwid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Wwid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wwid({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(kind: DesignatorKind) -> Designator {
        Designator::of_logical_unit(kind)
    }

    fn naa(first: u8, len: usize) -> Designator {
        let mut bytes = vec![0xab; len];
        bytes[0] = first;
        unit(DesignatorKind::Naa(bytes))
    }

    #[test]
    fn the_order_of_choice() {
        let mut designators = vec![
            unit(DesignatorKind::T10VendorId(b"IET     00010001".to_vec())),
            naa(0x30, 8),
            unit(DesignatorKind::ScsiNameString("iqn.2026-11.test:x".into())),
            unit(DesignatorKind::Uuid([0x11; 16])),
            unit(DesignatorKind::Eui64(vec![2; 8])),
            naa(0x20, 8),
            naa(0x50, 8),
            naa(0x60, 16),
        ];
        let expected = [
            "naa.60ababababababababababababababab",
            "naa.50ababababababab",
            "naa.20ababababababab",
            "eui.0202020202020202",
            "uuid.11111111-1111-1111-1111-111111111111",
            "name.iqn.2026-11.test:x",
        ];
        for text in expected {
            let wwid = Wwid::choose(&designators).unwrap();
            assert_eq!(wwid.as_str(), text);
            assert_eq!(text.parse(), Ok(wwid));
            designators.pop();
        }
        assert_eq!(
            Wwid::choose(&designators).unwrap().as_str(),
            "t10.IET%20%20%20%20%2000010001"
        );
        assert_eq!(
            Wwid::choose(&designators[1..]).unwrap().as_str(),
            "naa.30ababababababab"
        );
    }

    #[test]
    fn only_the_logical_units_own_designators_count() {
        let port = Designator::of_target_port(DesignatorKind::Naa(vec![0x50; 8]));
        assert_eq!(Wwid::choose(&[port]), None);
        assert_eq!(Wwid::choose(&[]), None);
    }

    #[test]
    fn empty_designators_prove_nothing() {
        assert_eq!(Wwid::choose(&[unit(DesignatorKind::Naa(vec![0; 16]))]), None);
        for kind in [
            DesignatorKind::T10VendorId(b"VENDOR  ".to_vec()),
            DesignatorKind::T10VendorId(b"VENDOR          ".to_vec()),
            DesignatorKind::T10VendorId(b"VENDOR  \0\0\0\0".to_vec()),
            DesignatorKind::T10VendorId(Vec::new()),
            DesignatorKind::ScsiNameString("  ".into()),
            DesignatorKind::Eui64(Vec::new()),
            DesignatorKind::Naa(Vec::new()),
        ] {
            assert_eq!(Wwid::choose(&[unit(kind.clone())]), None, "{kind:?}");
        }
    }

    #[test]
    fn hostile_text_cannot_leave_its_alphabet() {
        let wwid = Wwid::choose(&[unit(DesignatorKind::T10VendorId(b"../../et\n\x1b[c".to_vec()))]).unwrap();
        assert_eq!(wwid.as_str(), "t10...%2f..%2fet%0a%1b%5bc");
        assert_eq!(wwid.to_string().parse(), Ok(wwid));
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            "", "naa", "naa.", "naa.60", "eui.zz", "uuid.1", "t10.", "t10.a b", "name.a/b", "wwn.5000",
        ] {
            assert!(text.parse::<Wwid>().is_err(), "{text}");
        }
        assert_eq!(
            "naa.50ABCDEF00000000".parse::<Wwid>().unwrap().as_str(),
            "naa.50abcdef00000000"
        );
    }
}

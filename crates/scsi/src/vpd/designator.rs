//! Designation descriptors of VPD page 83h (SPC-5 7.7.6).

use super::VpdError;

/// More designators than this in one page are not looked at.
pub const MAX_DESIGNATORS: usize = 128;

/// What a designator names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // The standard's own names.
pub enum Association {
    LogicalUnit,
    TargetPort,
    TargetDevice,
    Reserved,
}

/// DESIGNATOR TYPE with the types' own contents.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DesignatorKind {
    /// T10 vendor identification: 8 bytes of vendor, then what the vendor likes.
    T10VendorId(Vec<u8>),
    /// EUI-64 based: 8, 12 or 16 bytes.
    Eui64(Vec<u8>),
    /// NAA: 8 bytes, or 16 for NAA 6.
    Naa(Vec<u8>),
    /// Relative target port identifier.
    RelativeTargetPort(u32),
    /// Target port group.
    TargetPortGroup(u16),
    /// SCSI name string: UTF-8, ended and filled by NUL.
    ScsiNameString(String),
    /// UUID (RFC 9562).
    Uuid([u8; 16]),
    /// A type or a length that is not known here.
    Other {
        /// DESIGNATOR TYPE.
        kind: u8,
        /// DESIGNATOR.
        bytes: Vec<u8>,
    },
}

/// One designation descriptor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Designator {
    /// What it names.
    pub association: Association,
    /// The name.
    pub kind: DesignatorKind,
}

const BINARY: u8 = 1;
const ASCII: u8 = 2;
const UTF_8: u8 = 3;
/// PIV with PROTOCOL IDENTIFIER 5 (iSCSI), for designators of a target port or device.
const ISCSI: u8 = 5;

impl Designator {
    /// A designator of the logical unit.
    #[must_use]
    pub const fn of_logical_unit(kind: DesignatorKind) -> Self {
        Self {
            association: Association::LogicalUnit,
            kind,
        }
    }

    /// A designator of the target port.
    #[must_use]
    pub const fn of_target_port(kind: DesignatorKind) -> Self {
        Self {
            association: Association::TargetPort,
            kind,
        }
    }

    /// The descriptor's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (code_set, kind, value) = match &self.kind {
            DesignatorKind::T10VendorId(bytes) => (ASCII, 1, bytes.clone()),
            DesignatorKind::Eui64(bytes) => (BINARY, 2, bytes.clone()),
            DesignatorKind::Naa(bytes) => (BINARY, 3, bytes.clone()),
            DesignatorKind::RelativeTargetPort(port) => (BINARY, 4, port.to_be_bytes().to_vec()),
            DesignatorKind::TargetPortGroup(group) => {
                let [high, low] = group.to_be_bytes();
                (BINARY, 5, vec![0, 0, high, low])
            }
            DesignatorKind::ScsiNameString(name) => (UTF_8, 8, nul_filled(name)),
            DesignatorKind::Uuid(uuid) => (BINARY, 0xa, [&[0x10, 0], uuid.as_slice()].concat()),
            DesignatorKind::Other { kind, bytes } => (BINARY, kind & 0x0f, bytes.clone()),
        };
        let association = self.association as u8;
        let (protocol, valid) = if association == 0 {
            (0, 0)
        } else {
            (ISCSI << 4, 0x80)
        };
        let mut bytes = vec![
            protocol | code_set,
            valid | association << 4 | kind,
            0,
            value.len().min(255) as u8,
        ];
        bytes.extend_from_slice(&value[..value.len().min(255)]);
        bytes
    }
}

/// SCSI name strings end with a NUL and are filled to a multiple of four bytes (SPC-5 7.7.6.11).
fn nul_filled(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize((bytes.len() / 4 + 1) * 4, 0);
    bytes
}

fn kind_of(kind: u8, value: &[u8]) -> DesignatorKind {
    let other = || DesignatorKind::Other {
        kind,
        bytes: value.to_vec(),
    };
    match (kind, value) {
        (1, _) => DesignatorKind::T10VendorId(value.to_vec()),
        (2, _) if matches!(value.len(), 8 | 12 | 16) => DesignatorKind::Eui64(value.to_vec()),
        (3, [first, ..]) if value.len() == if first >> 4 == 6 { 16 } else { 8 } => {
            DesignatorKind::Naa(value.to_vec())
        }
        (4, &[a, b, c, d]) => DesignatorKind::RelativeTargetPort(u32::from_be_bytes([a, b, c, d])),
        (5, &[_, _, high, low]) => DesignatorKind::TargetPortGroup(u16::from_be_bytes([high, low])),
        (8, _) => match std::str::from_utf8(value) {
            Ok(name) => DesignatorKind::ScsiNameString(name.trim_end_matches('\0').to_owned()),
            Err(_) => other(),
        },
        (0xa, [version, _, uuid @ ..]) if version >> 4 == 1 => {
            uuid.try_into().map_or_else(|_| other(), DesignatorKind::Uuid)
        }
        _ => other(),
    }
}

pub(super) fn parse_all(body: &[u8]) -> Result<Vec<Designator>, VpdError> {
    let mut designators = Vec::new();
    let mut at = 0;
    while at < body.len() && designators.len() < MAX_DESIGNATORS {
        let broken = VpdError::BrokenDesignator { at: at + 4 };
        let &[_, flags, _, len] = body[at..].first_chunk::<4>().ok_or(broken)?;
        let end = at + 4 + usize::from(len);
        let value = body.get(at + 4..end).ok_or(broken)?;
        let association = match flags >> 4 & 3 {
            0 => Association::LogicalUnit,
            1 => Association::TargetPort,
            2 => Association::TargetDevice,
            _ => Association::Reserved,
        };
        designators.push(Designator {
            association,
            kind: kind_of(flags & 0x0f, value),
        });
        at = end;
    }
    Ok(designators)
}

#[cfg(test)]
mod tests {
    use super::super::{device_identification, parse_device_identification};
    use super::*;

    #[test]
    fn every_kind_both_ways() {
        let designators = [
            Designator::of_logical_unit(DesignatorKind::Naa(vec![
                0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
            ])),
            Designator::of_logical_unit(DesignatorKind::Naa(vec![0x30, 1, 2, 3, 4, 5, 6, 7])),
            Designator::of_logical_unit(DesignatorKind::Eui64(vec![9; 8])),
            Designator::of_logical_unit(DesignatorKind::T10VendorId(b"LONGSHORdisk one".to_vec())),
            Designator::of_logical_unit(DesignatorKind::Uuid([7; 16])),
            Designator::of_target_port(DesignatorKind::ScsiNameString(
                "iqn.2026-11.test:x,t,0x0001".into(),
            )),
            Designator::of_target_port(DesignatorKind::RelativeTargetPort(1)),
            Designator::of_target_port(DesignatorKind::TargetPortGroup(1)),
        ];
        let bytes = device_identification(0, &designators);
        assert_eq!(parse_device_identification(&bytes), Ok(designators.to_vec()));
    }

    #[test]
    fn bytes_of_a_naa_and_of_a_port() {
        let naa = Designator::of_logical_unit(DesignatorKind::Naa(vec![0x30, 1, 2, 3, 4, 5, 6, 7]));
        assert_eq!(naa.to_bytes(), [1, 3, 0, 8, 0x30, 1, 2, 3, 4, 5, 6, 7]);
        let port = Designator::of_target_port(DesignatorKind::RelativeTargetPort(2));
        assert_eq!(port.to_bytes(), [0x51, 0x94, 0, 4, 0, 0, 0, 2]);
        let name = Designator::of_target_port(DesignatorKind::ScsiNameString("iqn.".into()));
        assert_eq!(
            name.to_bytes(),
            [0x53, 0x98, 0, 8, b'i', b'q', b'n', b'.', 0, 0, 0, 0]
        );
    }

    #[test]
    fn a_designator_over_the_end_is_an_error() {
        let bytes = super::super::page(0, 0x83, &[1, 3, 0, 8, 0x30, 1, 2, 3]);
        assert_eq!(
            parse_device_identification(&bytes),
            Err(VpdError::BrokenDesignator { at: 4 })
        );
        let bytes = super::super::page(0, 0x83, &[1, 3]);
        assert_eq!(
            parse_device_identification(&bytes),
            Err(VpdError::BrokenDesignator { at: 4 })
        );
    }

    #[test]
    fn a_naa_of_the_wrong_length_is_no_naa() {
        let bytes = super::super::page(0, 0x83, &[1, 3, 0, 8, 0x60, 1, 2, 3, 4, 5, 6, 7]);
        let designators = parse_device_identification(&bytes).unwrap();
        assert!(matches!(
            designators[0].kind,
            DesignatorKind::Other { kind: 3, .. }
        ));
    }
}

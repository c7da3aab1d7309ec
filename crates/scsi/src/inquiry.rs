//! Standard INQUIRY data (SPC-5 6.7.2).

use crate::bytes::{ascii_field, ascii_text, u8_at};

/// Length of the standard data that this crate emits: with version descriptors' room left out.
pub const STANDARD_LEN: usize = 96;

/// Peripheral qualifier and device type 1Fh/3: no device can be at this LUN (SPC-5 table 56).
pub const NO_DEVICE: u8 = 0x7f;
/// Peripheral device type of a direct-access block device.
pub const DIRECT_ACCESS: u8 = 0x00;

/// What a logical unit says of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StandardInquiry {
    /// Peripheral qualifier (high three bits) and device type (low five bits).
    pub peripheral: u8,
    /// RMB.
    pub removable: bool,
    /// VERSION: 06h for SPC-4, 07h for SPC-5.
    pub version: u8,
    /// CMDQUE: the task set holds more than one command.
    pub command_queueing: bool,
    /// TPGS: how target port groups are managed; 0 without asymmetric access.
    pub target_port_group_support: u8,
    /// 3PC: third-party copy commands.
    pub third_party_copy: bool,
    /// PROTECT: protection information.
    pub protect: bool,
    /// T10 VENDOR IDENTIFICATION, at most 8 ASCII characters.
    pub vendor: String,
    /// PRODUCT IDENTIFICATION, at most 16.
    pub product: String,
    /// PRODUCT REVISION LEVEL, at most 4.
    pub revision: String,
    /// Version descriptors: the standards that are claimed (SPC-5 table 60), at most 8.
    pub version_descriptors: Vec<u16>,
}

/// Fewer bytes than the 36 that every standard INQUIRY answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("standard INQUIRY data of {len} bytes; at least 36 are needed")]
pub struct InquiryTooShort {
    /// Length that came.
    pub len: usize,
}

impl StandardInquiry {
    /// Peripheral device type.
    #[must_use]
    pub fn device_type(&self) -> u8 {
        self.peripheral & 0x1f
    }

    /// Whether a device is connected to this LUN (peripheral qualifier 000b).
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.peripheral >> 5 == 0
    }

    /// The bytes: 96, with HISUP, response data format 2 and CMDQUE.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; STANDARD_LEN] {
        let mut bytes = [0; STANDARD_LEN];
        bytes[0] = self.peripheral;
        bytes[1] = u8::from(self.removable) << 7;
        bytes[2] = self.version;
        bytes[3] = 0x12;
        bytes[4] = (STANDARD_LEN - 5) as u8;
        bytes[5] = (self.target_port_group_support & 3) << 4
            | u8::from(self.third_party_copy) << 3
            | u8::from(self.protect);
        bytes[7] = u8::from(self.command_queueing) << 1;
        bytes[8..16].copy_from_slice(&ascii_field::<8>(&self.vendor));
        bytes[16..32].copy_from_slice(&ascii_field::<16>(&self.product));
        bytes[32..36].copy_from_slice(&ascii_field::<4>(&self.revision));
        for (place, descriptor) in bytes[58..74].chunks_exact_mut(2).zip(&self.version_descriptors) {
            place.copy_from_slice(&descriptor.to_be_bytes());
        }
        bytes
    }

    /// Reads standard INQUIRY data.
    ///
    /// # Errors
    /// [`InquiryTooShort`] below 36 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, InquiryTooShort> {
        let head: &[u8; 36] = bytes.first_chunk().ok_or(InquiryTooShort { len: bytes.len() })?;
        let descriptors = bytes.get(58..bytes.len().min(74)).unwrap_or(&[]);
        Ok(Self {
            peripheral: head[0],
            removable: head[1] & 0x80 != 0,
            version: head[2],
            command_queueing: head[7] & 0x02 != 0,
            target_port_group_support: head[5] >> 4 & 3,
            third_party_copy: head[5] & 0x08 != 0,
            protect: head[5] & 0x01 != 0,
            vendor: ascii_text(&head[8..16]),
            product: ascii_text(&head[16..32]),
            revision: ascii_text(&head[32..36]),
            version_descriptors: descriptors
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .filter(|&descriptor| descriptor != 0)
                .collect(),
        })
    }
}

/// The peripheral byte of any INQUIRY answer, standard or VPD; `None` for an empty one.
#[must_use]
pub fn peripheral(bytes: &[u8]) -> Option<u8> {
    u8_at(bytes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> StandardInquiry {
        StandardInquiry {
            peripheral: DIRECT_ACCESS,
            removable: false,
            version: 6,
            command_queueing: true,
            target_port_group_support: 0,
            third_party_copy: false,
            protect: false,
            vendor: "LONGSHOR".into(),
            product: "VIRTUAL-DISK".into(),
            revision: "1".into(),
            version_descriptors: vec![0x0960],
        }
    }

    #[test]
    fn both_ways() {
        let bytes = sample().to_bytes();
        assert_eq!(bytes[..8], [0, 0, 6, 0x12, 91, 0, 0, 2]);
        assert_eq!(&bytes[8..36], b"LONGSHORVIRTUAL-DISK    1   ");
        assert_eq!(bytes[58..62], [0x09, 0x60, 0, 0]);
        assert_eq!(StandardInquiry::parse(&bytes), Ok(sample()));
        let short = StandardInquiry {
            version_descriptors: vec![],
            ..sample()
        };
        assert_eq!(StandardInquiry::parse(&bytes[..36]), Ok(short));
    }

    #[test]
    fn the_answer_of_an_absent_lun_is_seen() {
        let inquiry = StandardInquiry {
            peripheral: NO_DEVICE,
            ..sample()
        };
        let parsed = StandardInquiry::parse(&inquiry.to_bytes()).unwrap();
        assert!(!parsed.is_connected());
        assert_eq!(parsed.device_type(), 0x1f);
    }

    #[test]
    fn hostile_text_is_made_printable() {
        let mut bytes = sample().to_bytes();
        bytes[8..12].copy_from_slice(&[0x1b, b'[', 0x80, 0]);
        assert_eq!(StandardInquiry::parse(&bytes).unwrap().vendor, "?[? SHOR");
        assert_eq!(
            StandardInquiry::parse(&bytes[..35]),
            Err(InquiryTooShort { len: 35 })
        );
    }
}

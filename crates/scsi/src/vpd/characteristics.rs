//! VPD page B1h, block device characteristics (SBC-4 6.6.2).

use super::{BLOCK_DEVICE_CHARACTERISTICS, VpdError, fixed_body, page};
use crate::bytes::u16_at;

/// What kind of medium it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BlockDeviceCharacteristics {
    /// MEDIUM ROTATION RATE: 0 not told, 1 not rotating, else revolutions per minute.
    pub medium_rotation_rate: u16,
    /// FUAB: SYNCHRONIZE CACHE and FUA follow SBC-3 and later.
    pub force_unit_access_behavior: bool,
    /// VBULS: VERIFY with BYTCHK 00b reads unmapped blocks as SBC-4 says.
    pub verify_unmapped_supported: bool,
}

impl BlockDeviceCharacteristics {
    /// The whole page.
    #[must_use]
    pub fn to_page(&self, peripheral: u8) -> Vec<u8> {
        let mut body = [0; 0x3c];
        body[..2].copy_from_slice(&self.medium_rotation_rate.to_be_bytes());
        body[4] = u8::from(self.force_unit_access_behavior) << 1 | u8::from(self.verify_unmapped_supported);
        page(peripheral, BLOCK_DEVICE_CHARACTERISTICS, &body)
    }

    /// Reads the page.
    ///
    /// # Errors
    /// [`VpdError`] of the header, or fewer than 5 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, VpdError> {
        let body = fixed_body(BLOCK_DEVICE_CHARACTERISTICS, bytes, 5)?;
        Ok(Self {
            medium_rotation_rate: u16_at(body, 0).unwrap_or(0),
            force_unit_access_behavior: body[4] & 2 != 0,
            verify_unmapped_supported: body[4] & 1 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let characteristics = BlockDeviceCharacteristics {
            medium_rotation_rate: 1,
            force_unit_access_behavior: true,
            verify_unmapped_supported: false,
        };
        let bytes = characteristics.to_page(0);
        assert_eq!(bytes[..9], [0, 0xb1, 0, 0x3c, 0, 1, 0, 0, 2]);
        assert_eq!(BlockDeviceCharacteristics::parse(&bytes), Ok(characteristics));
        assert!(BlockDeviceCharacteristics::parse(&bytes[..20]).is_err());
    }
}

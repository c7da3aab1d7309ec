//! VPD page B0h, block limits (SBC-4 6.6.4). Lengths are in blocks; 0 means that the device gives no limit.

use super::{BLOCK_LIMITS, VpdError, fixed_body, page};
use crate::bytes::{u8_at, u16_at, u32_at, u64_at};

const LEN: usize = 0x3c;

/// What one command may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BlockLimits {
    /// WSNZ: WRITE SAME with 0 blocks ("to the end") is refused.
    pub write_same_non_zero: bool,
    /// Blocks of one COMPARE AND WRITE.
    pub max_compare_and_write_blocks: u8,
    /// Granularity of transfers that run well.
    pub optimal_transfer_granularity: u16,
    /// Blocks of one READ, WRITE and the like.
    pub max_transfer_blocks: u32,
    /// Largest transfer that runs well.
    pub optimal_transfer_blocks: u32,
    /// Blocks of one UNMAP.
    pub max_unmap_blocks: u32,
    /// Descriptors of one UNMAP.
    pub max_unmap_descriptors: u32,
    /// Granularity in which blocks can be unmapped.
    pub optimal_unmap_granularity: u32,
    /// First block that is aligned to that granularity, where it is told.
    pub unmap_granularity_alignment: Option<u32>,
    /// Blocks of one WRITE SAME.
    pub max_write_same_blocks: u64,
}

impl BlockLimits {
    /// The whole page.
    #[must_use]
    pub fn to_page(&self, peripheral: u8) -> Vec<u8> {
        let mut body = [0; LEN];
        body[0] = u8::from(self.write_same_non_zero);
        body[1] = self.max_compare_and_write_blocks;
        body[2..4].copy_from_slice(&self.optimal_transfer_granularity.to_be_bytes());
        body[4..8].copy_from_slice(&self.max_transfer_blocks.to_be_bytes());
        body[8..12].copy_from_slice(&self.optimal_transfer_blocks.to_be_bytes());
        body[16..20].copy_from_slice(&self.max_unmap_blocks.to_be_bytes());
        body[20..24].copy_from_slice(&self.max_unmap_descriptors.to_be_bytes());
        body[24..28].copy_from_slice(&self.optimal_unmap_granularity.to_be_bytes());
        if let Some(alignment) = self.unmap_granularity_alignment {
            body[28..32].copy_from_slice(&(alignment | 0x8000_0000).to_be_bytes());
        }
        body[32..40].copy_from_slice(&self.max_write_same_blocks.to_be_bytes());
        page(peripheral, BLOCK_LIMITS, &body)
    }

    /// Reads the page. Older devices return only its first 12 bytes of content: the rest counts as 0.
    ///
    /// # Errors
    /// [`VpdError`] of the header, or fewer than 12 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, VpdError> {
        let body = fixed_body(BLOCK_LIMITS, bytes, 12)?;
        let alignment = u32_at(body, 28).unwrap_or(0);
        Ok(Self {
            write_same_non_zero: body[0] & 1 != 0,
            max_compare_and_write_blocks: u8_at(body, 1).unwrap_or(0),
            optimal_transfer_granularity: u16_at(body, 2).unwrap_or(0),
            max_transfer_blocks: u32_at(body, 4).unwrap_or(0),
            optimal_transfer_blocks: u32_at(body, 8).unwrap_or(0),
            max_unmap_blocks: u32_at(body, 16).unwrap_or(0),
            max_unmap_descriptors: u32_at(body, 20).unwrap_or(0),
            optimal_unmap_granularity: u32_at(body, 24).unwrap_or(0),
            unmap_granularity_alignment: (alignment & 0x8000_0000 != 0).then_some(alignment & 0x7fff_ffff),
            max_write_same_blocks: u64_at(body, 32).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let limits = BlockLimits {
            write_same_non_zero: true,
            max_compare_and_write_blocks: 1,
            optimal_transfer_granularity: 8,
            max_transfer_blocks: 0x4000,
            optimal_transfer_blocks: 0x800,
            max_unmap_blocks: 0x20_0000,
            max_unmap_descriptors: 256,
            optimal_unmap_granularity: 8,
            unmap_granularity_alignment: Some(0),
            max_write_same_blocks: 0x1_0000,
        };
        let bytes = limits.to_page(0);
        assert_eq!(bytes.len(), 64);
        assert_eq!(
            bytes[..16],
            [0, 0xb0, 0, 0x3c, 1, 1, 0, 8, 0, 0, 0x40, 0, 0, 0, 8, 0]
        );
        assert_eq!(
            bytes[20..36],
            [0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8, 0x80, 0, 0, 0]
        );
        assert_eq!(bytes[36..44], [0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(BlockLimits::parse(&bytes), Ok(limits));
    }

    #[test]
    fn the_short_page_of_older_devices_is_read() {
        let bytes = page(0, BLOCK_LIMITS, &[0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5]);
        let limits = BlockLimits::parse(&bytes).unwrap();
        assert_eq!((limits.max_transfer_blocks, limits.max_unmap_blocks), (9, 0));
        assert!(BlockLimits::parse(&page(0, BLOCK_LIMITS, &[0; 11])).is_err());
    }
}

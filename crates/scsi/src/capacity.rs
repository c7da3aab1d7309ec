//! READ CAPACITY(10) and (16) parameter data (SBC-4 5.20, 5.21).

use crate::bytes::{u8_at, u32_at, u64_at};

/// Length of the READ CAPACITY(16) parameter data.
pub const READ_CAPACITY_16_LEN: usize = 32;
/// Length of the READ CAPACITY(10) parameter data.
pub const READ_CAPACITY_10_LEN: usize = 8;

/// How large the medium is and how it is cut into blocks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capacity {
    /// Number of logical blocks.
    pub blocks: u64,
    /// Length of a logical block.
    pub block_size_bytes: u32,
    /// Logical blocks per physical block, as an exponent of 2.
    pub physical_block_exponent: u8,
    /// First logical block that begins a physical block.
    pub lowest_aligned_lba: u16,
    /// LBPME: blocks may be unmapped.
    pub provisioning_managed: bool,
    /// LBPRZ: unmapped blocks read as zeros.
    pub unmapped_reads_zeros: bool,
    /// PROT_EN with P_TYPE: 0 without protection information, else the type 1 to 3.
    pub protection_type: u8,
}

/// Why capacity data were not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// The answer is shorter than its fixed length.
    #[error("READ CAPACITY returned {len} bytes, {needed} are needed")]
    TooShort {
        /// Length that came.
        len: usize,
        /// Length that is needed.
        needed: usize,
    },
    /// The medium has more blocks than READ CAPACITY(10) can say; ask READ CAPACITY(16).
    #[error("the medium is larger than READ CAPACITY(10) can tell")]
    UseSixteen,
    /// A block length of 0, or a size that does not fit into 64 bits of bytes.
    #[error("impossible capacity: last block {last_lba}, {block_size_bytes} bytes per block")]
    Impossible {
        /// Last block as it was returned.
        last_lba: u64,
        /// Block length as it was returned.
        block_size_bytes: u32,
    },
}

impl Capacity {
    /// A medium of `blocks` blocks without any special property.
    #[must_use]
    pub const fn plain(blocks: u64, block_size_bytes: u32) -> Self {
        Self {
            blocks,
            block_size_bytes,
            physical_block_exponent: 0,
            lowest_aligned_lba: 0,
            provisioning_managed: false,
            unmapped_reads_zeros: false,
            protection_type: 0,
        }
    }

    /// Size of the medium in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size_bytes as u64)
    }

    /// READ CAPACITY(16) parameter data.
    #[must_use]
    pub fn to_read_capacity_16(&self) -> [u8; READ_CAPACITY_16_LEN] {
        let mut bytes = [0; READ_CAPACITY_16_LEN];
        bytes[..8].copy_from_slice(&self.blocks.saturating_sub(1).to_be_bytes());
        bytes[8..12].copy_from_slice(&self.block_size_bytes.to_be_bytes());
        if let Some(kind @ 0..=7) = self.protection_type.checked_sub(1) {
            bytes[12] = kind << 1 | 1;
        }
        bytes[13] = self.physical_block_exponent & 0x0f;
        let [high, low] = self.lowest_aligned_lba.to_be_bytes();
        let flags = u8::from(self.provisioning_managed) << 7 | u8::from(self.unmapped_reads_zeros) << 6;
        bytes[14] = flags | (high & 0x3f);
        bytes[15] = low;
        bytes
    }

    /// READ CAPACITY(10) parameter data: the last LBA is FFFF_FFFFh where the medium is larger than that.
    #[must_use]
    pub fn to_read_capacity_10(&self) -> [u8; READ_CAPACITY_10_LEN] {
        let last_lba = u32::try_from(self.blocks.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut bytes = [0; READ_CAPACITY_10_LEN];
        bytes[..4].copy_from_slice(&last_lba.to_be_bytes());
        bytes[4..].copy_from_slice(&self.block_size_bytes.to_be_bytes());
        bytes
    }

    /// Reads READ CAPACITY(16) parameter data.
    ///
    /// # Errors
    /// [`CapacityError`]: too short, or a size that cannot be.
    pub fn parse_16(bytes: &[u8]) -> Result<Self, CapacityError> {
        let too_short = CapacityError::TooShort {
            len: bytes.len(),
            needed: 12,
        };
        let last_lba = u64_at(bytes, 0).ok_or(too_short)?;
        let block_size_bytes = u32_at(bytes, 8).ok_or(too_short)?;
        let [protection, exponent, flags, low] = [12, 13, 14, 15].map(|at| u8_at(bytes, at).unwrap_or(0));
        Ok(Self {
            physical_block_exponent: exponent & 0x0f,
            lowest_aligned_lba: u16::from_be_bytes([flags & 0x3f, low]),
            provisioning_managed: flags & 0x80 != 0,
            unmapped_reads_zeros: flags & 0x40 != 0,
            protection_type: if protection & 1 != 0 {
                (protection >> 1 & 7) + 1
            } else {
                0
            },
            ..checked(last_lba, block_size_bytes)?
        })
    }

    /// Reads READ CAPACITY(10) parameter data.
    ///
    /// # Errors
    /// [`CapacityError`]: too short, a size that cannot be, or a medium whose size only READ CAPACITY(16) tells.
    pub fn parse_10(bytes: &[u8]) -> Result<Self, CapacityError> {
        let too_short = CapacityError::TooShort {
            len: bytes.len(),
            needed: READ_CAPACITY_10_LEN,
        };
        let last_lba = u32_at(bytes, 0).ok_or(too_short)?;
        let block_size_bytes = u32_at(bytes, 4).ok_or(too_short)?;
        if last_lba == u32::MAX {
            return Err(CapacityError::UseSixteen);
        }
        checked(last_lba.into(), block_size_bytes)
    }
}

fn checked(last_lba: u64, block_size_bytes: u32) -> Result<Capacity, CapacityError> {
    let impossible = CapacityError::Impossible {
        last_lba,
        block_size_bytes,
    };
    let blocks = last_lba.checked_add(1).ok_or(impossible)?;
    if block_size_bytes == 0 || blocks.checked_mul(block_size_bytes.into()).is_none() {
        return Err(impossible);
    }
    Ok(Capacity::plain(blocks, block_size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_both_ways() {
        let capacity = Capacity {
            physical_block_exponent: 3,
            provisioning_managed: true,
            unmapped_reads_zeros: true,
            lowest_aligned_lba: 0x0102,
            ..Capacity::plain(0x1_0000_0000, 512)
        };
        let bytes = capacity.to_read_capacity_16();
        assert_eq!(
            bytes[..16],
            [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0, 0, 3, 0xc1, 2]
        );
        assert_eq!(Capacity::parse_16(&bytes), Ok(capacity));
        assert_eq!(
            Capacity::parse_16(&bytes[..11]),
            Err(CapacityError::TooShort { len: 11, needed: 12 })
        );
    }

    #[test]
    fn ten_both_ways_and_its_limit() {
        let capacity = Capacity::plain(2048, 512);
        assert_eq!(capacity.to_read_capacity_10(), [0, 0, 7, 0xff, 0, 0, 2, 0]);
        assert_eq!(Capacity::parse_10(&[0, 0, 7, 0xff, 0, 0, 2, 0]), Ok(capacity));
        let large = Capacity::plain(1 << 40, 512).to_read_capacity_10();
        assert_eq!(Capacity::parse_10(&large), Err(CapacityError::UseSixteen));
        assert!(matches!(
            Capacity::parse_10(&[0; 7]),
            Err(CapacityError::TooShort { len: 7, .. })
        ));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let mut bytes = Capacity::plain(8, 512).to_read_capacity_16();
        bytes[8..12].fill(0);
        assert!(matches!(
            Capacity::parse_16(&bytes),
            Err(CapacityError::Impossible {
                block_size_bytes: 0,
                ..
            })
        ));
        let mut bytes = Capacity::plain(8, 512).to_read_capacity_16();
        bytes[..8].fill(0xff);
        assert!(matches!(
            Capacity::parse_16(&bytes),
            Err(CapacityError::Impossible { .. })
        ));
        bytes[7] = 0xfe;
        assert!(matches!(
            Capacity::parse_16(&bytes),
            Err(CapacityError::Impossible { .. })
        ));
    }

    #[test]
    fn protection_type_is_one_more_than_its_field() {
        let capacity = Capacity {
            protection_type: 3,
            ..Capacity::plain(8, 512)
        };
        assert_eq!(capacity.to_read_capacity_16()[12], 0b101);
        assert_eq!(
            Capacity::parse_16(&capacity.to_read_capacity_16())
                .unwrap()
                .protection_type,
            3
        );
    }
}

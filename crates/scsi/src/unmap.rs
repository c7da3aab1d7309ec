//! The UNMAP parameter list (SBC-4 5.36).

use crate::bytes::{u16_at, u32_at, u64_at};

/// Blocks that are to be released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnmapRange {
    /// First block.
    pub lba: u64,
    /// Number of blocks; 0 is allowed and does nothing.
    pub blocks: u32,
}

/// Length of the list's header.
pub const HEADER_LEN: usize = 8;
/// Length of one block descriptor.
pub const DESCRIPTOR_LEN: usize = 16;

/// The parameter list for these ranges; its length goes into the CDB. At most 4,095 ranges fit.
#[must_use]
pub fn emit(ranges: &[UnmapRange]) -> Vec<u8> {
    let descriptors = (ranges.len() * DESCRIPTOR_LEN) as u16;
    let mut bytes = Vec::with_capacity(HEADER_LEN + usize::from(descriptors));
    bytes.extend_from_slice(&(descriptors + 6).to_be_bytes());
    bytes.extend_from_slice(&descriptors.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for range in ranges {
        bytes.extend_from_slice(&range.lba.to_be_bytes());
        bytes.extend_from_slice(&range.blocks.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }
    bytes
}

/// Reads a parameter list. Descriptors that the lengths do not cover completely are ignored, as SBC-4 asks; `None` where
/// not even the header is there.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<UnmapRange>> {
    let data_length = usize::from(u16_at(bytes, 0)?);
    let descriptors = usize::from(u16_at(bytes, 2)?);
    if bytes.len() < HEADER_LEN {
        return None;
    }
    let end = bytes.len().min(2 + data_length).min(HEADER_LEN + descriptors);
    let list = bytes.get(HEADER_LEN..end).unwrap_or(&[]);
    list.chunks_exact(DESCRIPTOR_LEN)
        .map(|descriptor| {
            Some(UnmapRange {
                lba: u64_at(descriptor, 0)?,
                blocks: u32_at(descriptor, 8)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [UnmapRange; 2] = [
        UnmapRange { lba: 1, blocks: 2 },
        UnmapRange {
            lba: 1 << 32,
            blocks: 3,
        },
    ];

    #[test]
    fn both_ways() {
        let bytes = emit(&TWO);
        assert_eq!(bytes[..8], [0, 38, 0, 32, 0, 0, 0, 0]);
        assert_eq!(bytes[8..24], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(parse(&bytes), Some(TWO.to_vec()));
    }

    #[test]
    fn incomplete_descriptors_are_ignored() {
        let bytes = emit(&TWO);
        assert_eq!(parse(&bytes[..39]), Some(TWO[..1].to_vec()));
        assert_eq!(parse(&bytes[..8]), Some(vec![]));
        assert_eq!(parse(&bytes[..7]), None);
        let mut lying = bytes.clone();
        lying[3] = 17;
        assert_eq!(parse(&lying), Some(TWO[..1].to_vec()));
    }
}

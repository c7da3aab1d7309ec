//! Which bytes must be read and be zero before a device is called blank.
//!
//! - all of it, up to 32 MiB of size; else
//! - the first 4 MiB and 4 KiB more (partition tables, LUKS with its second header wherever it may be, LVM, md 1.1 and
//!   1.2, ZFS labels 0 and 1, ext, xfs, btrfs, ISO 9660, UDF, swap, bcache, VMFS, BlueStore, ASM, Stratis, …);
//! - the last 4 MiB (GPT backup, md 0.90 and 1.0, DDF, ZFS labels 2 and 3, DRBD, LDM);
//! - the btrfs super block mirrors at 64 MiB and 256 GiB, 64 KiB each;
//! - the ext backup super blocks of groups 1, 3, 5, 7, 9, 25, 27 and 49, for block sizes of 1, 2, 4 and 64 KiB;
//! - 128 KiB at each 64th part of the device: there begin the allocation groups of an xfs with 2 to 64 equal groups,
//!   and much of anything else;
//! - 128 KiB around each TiB up to 16 (allocation groups of a large xfs).
//!
//! Together at most about 19 MiB, whatever the size.

use std::ops::Range;

/// Bytes read from the start.
pub const HEAD_BYTES: u64 = (4 << 20) + 4096;
/// Bytes read from the end.
pub const TAIL_BYTES: u64 = 4 << 20;
/// Up to this size every byte is read.
pub const WHOLE_BYTES: u64 = 32 << 20;

const PIECE: u64 = 64 << 10;
pub(super) const SAMPLES: u64 = 64;
const TIB: u64 = 1 << 40;

/// Byte offsets of the btrfs super block's mirrors (kernel `fs/btrfs/disk-io.h`).
pub(super) const BTRFS_MIRRORS: [u64; 2] = [64 << 20, 256 << 30];

/// Block groups that hold a backup super block of ext2, 3 and 4 (`sparse_super`: powers of 3, 5 and 7).
pub(super) const EXT_BACKUP_GROUPS: [u64; 8] = [1, 3, 5, 7, 9, 25, 27, 49];
/// ext block sizes.
pub(super) const EXT_BLOCK_SIZES: [u64; 4] = [1024, 2048, 4096, 65536];

/// The ext backup super blocks' byte offsets, with the group.
pub(super) fn ext_backups() -> impl Iterator<Item = (u64, u64)> {
    EXT_BLOCK_SIZES.into_iter().flat_map(|block| {
        // A group has as many blocks as its bitmap block has bits; with 1 KiB blocks the first data block is 1.
        let first = u64::from(block == 1024);
        EXT_BACKUP_GROUPS
            .into_iter()
            .map(move |group| (group, (group * block * 8 + first) * block))
    })
}

/// The pieces of the device that are samples, 128 KiB each.
pub(super) fn samples(size_bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let parts = (1..SAMPLES).map(move |part| {
        let at = u128::from(size_bytes) * u128::from(part) / u128::from(SAMPLES);
        // The quotient is below the size, which is a u64.
        u64::try_from(at).unwrap_or(u64::MAX) / PIECE * PIECE
    });
    let tebibytes = (1..=16_u64)
        .map(|n| n * TIB - PIECE)
        .take_while(move |at| *at < size_bytes);
    parts.chain(tebibytes).map(|at| at..at.saturating_add(2 * PIECE))
}

/// The ranges of bytes that are read, in order, without overlap, within the device.
pub fn places(size_bytes: u64) -> Vec<Range<u64>> {
    if size_bytes <= WHOLE_BYTES {
        return std::iter::once(0..size_bytes).collect();
    }
    let mut ranges = vec![0..HEAD_BYTES, size_bytes - TAIL_BYTES..size_bytes];
    ranges.extend(BTRFS_MIRRORS.map(|at| at..at + PIECE));
    ranges.extend(ext_backups().map(|(_, at)| at..at + 4096));
    ranges.extend(samples(size_bytes));
    merge(ranges, size_bytes)
}

fn merge(mut ranges: Vec<Range<u64>>, size_bytes: u64) -> Vec<Range<u64>> {
    for range in &mut ranges {
        range.end = range.end.min(size_bytes);
    }
    ranges.retain(|r| r.start < r.end);
    ranges.sort_by_key(|r| r.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_ordered_bounded_and_within(size in 1_u64..(1 << 60)) {
            let places = places(size);
            let total: u64 = places.iter().map(|r| r.end - r.start).sum();
            prop_assert!(total <= WHOLE_BYTES);
            prop_assert_eq!(places.first().map(|r| r.start), Some(0));
            prop_assert_eq!(places.last().map(|r| r.end), Some(size));
            for pair in places.windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
        }
    }

    #[test]
    fn known_backups_are_covered() {
        let size = 300_u64 << 30;
        let covered = |at: u64| {
            places(size)
                .iter()
                .any(|r| r.contains(&at) && r.contains(&(at + 4095)))
        };
        for at in [
            0,
            64 << 20,
            256 << 30,
            32768 * 4096,
            3 * 32768 * 4096,
            8193 * 1024,
            size - 65536,
            size / 4,
            size / 2,
        ] {
            assert!(covered(at), "{at}");
        }
    }
}

//! The btrfs super block (kernel `fs/btrfs/accessors.h`, `struct btrfs_super_block`).

use super::bytes::{array, label, le16, le32, le64};
use super::reader::Reader;
use super::{Finding, Found, ProbeError};
use crate::fs::{FileSystem, FsState, FsType, FsUuid};

/// Byte offset of the first super block, and its length.
pub(super) const OFFSET: u64 = 64 << 10;
pub(super) const LEN: u64 = 4096;
pub(super) const MAGIC_AT: usize = 64;
pub(super) const MAGIC: &[u8; 8] = b"_BHRfS_M";
/// What mkfs.btrfs writes until it is done.
const UNFINISHED: &[u8; 8] = b"!BHRfS_M";
const CSUM_CRC32C: u16 = 0;

pub(super) fn find(reader: &mut Reader<'_>) -> Result<Option<Found>, ProbeError> {
    let Some(sb) = reader.bytes(OFFSET, LEN)? else {
        return Ok(None);
    };
    let what = match &array::<8>(&sb, MAGIC_AT) {
        MAGIC => read(&sb),
        UNFINISHED => Finding::Named("an unfinished btrfs (its mkfs was interrupted)".to_owned()),
        _ => return Ok(None),
    };
    Ok(Some(Found { what, at: OFFSET }))
}

fn read(sb: &[u8]) -> Finding {
    let covered = sb.get(32..).unwrap_or_default();
    if le64(sb, 48) != OFFSET {
        return Finding::Named("a damaged btrfs super block".to_owned());
    }
    if le16(sb, 196) == CSUM_CRC32C && crc32c::crc32c(covered) != le32(sb, 0) {
        return Finding::Named("a btrfs super block whose checksum is wrong".to_owned());
    }
    let devices = le64(sb, 136);
    if devices != 1 {
        return Finding::Named(format!("one of {devices} devices of a btrfs"));
    }
    Finding::FileSystem(FileSystem {
        fs_type: FsType::Btrfs,
        uuid: FsUuid::from_bytes(array(sb, 32)),
        label: label(&array::<256>(sb, 299)),
        size_bytes: le64(sb, 112),
        block_size_bytes: le32(sb, 144),
        state: FsState {
            // A log tree waits to be replayed.
            needs_recovery: Some(le64(sb, 96) != 0),
            has_errors: false,
            exceeds_device: false,
        },
    })
}

//! ext2, ext3 and ext4 super blocks (kernel `fs/ext4/ext4.h`, `struct ext4_super_block`).

use super::bytes::{array, label, le16, le32};
use super::reader::Reader;
use super::{Finding, Found, ProbeError};
use crate::fs::{FileSystem, FsState, FsType, FsUuid};

/// Byte offset of the super block, and its length.
pub(super) const OFFSET: u64 = 1024;
pub(super) const LEN: u64 = 1024;
const MAGIC_AT: usize = 0x38;
const MAGIC: u16 = 0xef53;

const STATE_VALID: u16 = 1;
const STATE_ERRORS: u16 = 2;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_64BIT: u32 = 0x80;
/// Features that ext3 does not have.
const INCOMPAT_EXT4: u32 = !(0x2 | 0x4 | 0x8 | 0x10);
const RO_COMPAT_EXT4: u32 = !(0x1 | 0x2 | 0x4);
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

pub(super) fn find(reader: &mut Reader<'_>) -> Result<Option<Found>, ProbeError> {
    let Some(sb) = reader.bytes(OFFSET, LEN)? else {
        return Ok(None);
    };
    if le16(&sb, MAGIC_AT) != MAGIC {
        return Ok(None);
    }
    Ok(Some(Found {
        what: read(&sb),
        at: OFFSET,
    }))
}

/// Whether a backup super block of this block group stands here.
pub(super) fn is_backup(sb: &[u8], group: u64) -> bool {
    le16(sb, MAGIC_AT) == MAGIC && u64::from(le16(sb, 0x5a)) == group
}

fn read(sb: &[u8]) -> Finding {
    let (compat, incompat, ro_compat) = (le32(sb, 0x5c), le32(sb, 0x60), le32(sb, 0x64));
    let log_block_size = le32(sb, 0x18);
    if log_block_size > 6 || le32(sb, 0x20) == 0 {
        return Finding::Named("a damaged ext2, ext3 or ext4 super block".to_owned());
    }
    // s_checksum covers all before it; the seed is ~0 and the result is not inverted.
    if ro_compat & RO_COMPAT_METADATA_CSUM != 0 {
        let covered = sb.get(..0x3fc).unwrap_or_default();
        if !crc32c::crc32c(covered) != le32(sb, 0x3fc) {
            return Finding::Named("an ext4 super block whose checksum is wrong".to_owned());
        }
    }
    if incompat & INCOMPAT_JOURNAL_DEV != 0 {
        return Finding::Named("an external journal of ext3 or ext4".to_owned());
    }
    if incompat & INCOMPAT_EXT4 == 0 && ro_compat & RO_COMPAT_EXT4 == 0 {
        let journal = compat & COMPAT_HAS_JOURNAL != 0;
        return Finding::Named(
            if journal {
                "an ext3 file system"
            } else {
                "an ext2 file system"
            }
            .to_owned(),
        );
    }
    let block_size_bytes = 1024_u32 << log_block_size;
    let high = if incompat & INCOMPAT_64BIT != 0 {
        u64::from(le32(sb, 0x150)) << 32
    } else {
        0
    };
    let blocks = u64::from(le32(sb, 0x04)) | high;
    let state = le16(sb, 0x3a);
    let unclean_without_journal = compat & COMPAT_HAS_JOURNAL == 0 && state & STATE_VALID == 0;
    Finding::FileSystem(FileSystem {
        fs_type: FsType::Ext4,
        uuid: FsUuid::from_bytes(array(sb, 0x68)),
        label: label(&array::<16>(sb, 0x78)),
        size_bytes: blocks.saturating_mul(block_size_bytes.into()),
        block_size_bytes,
        state: FsState {
            needs_recovery: Some(incompat & INCOMPAT_RECOVER != 0 || unclean_without_journal),
            has_errors: state & STATE_ERRORS != 0,
            exceeds_device: false,
        },
    })
}

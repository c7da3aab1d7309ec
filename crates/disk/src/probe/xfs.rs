//! The XFS super block (kernel `fs/xfs/libxfs/xfs_format.h`, `struct xfs_dsb`; big-endian).

use super::bytes::{array, be16, be32, be64, label, le32};
use super::reader::Reader;
use super::{Finding, Found, ProbeError};
use crate::fs::{FileSystem, FsState, FsType, FsUuid};

pub(super) const MAGIC: &[u8; 4] = b"XFSB";
const CRC_AT: usize = 224;
const INCOMPAT_NEEDSREPAIR: u32 = 1 << 4;

pub(super) fn find(reader: &mut Reader<'_>) -> Result<Option<Found>, ProbeError> {
    // The largest sector size; a device that is smaller holds no xfs, but its start is looked at all the same.
    let len = reader.size_bytes().min(32 << 10);
    let Some(sb) = reader.bytes(0, len)? else {
        return Ok(None);
    };
    if !sb.starts_with(MAGIC) {
        return Ok(None);
    }
    Ok(Some(Found {
        what: read(&sb),
        at: 0,
    }))
}

fn read(sb: &[u8]) -> Finding {
    let block_size_bytes = be32(sb, 4);
    let version = be16(sb, 100) & 0xf;
    let sector_size = usize::from(be16(sb, 102));
    let sane = block_size_bytes.is_power_of_two()
        && (512..=65536).contains(&block_size_bytes)
        && sector_size.is_power_of_two()
        && (512..=32768).contains(&sector_size)
        && (4..=5).contains(&version);
    if !sane {
        return Finding::Named("a damaged xfs super block".to_owned());
    }
    if sb.get(126) != Some(&0) {
        return Finding::Named("an unfinished xfs (its mkfs was interrupted)".to_owned());
    }
    let version5 = version == 5;
    if version5 && !checksum_is_right(sb, sector_size) {
        return Finding::Named("an xfs super block whose checksum is wrong".to_owned());
    }
    let incompat = if version5 { be32(sb, 216) } else { 0 };
    Finding::FileSystem(FileSystem {
        fs_type: FsType::Xfs,
        uuid: FsUuid::from_bytes(array(sb, 32)),
        label: label(&array::<12>(sb, 108)),
        size_bytes: be64(sb, 8).saturating_mul(block_size_bytes.into()),
        block_size_bytes,
        state: FsState {
            // Only a search through the log tells.
            needs_recovery: None,
            has_errors: incompat & INCOMPAT_NEEDSREPAIR != 0,
            exceeds_device: false,
        },
    })
}

/// CRC-32C of the super block's sector with the field itself taken as zero; stored little-endian.
fn checksum_is_right(sb: &[u8], sector_size: usize) -> bool {
    let Some(sector) = sb.get(..sector_size) else {
        return false;
    };
    let mut copy = sector.to_vec();
    if let Some(field) = copy.get_mut(CRC_AT..CRC_AT + 4) {
        field.fill(0);
    }
    crc32c::crc32c(&copy) == le32(sector, CRC_AT)
}

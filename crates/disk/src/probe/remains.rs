//! Names what is left on a device whose first super block is gone: backups of ext, xfs, btrfs and LUKS2.

use super::reader::Reader;
use super::{ProbeError, btrfs, ext, places, xfs};

/// Offsets at which LUKS2's second header may stand (on-disk format specification, section 2.1).
const LUKS2_SECOND: [u64; 9] = [
    0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x10_0000, 0x20_0000, 0x40_0000,
];

/// The backups that are there, each kind once, with its offset.
pub(super) fn name(reader: &mut Reader<'_>) -> Result<Vec<(String, u64)>, ProbeError> {
    let mut found = Vec::new();
    for (group, at) in places::ext_backups() {
        if reader
            .bytes(at, ext::LEN)?
            .is_some_and(|sb| ext::is_backup(&sb, group))
        {
            found.push((
                "a backup super block of an ext2, ext3 or ext4 whose first one is gone".to_owned(),
                at,
            ));
            break;
        }
    }
    for at in places::BTRFS_MIRRORS {
        if reader.has(at + btrfs::MAGIC_AT as u64, btrfs::MAGIC)? {
            found.push((
                "a mirror super block of a btrfs whose first one is gone".to_owned(),
                at,
            ));
            break;
        }
    }
    if let Some(at) = xfs_group(reader)? {
        found.push((
            "an allocation group of an xfs whose first super block is gone".to_owned(),
            at,
        ));
    }
    for at in LUKS2_SECOND {
        if reader.has(at, b"SKUL\xba\xbe")? {
            found.push((
                "the second header of a LUKS2 whose first one is gone".to_owned(),
                at,
            ));
            break;
        }
    }
    Ok(found)
}

fn xfs_group(reader: &mut Reader<'_>) -> Result<Option<u64>, ProbeError> {
    let size = reader.size_bytes();
    for range in places::samples(size) {
        for at in (range.start..range.end.min(size)).step_by(4096) {
            if reader.has(at, xfs::MAGIC)? {
                return Ok(Some(at));
            }
        }
    }
    Ok(None)
}

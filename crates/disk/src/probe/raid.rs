//! Members whose super block's place depends on the device's size: md, DRBD, ZFS.

use super::bytes::{be32, le32, le64};
use super::reader::Reader;
use super::{Found, ProbeError};

/// `MD_SB_MAGIC` (kernel `include/uapi/linux/raid/md_p.h`).
const MD_MAGIC: u32 = 0xa92b_4efc;
/// DRBD 8.3, 8.4 and 9 (`drbd_int.h`); clean and unclean.
const DRBD_MAGICS: [u32; 3] = [0x8374_026b, 0x8374_026c, 0x8374_026d];
/// `UBERBLOCK_MAGIC` of OpenZFS.
const ZFS_MAGIC: u64 = 0x00ba_b10c;
const ZFS_LABEL: u64 = 256 << 10;

pub(super) fn find(reader: &mut Reader<'_>, found: &mut Vec<Found>) -> Result<(), ProbeError> {
    md(reader, found)?;
    drbd(reader, found)?;
    zfs(reader, found)
}

fn md(reader: &mut Reader<'_>, found: &mut Vec<Found>) -> Result<(), ProbeError> {
    let size = reader.size_bytes();
    let places = [
        ("1.1", Some(0)),
        ("1.2", Some(4096)),
        // The last 4 KiB boundary that is at least 8 KiB before the end.
        (
            "1.0",
            (size / 512).checked_sub(16).map(|sector| (sector & !7) * 512),
        ),
        // The last whole 64 KiB before the end.
        ("0.90", (size / 65536).checked_sub(1).map(|block| block * 65536)),
    ];
    for (version, place) in places {
        let Some(at) = place else { continue };
        let Some(sb) = reader.bytes(at, 8)? else { continue };
        let major = if version == "0.90" { 0 } else { 1 };
        let little = le32(&sb, 0) == MD_MAGIC && le32(&sb, 4) == major;
        let big = be32(&sb, 0) == MD_MAGIC && be32(&sb, 4) == major;
        if little || big {
            found.push(Found::named(
                format!("a Linux md RAID member (metadata {version})"),
                at,
            ));
        }
    }
    Ok(())
}

fn drbd(reader: &mut Reader<'_>, found: &mut Vec<Found>) -> Result<(), ProbeError> {
    let Some(at) = (reader.size_bytes() / 4096)
        .checked_sub(1)
        .map(|block| block * 4096)
    else {
        return Ok(());
    };
    let Some(block) = reader.bytes(at, 64)? else {
        return Ok(());
    };
    if DRBD_MAGICS.contains(&be32(&block, 60)) {
        found.push(Found::named("a DRBD device with internal metadata", at));
    }
    Ok(())
}

/// Four labels of 256 KiB, two at each end; in each, from 128 KiB on, uberblocks 1 KiB apart.
fn zfs(reader: &mut Reader<'_>, found: &mut Vec<Found>) -> Result<(), ProbeError> {
    let end = reader.size_bytes() / ZFS_LABEL * ZFS_LABEL;
    let labels = [
        Some(0),
        Some(ZFS_LABEL),
        end.checked_sub(2 * ZFS_LABEL),
        end.checked_sub(ZFS_LABEL),
    ];
    for label in labels.into_iter().flatten() {
        for uberblock in 0..128 {
            let at = label + ZFS_LABEL / 2 + uberblock * 1024;
            let Some(bytes) = reader.bytes(at, 8)? else {
                continue;
            };
            let magic = le64(&bytes, 0);
            if magic == ZFS_MAGIC || magic.swap_bytes() == ZFS_MAGIC {
                found.push(Found::named("a ZFS pool member", at));
                break;
            }
        }
    }
    Ok(())
}

//! Signatures at fixed places: they only give a refusal its name; blankness never depends on them.

use super::reader::Reader;
use super::{Finding, Found, ProbeError, ext};

/// Where a signature stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Byte offset from the start.
    Head(u64),
    /// Byte offset back from the end.
    Tail(u64),
}

type Signature = (&'static str, At, &'static [u8]);

const LVM2: &str = "an LVM physical volume";
const GPT: &str = "a GPT partition table";
const SWAP: &str = "swap space";
const FAT: &str = "a FAT file system";
const UFS: &str = "a UFS file system";
const UDF: &str = "a UDF file system";
const REISER: &str = "a ReiserFS file system";
const OCFS2: &str = "an OCFS2 file system";
const STRATIS: &str = "a Stratis pool member";
const LUKS1: &str = "a LUKS1 header";
const LUKS2: &str = "a LUKS2 header";
const FIRMWARE_RAID: &str = "a firmware RAID member";
const HIBERNATION: &str = "a hibernation image";
const LDM: &str = "a Windows dynamic disk";
const STRATIS_MAGIC: &[u8] = b"!Stra0tis\x86\xff\x02^\x41rh";

const SIGNATURES: &[Signature] = &[
    (LUKS1, At::Head(0), b"LUKS\xba\xbe\x00\x01"),
    (LUKS2, At::Head(0), b"LUKS\xba\xbe\x00\x02"),
    ("a dm-verity hash tree", At::Head(0), b"verity\0\0"),
    ("a dm-integrity device", At::Head(0), b"integrt\0"),
    ("a Ceph BlueStore device", At::Head(0), b"bluestore block device"),
    ("a squashfs file system", At::Head(0), b"hsqs"),
    ("a cramfs file system", At::Head(0), b"\x45\x3d\xcd\x28"),
    ("a romfs file system", At::Head(0), b"-rom1fs-"),
    ("an LVM1 physical volume", At::Head(0), b"HM\x01\0"),
    ("an NTFS file system", At::Head(3), b"NTFS    "),
    ("an exFAT file system", At::Head(3), b"EXFAT   "),
    ("a ReFS file system", At::Head(3), b"ReFS\0\0\0\0"),
    ("a BitLocker volume", At::Head(3), b"-FVE-FS-"),
    ("an Oracle ASM disk", At::Head(32), b"ORCLDISK"),
    ("an APFS container", At::Head(32), b"NXSB"),
    (FAT, At::Head(54), b"FAT12   "),
    (FAT, At::Head(54), b"FAT16   "),
    (FAT, At::Head(54), b"FAT     "),
    (FAT, At::Head(82), b"FAT32   "),
    (LVM2, At::Head(0), b"LABELONE"),
    (LVM2, At::Head(512), b"LABELONE"),
    (LVM2, At::Head(1024), b"LABELONE"),
    (LVM2, At::Head(1536), b"LABELONE"),
    (GPT, At::Head(512), b"EFI PART"),
    (GPT, At::Head(4096), b"EFI PART"),
    (GPT, At::Tail(512), b"EFI PART"),
    (GPT, At::Tail(4096), b"EFI PART"),
    ("a BSD disk label", At::Head(512), b"\x57\x45\x56\x82"),
    ("an Apple partition map", At::Head(512), b"PM\0\0"),
    (STRATIS, At::Head(512 + 4), STRATIS_MAGIC),
    (STRATIS, At::Head(9 * 512 + 4), STRATIS_MAGIC),
    ("an F2FS file system", At::Head(1024), b"\x10\x20\xf5\xf2"),
    ("an EROFS file system", At::Head(1024), b"\xe2\xe1\xf5\xe0"),
    ("an HFS+ file system", At::Head(1024), b"H+\0\x04"),
    ("an HFSX file system", At::Head(1024), b"HX\0\x05"),
    ("a VxFS file system", At::Head(1024), b"\xf5\xfc\x01\xa5"),
    (OCFS2, At::Head(1024), b"OCFSV2"),
    (OCFS2, At::Head(2048), b"OCFSV2"),
    (OCFS2, At::Head(4096), b"OCFSV2"),
    (OCFS2, At::Head(8192), b"OCFSV2"),
    (LDM, At::Head(0xc00), b"PRIVHEAD"),
    (LDM, At::Tail(512), b"PRIVHEAD"),
    (SWAP, At::Head(4096 - 10), b"SWAPSPACE2"),
    (SWAP, At::Head(4096 - 10), b"SWAP-SPACE"),
    (SWAP, At::Head(8192 - 10), b"SWAPSPACE2"),
    (SWAP, At::Head(16384 - 10), b"SWAPSPACE2"),
    (SWAP, At::Head(65536 - 10), b"SWAPSPACE2"),
    (HIBERNATION, At::Head(4096 - 10), b"S1SUSPEND"),
    (HIBERNATION, At::Head(4096 - 10), b"LINHIB0001"),
    (
        "a bcache device",
        At::Head(4096 + 24),
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
    ),
    (
        "a bcachefs device",
        At::Head(4096 + 24),
        b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
    ),
    (UFS, At::Head(8192 + 1372), b"\x54\x19\x01\0"),
    (UFS, At::Head(8192 + 1372), b"\0\x01\x19\x54"),
    (UFS, At::Head(65536 + 1372), b"\x19\x01\x54\x19"),
    (UFS, At::Head(65536 + 1372), b"\x19\x54\x01\x19"),
    (REISER, At::Head(8192 + 52), b"ReIsEr"),
    (REISER, At::Head(65536 + 52), b"ReIsEr"),
    ("a Reiser4 file system", At::Head(65536), b"ReIsEr4"),
    ("a JFS file system", At::Head(32768), b"JFS1"),
    ("an ISO 9660 file system", At::Head(32769), b"CD001"),
    (UDF, At::Head(32769), b"BEA01"),
    (UDF, At::Head(32769 + 2048), b"BEA01"),
    (UDF, At::Head(32769 + 2048), b"NSR0"),
    (UDF, At::Head(32769 + 4096), b"NSR0"),
    ("a GFS2 file system", At::Head(65536), b"\x01\x16\x19\x70"),
    ("a VMFS extent", At::Head(1 << 20), b"\x0d\xd0\x01\xc0"),
    ("a VMFS file system", At::Head(2 << 20), b"\x5e\xf1\xab\x2f"),
    (FIRMWARE_RAID, At::Tail(1024), b"Intel Raid ISM Cfg Sig. "),
    (FIRMWARE_RAID, At::Tail(512), b"\x11\xde\x11\xde"),
    (FIRMWARE_RAID, At::Tail(512), b"\xde\x11\xde\x11"),
    (FIRMWARE_RAID, At::Tail(512), b"$XIDE$"),
];

/// Adds every signature that is there.
pub(super) fn find(reader: &mut Reader<'_>, found: &mut Vec<Found>) -> Result<(), ProbeError> {
    let ext = found.iter().any(|f| f.at == ext::OFFSET);
    for (name, at, magic) in SIGNATURES {
        let Some(at) = offset(*at, reader.size_bytes()) else {
            continue;
        };
        // An ext super block's counters may look like another's magic; the two cannot both be there.
        let hidden = ext && (ext::OFFSET..ext::OFFSET + ext::LEN).contains(&at);
        if reader.has(at, magic)? && !hidden {
            found.push(Found::named(*name, at));
        }
    }
    mbr(reader, found)
}

fn offset(at: At, size_bytes: u64) -> Option<u64> {
    match at {
        At::Head(offset) => Some(offset),
        At::Tail(back) => size_bytes.checked_sub(back),
    }
}

/// A master boot record: the mark at byte 510 and at least one plausible entry, and no boot sector of a file system.
fn mbr(reader: &mut Reader<'_>, found: &mut Vec<Found>) -> Result<(), ProbeError> {
    let Some(sector) = reader.bytes(0, 512)? else {
        return Ok(());
    };
    let marked = sector.ends_with(b"\x55\xaa");
    let boot_sector = |f: &Found| f.at < 512 && matches!(f.what, Finding::Named(_));
    if !marked || found.iter().any(boot_sector) || found.iter().any(|f| f.name() == GPT) {
        return Ok(());
    }
    let table = sector.get(446..510).unwrap_or_default();
    let plausible = |entry: &[u8]| {
        let active = matches!(entry.first(), Some(0 | 0x80));
        let kind = entry.get(4).is_some_and(|t| *t != 0);
        active && kind && entry.get(12..16).is_some_and(|len| len.iter().any(|b| *b != 0))
    };
    let valid = table
        .chunks_exact(16)
        .all(|entry| entry.iter().all(|b| *b == 0) || plausible(entry));
    if valid && table.iter().any(|b| *b != 0) {
        found.push(Found::named("an MBR partition table", 0));
    }
    Ok(())
}

//! Tests of the probe: blank is a proof, a read that fails is never blank, signatures are named.

use std::io;
use std::time::Duration;

use super::*;
use crate::fs::{FsType, FsUuid};
use proptest::prelude::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}

/// A device of zeros with a few bytes set, and a range in which reads fail, come short or claim too little.
#[derive(Clone)]
struct Fake {
    size_bytes: u64,
    bytes: Vec<(u64, Vec<u8>)>,
    bad: Option<(std::ops::Range<u64>, Fault)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Eio,
    Short,
    Nothing,
}

impl Fake {
    fn blank(size_bytes: u64) -> Self {
        Self {
            size_bytes,
            bytes: Vec::new(),
            bad: None,
        }
    }

    fn with(mut self, at: u64, bytes: &[u8]) -> Self {
        self.bytes.push((at, bytes.to_vec()));
        self
    }

    fn failing(mut self, range: std::ops::Range<u64>, fault: Fault) -> Self {
        self.bad = Some((range, fault));
        self
    }

    fn probe(&self) -> Content {
        probe(self, self.size_bytes, soon())
    }
}

impl ReadAt for Fake {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf
            .len()
            .min(usize::try_from(self.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX));
        let end = offset + len as u64;
        buf.fill(0);
        for (at, bytes) in &self.bytes {
            for (index, byte) in bytes.iter().enumerate() {
                let position = at + index as u64;
                if (offset..end).contains(&position) {
                    buf[usize::try_from(position - offset).expect("fits")] = *byte;
                }
            }
        }
        match &self.bad {
            Some((range, fault)) if range.start < end && offset < range.end => match fault {
                Fault::Eio => Err(io::Error::from_raw_os_error(5)),
                Fault::Short => Ok(usize::try_from(range.start.saturating_sub(offset))
                    .expect("fits")
                    .min(len - 1)),
                Fault::Nothing => Ok(0),
            },
            _ => Ok(len),
        }
    }
}

const GIB: u64 = 1 << 30;
const SIZES: [u64; 9] = [
    512,
    4096,
    1 << 20,
    5 << 20,
    33 << 20,
    GIB,
    300 * GIB + 512,
    5 << 40,
    (64 << 40) + 4096,
];

#[test]
fn zeros_are_blank_whatever_the_size() {
    for size in SIZES {
        assert_eq!(Fake::blank(size).probe(), Content::Blank, "{size}");
    }
    assert_eq!(Fake::blank(0).probe(), Content::Unknown(ProbeError::Empty));
}

#[test]
fn f1_a_failing_or_short_read_at_any_probed_place_is_unknown() {
    for size in [512, 1 << 20, 33 << 20, 300 * GIB, 5 << 40] {
        for place in places::places(size) {
            let middle = place.start + (place.end - place.start) / 2;
            for at in [place.start, middle, place.end - 1] {
                for fault in [Fault::Eio, Fault::Short, Fault::Nothing] {
                    let content = Fake::blank(size).failing(at..at + 1, fault).probe();
                    let unknown = matches!(
                        content,
                        Content::Unknown(ProbeError::Read { .. } | ProbeError::Short { .. })
                    );
                    assert!(unknown, "{fault:?} at {at} of {size}: {content:?}");
                }
            }
        }
    }
}

#[test]
fn f1_a_device_that_fails_everywhere_is_unknown() {
    for size in SIZES {
        let content = Fake::blank(size).failing(0..size, Fault::Eio).probe();
        assert!(
            matches!(content, Content::Unknown(ProbeError::Read { offset: _, .. })),
            "{content:?}"
        );
    }
}

#[test]
fn f1_a_file_system_whose_tail_cannot_be_read_is_unknown_too() {
    let size = GIB;
    let fake = Fake::blank(size)
        .with(0, b"LUKS\xba\xbe\x00\x02")
        .failing(size - 512..size, Fault::Eio);
    assert!(matches!(fake.probe(), Content::Unknown(_)));
}

#[test]
fn a_late_probe_is_unknown() {
    let content = probe(&Fake::blank(GIB), GIB, Instant::now());
    assert_eq!(content, Content::Unknown(ProbeError::Deadline));
}

#[test]
fn f1_a_read_that_hangs_is_unknown_at_the_deadline() {
    let (_keep, hang) = std::sync::mpsc::channel::<()>();
    let late = in_thread(Instant::now() + Duration::from_millis(50), move || {
        // Never answers while `_keep` lives.
        let _ = hang.recv();
        Ok(Content::Blank)
    });
    assert_eq!(late, Err(ProbeError::Deadline));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The heart of F1: one byte that is not zero, at any probed place, is never blank.
    #[test]
    fn f1_one_nonzero_byte_at_a_probed_place_is_never_blank(
        size in prop_oneof![1_u64..200_000, (1_u64 << 20)..(64 << 20), GIB..(20 << 40)],
        place in any::<proptest::sample::Index>(),
        within in any::<prop::sample::Index>(),
        byte in 1_u8..,
    ) {
        let places = places::places(size);
        let place = &places[place.index(places.len())];
        let len = usize::try_from(place.end - place.start).expect("fits");
        let at = place.start + within.index(len) as u64;
        let content = Fake::blank(size).with(at, &[byte]).probe();
        prop_assert!(!matches!(content, Content::Blank), "byte {byte} at {at} of {size}");
        prop_assert!(!matches!(content, Content::FileSystem(_)));
    }

    #[test]
    fn any_head_is_handled(head in proptest::collection::vec(any::<u8>(), 0..70_000), size in 70_000_u64..(1 << 30)) {
        let nonzero = head.iter().any(|b| *b != 0);
        let content = Fake::blank(size).with(0, &head).probe();
        prop_assert_eq!(!nonzero, content == Content::Blank);
    }
}

fn name_of(content: &Content) -> String {
    match content {
        Content::Other(other) => other.to_string(),
        other => panic!("not Other: {other:?}"),
    }
}

#[test]
fn signatures_are_named_at_every_size_of_device() {
    let size = 3 * GIB + 1536;
    let cases: &[(u64, &[u8], &str)] = &[
        (0, b"LUKS\xba\xbe\0\x01", "LUKS1"),
        (0, b"LUKS\xba\xbe\0\x02", "LUKS2"),
        (512, b"LABELONE", "LVM"),
        (512, b"EFI PART", "GPT"),
        (4096, b"EFI PART", "GPT"),
        (size - 512, b"EFI PART", "GPT"),
        (4096 - 10, b"SWAPSPACE2", "swap"),
        (0, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0], "metadata 1.1"),
        (4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0], "metadata 1.2"),
        (
            (size / 512 - 16) / 8 * 8 * 512,
            &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0],
            "metadata 1.0",
        ),
        (
            size / 65536 * 65536 - 65536,
            &[0xfc, 0x4e, 0x2b, 0xa9, 0, 0, 0, 0],
            "metadata 0.90",
        ),
        (size / 4096 * 4096 - 4096 + 60, &[0x83, 0x74, 0x02, 0x6d], "DRBD"),
        (0, b"bluestore block device\n", "BlueStore"),
        (0, b"integrt\0", "dm-integrity"),
        (32, b"ORCLDISK", "ASM"),
        (516, b"!Stra0tis\x86\xff\x02^\x41rh", "Stratis"),
        (1 << 20, b"\x0d\xd0\x01\xc0", "VMFS"),
        (32769, b"CD001", "ISO 9660"),
        (32769, b"BEA01", "UDF"),
        (1024, b"\x10\x20\xf5\xf2", "F2FS"),
        (32768, b"JFS1", "JFS"),
        (65536 + 52, b"ReIsEr2Fs", "ReiserFS"),
        (3, b"NTFS    ", "NTFS"),
        (3, b"EXFAT   ", "exFAT"),
        (128 << 10, &[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], "ZFS"),
        (
            size / (256 << 10) * (256 << 10) - (128 << 10),
            &[0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c],
            "ZFS",
        ),
        (64 << 20, b"x", "data without a known signature"),
        ((64 << 20) + 64, b"_BHRfS_M", "mirror super block of a btrfs"),
        (0x40000, b"SKUL\xba\xbe", "second header of a LUKS2"),
        (65536 + 64, b"!BHRfS_M", "unfinished btrfs"),
    ];
    for (at, bytes, name) in cases {
        let text = name_of(&Fake::blank(size).with(*at, bytes).probe());
        assert!(text.contains(name), "{name} at {at}: {text}");
    }
}

#[test]
fn an_mbr_needs_a_partition() {
    let mut sector = [0_u8; 512];
    sector[510..].copy_from_slice(b"\x55\xaa");
    let bare = Fake::blank(GIB).with(0, &sector).probe();
    assert!(name_of(&bare).contains("without a known signature"));
    sector[446 + 4] = 0x83;
    sector[446 + 8] = 1;
    sector[446 + 13] = 1;
    assert!(name_of(&Fake::blank(GIB).with(0, &sector).probe()).contains("MBR"));
}

fn xfs_super_block(size_bytes: u64) -> Vec<u8> {
    let mut sb = vec![0_u8; 512];
    sb[..4].copy_from_slice(b"XFSB");
    sb[4..8].copy_from_slice(&4096_u32.to_be_bytes());
    sb[8..16].copy_from_slice(&(size_bytes / 4096).to_be_bytes());
    sb[32..48].copy_from_slice(&[7; 16]);
    sb[100..102].copy_from_slice(&0xb4a5_u16.to_be_bytes());
    sb[102..104].copy_from_slice(&512_u16.to_be_bytes());
    let crc = crc32c::crc32c(&sb);
    sb[224..228].copy_from_slice(&crc.to_le_bytes());
    sb
}

#[test]
fn two_signatures_at_once_are_both_named() {
    let fake = Fake::blank(GIB)
        .with(0, &xfs_super_block(GIB))
        .with(65536 + 64, b"!BHRfS_M");
    let text = name_of(&fake.probe());
    assert!(text.contains("xfs") && text.contains("btrfs"), "{text}");
}

#[test]
fn a_signature_beyond_the_file_system_counts_and_one_in_its_data_does_not() {
    let gpt = GIB - 512;
    let inside = Fake::blank(GIB)
        .with(0, &xfs_super_block(GIB))
        .with(gpt, b"EFI PART")
        .probe();
    assert!(
        matches!(&inside, Content::FileSystem(fs) if fs.uuid == FsUuid::from_bytes([7; 16])),
        "{inside:?}"
    );
    let beyond = Fake::blank(GIB)
        .with(0, &xfs_super_block(GIB - (1 << 20)))
        .with(gpt, b"EFI PART")
        .probe();
    assert!(name_of(&beyond).contains("GPT"), "{beyond:?}");
}

#[test]
fn a_file_system_larger_than_its_device_says_so() {
    let content = Fake::blank(GIB).with(0, &xfs_super_block(2 * GIB)).probe();
    assert!(
        matches!(&content, Content::FileSystem(fs) if fs.state.exceeds_device && fs.fs_type == FsType::Xfs)
    );
}

#[test]
fn a_damaged_super_block_is_no_file_system() {
    for at in [5, 40, 100, 126, 200, 225] {
        let mut sb = xfs_super_block(GIB);
        sb[at] ^= 0x15;
        let content = Fake::blank(GIB).with(0, &sb).probe();
        assert!(name_of(&content).contains("xfs"), "byte {at}: {content:?}");
    }
}

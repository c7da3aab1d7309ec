//! The probe on what others' tools write: mkfs.*, mkswap, cryptsetup, pvcreate, and their remains.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use longshore_disk::{Content, Device, FsType, probe, probe_path};
use support::{Image, Loop, run, soon};

const MIB: u64 = 1 << 20;

fn look(image: &Image) -> Content {
    probe_path(&image.path, soon())
}

fn other(content: &Content) -> String {
    match content {
        Content::Other(other) => other.to_string(),
        found => panic!("not Other: {found:?}"),
    }
}

fn file_system(content: Content) -> longshore_disk::FileSystem {
    match content {
        Content::FileSystem(fs) => fs,
        found => panic!("no file system: {found:?}"),
    }
}

const UUID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";

fn mkfs(fs_type: FsType, image: &Image) {
    match fs_type {
        FsType::Ext4 => run("mkfs.ext4", &["-q", "-U", UUID, "-L", "data", image.text()]),
        FsType::Xfs => run(
            "mkfs.xfs",
            &["-q", "-m", &format!("uuid={UUID}"), "-L", "data", image.text()],
        ),
        FsType::Btrfs => run("mkfs.btrfs", &["-q", "-U", UUID, "-L", "data", image.text()]),
    };
}

#[test]
fn file_systems_of_others_are_recognised_with_uuid_and_label() {
    for fs_type in FsType::ALL {
        let image = Image::new(512 * MIB);
        assert_eq!(look(&image), Content::Blank);
        mkfs(fs_type, &image);
        let fs = file_system(look(&image));
        assert_eq!(
            (fs.fs_type, fs.uuid.to_string().as_str(), fs.label.as_str()),
            (fs_type, UUID, "data")
        );
        assert!(fs.size_bytes <= 512 * MIB && fs.size_bytes > 500 * MIB, "{fs:?}");
        assert!(!fs.state.has_errors && !fs.state.exceeds_device && fs.state.needs_recovery != Some(true));
    }
}

#[test]
fn remains_of_a_file_system_are_named_and_never_blank() {
    for (fs_type, size, zeroed, name) in [
        (FsType::Ext4, 512 * MIB, 64 * 1024, "backup super block of an ext"),
        (FsType::Xfs, 512 * MIB, 64 * 1024, "allocation group of an xfs"),
        (
            FsType::Btrfs,
            512 * MIB,
            1024 * 1024,
            "mirror super block of a btrfs",
        ),
    ] {
        let image = Image::new(size);
        mkfs(fs_type, &image);
        image.write(0, &vec![0; zeroed]);
        let text = other(&look(&image));
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn ext2_and_ext3_are_refused_by_name() {
    for fs_type in ["ext2", "ext3"] {
        let image = Image::new(64 * MIB);
        run("mke2fs", &["-q", "-t", fs_type, image.text()]);
        assert!(other(&look(&image)).contains(&format!("an {fs_type} file system")));
    }
}

#[test]
fn ext4_state_bits_are_read() {
    let image = Image::new(64 * MIB);
    run("mkfs.ext4", &["-q", image.text()]);
    run("debugfs", &["-w", "-R", "set_super_value state 2", image.text()]);
    assert!(file_system(look(&image)).state.has_errors);
    run("debugfs", &["-w", "-R", "feature needs_recovery", image.text()]);
    assert_eq!(file_system(look(&image)).state.needs_recovery, Some(true));
    // A byte of the super block that its checksum covers.
    let byte = image.read(1024 + 0x20, 1)[0];
    image.write(1024 + 0x20, &[byte ^ 1]);
    assert!(other(&look(&image)).contains("checksum"));
}

#[test]
fn one_of_several_btrfs_devices_is_refused() {
    let (one, two) = (Image::new(256 * MIB), Image::new(256 * MIB));
    run(
        "mkfs.btrfs",
        &["-q", "-d", "raid1", "-m", "raid1", one.text(), two.text()],
    );
    assert!(other(&look(&one)).contains("one of 2 devices of a btrfs"));
}

#[test]
fn signatures_of_others_tools_are_named() {
    let swap = Image::new(64 * MIB);
    run("mkswap", &[swap.text()]);
    assert!(other(&look(&swap)).contains("swap"));

    let fat = Image::new(64 * MIB);
    run("mkfs.vfat", &[fat.text()]);
    assert!(other(&look(&fat)).contains("FAT"));

    for kind in ["luks1", "luks2"] {
        let luks = Image::new(64 * MIB);
        let key = Image::new(0);
        std::fs::write(&key.path, b"not a secret, a test").unwrap();
        run(
            "cryptsetup",
            &[
                "luksFormat",
                "--batch-mode",
                "--type",
                kind,
                "--pbkdf",
                "pbkdf2",
                "--pbkdf-force-iterations",
                "1000",
                "--key-file",
                key.text(),
                luks.text(),
            ],
        );
        assert!(other(&look(&luks)).contains(&kind.to_uppercase()), "{kind}");
        luks.write(0, &[0; 4096]);
        assert_ne!(look(&luks), Content::Blank);
        if kind == "luks2" {
            assert!(other(&look(&luks)).contains("second header of a LUKS2"));
        }
    }
}

#[test]
fn an_lvm_physical_volume_is_named() {
    let device = Loop::new(64 * MIB, 512);
    run(
        "pvcreate",
        &["--config", "devices{use_devicesfile=0}", "-y", device.text()],
    );
    assert!(other(&probe_path(&device.path, soon())).contains("LVM"));
}

#[test]
fn block_devices_of_512_and_4096_bytes_are_read_past_the_cache() {
    for block_size in [512, 4096] {
        let device = Loop::new(512 * MIB, block_size);
        let opened = Device::open(&device.path).unwrap();
        assert_eq!(
            (opened.block_size_bytes(), opened.size_bytes()),
            (block_size, 512 * MIB)
        );
        assert_eq!(opened.number(), Some(device.number()));
        assert_eq!(probe(&opened, opened.size_bytes(), soon()), Content::Blank);
        // A buffered write through the device that nobody has flushed is seen all the same (F2).
        use std::os::unix::fs::FileExt;
        let writer = std::fs::File::options().write(true).open(&device.path).unwrap();
        writer.write_all_at(b"x", 300 * MIB / 64 * 64).unwrap();
        writer.write_all_at(b"LUKS\xba\xbe\x00\x02", 0).unwrap();
        assert!(other(&probe(&opened, opened.size_bytes(), soon())).contains("LUKS2"));
    }
}

#[test]
fn f2_a_cached_page_of_zeros_never_says_blank() {
    let device = Loop::new(64 * MIB, 512);
    // Fills the block device's page cache with zeros, then changes the disk behind it. While anybody has the device
    // open, as here, the cache lives on.
    use std::os::unix::fs::FileExt;
    let cached = std::fs::File::open(&device.path).unwrap();
    let mut head = vec![0_u8; 1 << 20];
    cached.read_exact_at(&mut head, 0).unwrap();
    device.image.write(0, b"LUKS\xba\xbe\x00\x01");
    let mut stale = [0_u8; 8];
    cached.read_exact_at(&mut stale, 0).unwrap();
    assert_eq!(
        stale, [0; 8],
        "the page cache is not stale: this test proves nothing"
    );
    assert!(other(&probe_path(&device.path, soon())).contains("LUKS1"));
}

#[test]
fn tiny_and_uneven_devices() {
    for size in [512, 1024, 4096, 4608, 65536 + 512, 33 * MIB + 512] {
        let device = Loop::new(size, 512);
        assert_eq!(probe_path(&device.path, soon()), Content::Blank, "{size}");
        device.image.write(size - 1, &[1]);
        assert!(
            other(&probe_path(&device.path, soon())).contains("without a known signature"),
            "{size}"
        );
    }
    for size in [1, 511, 513, 5000] {
        assert_eq!(look(&Image::new(size)), Content::Blank, "{size}");
    }
}

#[test]
fn what_cannot_be_opened_is_unknown() {
    assert!(matches!(
        probe_path(std::path::Path::new("/nonexistent/device"), soon()),
        Content::Unknown(_)
    ));
    assert!(matches!(
        probe_path(std::path::Path::new("/dev/null"), soon()),
        Content::Unknown(_)
    ));
    assert!(matches!(
        probe_path(std::path::Path::new("/"), soon()),
        Content::Unknown(_)
    ));
    assert!(matches!(look(&Image::new(0)), Content::Unknown(_)));
}

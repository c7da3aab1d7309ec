//! Devices served inside the test's own process: data, sizes, faults, ends. Needs root, FUSE and loop devices.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_blockdev::ExportError;
use support::{Aligned, Host, Memory, Mounted, hammer, open_direct, run, soon};

#[test]
fn the_kernel_sees_the_storages_size_block_size_and_content() {
    let host = Host::start();
    for block_size in [512, 4096] {
        let storage = Memory::new(9 << 20, block_size);
        storage.bytes.lock().unwrap()[5_000_000..5_000_004].copy_from_slice(b"here");
        let device = host.export(&storage, false);
        let mut file = std::fs::File::open(device.path()).unwrap();
        assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), 9 << 20);
        let mut found = [0; 4];
        file.read_exact_at(&mut found, 5_000_000).unwrap();
        assert_eq!(&found, b"here");
        let queue = format!("/sys/block/loop{}/queue/logical_block_size", device.number().1);
        assert_eq!(
            std::fs::read_to_string(queue).unwrap().trim(),
            block_size.to_string()
        );
        let checked = device.clone();
        host.run(async move { checked.verify(soon()).await }).unwrap();
        drop(file);
        host.detach(&device, false, Duration::from_secs(20)).unwrap();
        assert!(
            storage.flushes.load(Ordering::Relaxed) > 0,
            "the end of a device flushes it"
        );
    }
    assert_eq!(host.exporter.pool().usage().used_bytes, 0);
}

#[test]
fn large_direct_reads_and_writes_carry_every_byte() {
    let host = Host::start();
    let storage = Memory::new(32 << 20, 512);
    let device = host.export(&storage, false);
    let file = open_direct(&device.path());
    let mut data = Aligned::new(4 << 20, 0);
    for (i, byte) in data.iter_mut().enumerate() {
        *byte = (i * 7 + i / 4096) as u8;
    }
    for (offset, len) in [
        (0, 4 << 20),
        (4 << 20, 512),
        (5 << 20, 1_050_624),
        (24 << 20, 3 << 20),
        (512, 4096),
    ] {
        file.write_all_at(&data[..len], offset).unwrap();
        assert_eq!(
            &storage.bytes.lock().unwrap()[offset as usize..][..len],
            &data[..len],
            "{len} at {offset}"
        );
        let mut back = Aligned::new(4 << 20, 0);
        file.read_exact_at(&mut back[..len], offset).unwrap();
        assert!(back[..len] == data[..len], "{len} at {offset} read back");
    }
}

#[test]
fn a_read_only_device_refuses_writes() {
    let host = Host::start();
    let storage = Memory::new(4 << 20, 512);
    let device = host.export(&storage, true);
    assert!(
        std::fs::OpenOptions::new()
            .write(true)
            .open(device.path())
            .and_then(|mut f| f.write_all(b"x"))
            .is_err()
    );
    let read_only = std::fs::read_to_string(format!("/sys/block/loop{}/ro", device.number().1)).unwrap();
    assert_eq!(read_only.trim(), "1");
    assert!(storage.bytes.lock().unwrap().iter().all(|byte| *byte == 0));
    host.detach(&device, false, Duration::from_secs(20)).unwrap();
}

/// Takes a write protection off a loop device again, also when the test fails.
struct Protected(String);

impl Protected {
    fn next_free() -> Self {
        let path = run("losetup", &["-f"]).trim().to_owned();
        run("blockdev", &["--setro", &path]);
        Self(path)
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        let _ = std::process::Command::new("blockdev")
            .args(["--setrw", &self.0])
            .status();
    }
}

/// `blockdev --setro` outlives the device: it stays with the number, for whoever gets that next.
#[test]
fn the_write_protection_of_a_former_device_does_not_stay() {
    let host = Host::start();
    let storage = Memory::new(4 << 20, 512);
    // Others take free devices at the same time.
    for _ in 0..100 {
        let protected = Protected::next_free();
        let device = host.export(&storage, false);
        let same = device.path().to_str() == Some(&protected.0);
        if same {
            let read_only =
                std::fs::read_to_string(format!("/sys/block/loop{}/ro", device.number().1)).unwrap();
            assert_eq!(read_only.trim(), "0");
            open_direct(&device.path())
                .write_all_at(&Aligned::new(4096, 7), 0)
                .unwrap();
            assert_eq!(storage.bytes.lock().unwrap()[..4096], [7; 4096]);
        }
        host.detach(&device, false, Duration::from_secs(20)).unwrap();
        if same {
            return;
        }
    }
    panic!("others took every free device first");
}

#[test]
fn a_hole_reads_as_zeros_and_so_does_zeroing() {
    let host = Host::start();
    let storage = Memory::new(8 << 20, 4096);
    storage.bytes.lock().unwrap().fill(0xaa);
    let device = host.export(&storage, false);
    run(
        "blkdiscard",
        &["-o", "1048576", "-l", "1048576", device.path().to_str().unwrap()],
    );
    run(
        "blkdiscard",
        &[
            "-z",
            "-o",
            "4194304",
            "-l",
            "65536",
            device.path().to_str().unwrap(),
        ],
    );
    let mut bytes = vec![0; 8 << 20];
    open_direct(&device.path())
        .try_clone()
        .unwrap()
        .sync_all()
        .unwrap();
    std::fs::File::open(device.path())
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    let mut expected = vec![0xaa; 8 << 20];
    expected[1 << 20..2 << 20].fill(0);
    expected[4 << 20..(4 << 20) + 65536].fill(0);
    assert!(bytes == expected);
    let calls = storage.discards.load(Ordering::Relaxed) + storage.zeroes.load(Ordering::Relaxed);
    assert!(calls >= 2, "both went through the storage");
}

#[test]
fn parallel_direct_writes_keep_their_data_on_ext4_and_xfs() {
    let host = Host::start();
    for (fs_type, mkfs, check) in [
        (
            "ext4",
            &["mkfs.ext4", "-q", "-F"][..],
            &["e2fsck", "-f", "-n"][..],
        ),
        ("xfs", &["mkfs.xfs", "-q", "-f"][..], &["xfs_repair", "-n"][..]),
    ] {
        let storage = Memory::new(320 << 20, 512);
        let device = host.export(&storage, false);
        let path = device.path();
        let with_path = |args: &[&'static str]| {
            args[1..]
                .iter()
                .copied()
                .map(String::from)
                .chain([path.display().to_string()])
                .collect::<Vec<_>>()
        };
        run(
            mkfs[0],
            &with_path(mkfs).iter().map(String::as_str).collect::<Vec<_>>(),
        );
        {
            let mounted = Mounted::new(&path, fs_type);
            let file = mounted.0.join("data");
            std::fs::File::create(&file)
                .unwrap()
                .set_len(16 * 256 * 4096)
                .unwrap();
            let done = hammer(&file, 16, 256, 600, &AtomicBool::new(false));
            assert_eq!(done, 16 * 600);
        }
        run(
            check[0],
            &with_path(check).iter().map(String::as_str).collect::<Vec<_>>(),
        );
        assert_eq!(device.stats().io_errors, 0);
        host.detach(&device, false, Duration::from_secs(20)).unwrap();
        assert!(
            storage.flushes.load(Ordering::Relaxed) > 10,
            "syncs reach the storage"
        );
    }
}

#[test]
fn failures_and_short_reads_are_errors_never_data() {
    let host = Host::start();
    let storage = Memory::new(4 << 20, 512);
    let device = host.export(&storage, false);
    let file = open_direct(&device.path());
    let mut buffer = Aligned::new(4096, 0);
    storage.fail_reads.store(true, Ordering::Relaxed);
    assert_eq!(
        file.read_at(&mut buffer, 0).unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    storage.fail_reads.store(false, Ordering::Relaxed);
    storage.short_reads.store(true, Ordering::Relaxed);
    assert_eq!(
        file.read_at(&mut buffer, 0).unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    storage.short_reads.store(false, Ordering::Relaxed);
    storage.fail_flushes.store(true, Ordering::Relaxed);
    file.write_all_at(&buffer, 0).unwrap();
    assert!(file.sync_all().is_err(), "a flush that failed is told");
    assert!(device.stats().io_errors >= 3);

    let error = host.detach(&device, false, Duration::from_secs(20)).unwrap_err();
    assert!(matches!(error, ExportError::Flush { .. }), "{error}");
    storage.fail_flushes.store(false, Ordering::Relaxed);
    file.read_exact_at(&mut buffer, 0).unwrap();
    drop(file);
    host.detach(&device, false, Duration::from_secs(20)).unwrap();
}

#[test]
fn a_device_in_use_is_not_taken_away() {
    let host = Host::start();
    let storage = Memory::new(64 << 20, 512);
    let device = host.export(&storage, false);
    run("mkfs.ext4", &["-q", "-F", device.path().to_str().unwrap()]);
    let mounted = Mounted::new(&device.path(), "ext4");
    for force in [false, true] {
        let error = host.detach(&device, force, Duration::from_secs(20)).unwrap_err();
        assert!(matches!(error, ExportError::Busy { .. }), "{error}");
    }
    std::fs::write(mounted.0.join("still"), "works").unwrap();
    drop(mounted);
    host.detach(&device, false, Duration::from_secs(20)).unwrap();
}

#[test]
fn a_stalled_device_is_left_alone_unless_forced_and_stalls_no_other() {
    let host = Host::start();
    let (stalled, healthy) = (Memory::new(256 << 20, 512), Memory::new(64 << 20, 512));
    let (stalled_device, healthy_device) = (host.export(&stalled, false), host.export(&healthy, false));
    stalled.stalled.send_replace(true);
    // Enough large writes to exhaust any budget, were it not shared.
    let path = stalled_device.path();
    let writers: Vec<_> = (0..64u64)
        .map(|i| {
            let path = path.clone();
            std::thread::spawn(move || {
                open_direct(&path).write_all_at(&Aligned::new(4 << 20, 1), i * (4 << 20))
            })
        })
        .collect();
    wait_until("the stalled device is full of requests", || {
        stalled_device.stats().in_flight > 8
    });

    let file = open_direct(&healthy_device.path());
    file.write_all_at(&Aligned::new(4 << 20, 2), 0).unwrap();
    assert_eq!(
        hammer(&healthy_device.path(), 8, 256, 200, &AtomicBool::new(false)),
        1600
    );
    let used = host.exporter.pool().usage().used_bytes;
    assert!(used <= 33 << 20, "{used} bytes for one stalled device");

    let error = host
        .detach(&stalled_device, false, Duration::from_millis(300))
        .unwrap_err();
    assert!(matches!(error, ExportError::Flush { .. }), "{error}");
    stalled.stalled.send_replace(false);
    for writer in writers {
        writer.join().unwrap().unwrap();
    }
    stalled.stalled.send_replace(true);
    let lost = std::thread::spawn({
        let path = stalled_device.path();
        move || open_direct(&path).write_all_at(&Aligned::new(4096, 1), 0)
    });
    wait_until("a write is under way", || stalled_device.stats().in_flight > 0);
    stalled_device.fail();
    assert!(lost.join().unwrap().is_err());
    host.detach(&stalled_device, true, Duration::from_secs(10))
        .unwrap();
    drop(file);
    host.detach(&healthy_device, false, Duration::from_secs(20))
        .unwrap();
    assert_eq!(host.exporter.pool().usage().used_bytes, 0);
}

#[test]
fn the_memory_of_a_burst_is_given_back() {
    let host = Host::start();
    let storage = Memory::new(64 << 20, 512);
    let device = host.export(&storage, false);
    storage.stalled.send_replace(true);
    let path = device.path();
    let writers: Vec<_> = (0..12u64)
        .map(|i| {
            let path = path.clone();
            std::thread::spawn(move || {
                open_direct(&path).write_all_at(&Aligned::new(4 << 20, 1), i * (4 << 20))
            })
        })
        .collect();
    wait_until("the pool has grown", || {
        host.exporter.pool().usage().mapped_bytes > 8 << 20
    });
    storage.stalled.send_replace(false);
    for writer in writers {
        writer.join().unwrap().unwrap();
    }
    wait_until("the pool is small again", || {
        host.exporter.pool().usage().mapped_bytes <= 2 << 20
    });
}

#[test]
fn a_device_follows_the_storages_size() {
    let host = Host::start();
    let storage = Memory::new(8 << 20, 512);
    let device = host.export(&storage, false);
    for size in [16u64 << 20, 12 << 20] {
        storage.resize(size);
        let resized = device.clone();
        host.run(async move { resized.resize(size, &support::Nobody, soon()).await })
            .unwrap();
        let mut file = std::fs::File::open(device.path()).unwrap();
        assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), size);
        open_direct(&device.path())
            .write_all_at(&Aligned::new(4096, 3), size - 4096)
            .unwrap();
        assert_eq!(storage.bytes.lock().unwrap()[size as usize - 1], 3);
    }
}

#[test]
fn many_devices_at_once_are_made_and_taken_away() {
    let host = Arc::new(Host::start());
    let before = ours();
    let storages: Vec<_> = (0..12).map(|_| Memory::new(1 << 20, 512)).collect();
    let devices: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = storages
            .iter()
            .map(|storage| scope.spawn(|| host.export(storage, false)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let numbers: std::collections::BTreeSet<_> = devices.iter().map(|device| device.number().1).collect();
    assert_eq!(numbers.len(), 12, "every device has its own loop device");
    for device in &devices {
        host.detach(device, false, Duration::from_secs(20)).unwrap();
        host.detach(device, false, Duration::from_secs(20)).unwrap();
    }
    for number in numbers {
        assert!(
            !ours().contains(&number) || before.contains(&number),
            "loop{number} is still there"
        );
    }
}

/// Loop devices that are bound to something without a path in our mount namespace, as ours are.
fn ours() -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/sys/block").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(number) = name.strip_prefix("loop").and_then(|n| n.parse().ok()) else {
            continue;
        };
        if entry.path().join("loop/backing_file").exists() {
            found.push(number);
        }
    }
    found
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

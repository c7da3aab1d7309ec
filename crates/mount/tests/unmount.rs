//! Taking mounts away, naming holders, and telling a dead file system from a living one.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use longshore_mount::health::{Health, check};
use longshore_mount::holders::{HoldKind, holders_of};
use longshore_mount::mountinfo::ScanLimits;
use longshore_mount::{
    DetachedMount, DeviceNumber, MountInfo, TargetDirectory, TargetRoot, UnmountError, UnmountOptions,
    Unmounted, unmount_all_layers,
};
use support::{Loop, Process, Sandbox, own, run, soon};

fn unmount(root: &TargetRoot, name: &str, device: &Loop) -> Result<Unmounted, UnmountError> {
    unmount_all_layers(
        root,
        Path::new(name),
        &[device.number()],
        UnmountOptions::default(),
        soon(),
    )
}

#[test]
fn f10_every_layer_of_ours_goes() {
    let sandbox = Sandbox::new();
    for fs_type in ["ext4", "btrfs"] {
        let device = Loop::with(fs_type);
        let placed = device.place(fs_type, &sandbox, fs_type);
        let text = placed.path().to_str().unwrap();
        for _ in 0..3 {
            run("mount", &["--bind", text, text]);
        }
        assert_eq!(MountInfo::read_own().unwrap().layers(placed.path()).len(), 4);
        assert_eq!(unmount(&sandbox.root(), fs_type, &device).unwrap().layers, 4);
        assert!(MountInfo::read_own().unwrap().top(placed.path()).is_none());
    }
}

/// Part of the proof of F10.
#[test]
fn a_foreign_layer_is_never_touched() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let placed = device.place("ext4", &sandbox, "over");
    run(
        "mount",
        &["-t", "tmpfs", "theirs", placed.path().to_str().unwrap()],
    );
    let error = unmount(&sandbox.root(), "over", &device).unwrap_err();
    assert!(
        matches!(&error, UnmountError::Foreign { found, .. } if found.contains("theirs")),
        "{error}"
    );
    assert_eq!(MountInfo::read_own().unwrap().layers(placed.path()).len(), 2);

    let under = sandbox.dir("under");
    run("mount", &["-t", "tmpfs", "theirs", under.to_str().unwrap()]);
    run("mount", &[device.path.to_str().unwrap(), under.to_str().unwrap()]);
    let done = unmount(&sandbox.root(), "under", &device).unwrap();
    assert_eq!((done.layers, done.foreign.len()), (1, 1));
    assert!(MountInfo::read_own().unwrap().top(&under).is_some());
    let none = unmount(&sandbox.root(), "nothing/there", &device).unwrap();
    assert_eq!((none.layers, none.foreign.len()), (0, 0), "F11: absent is done");
}

#[test]
fn f36_a_busy_mount_names_its_holder_and_can_be_detached() {
    let sandbox = Sandbox::new();
    for fs_type in ["ext4", "btrfs"] {
        let device = Loop::with(fs_type);
        let placed = device.place(fs_type, &sandbox, fs_type);
        let text = placed.path().to_str().unwrap().to_owned();
        std::fs::write(placed.path().join("file"), b"x").unwrap();
        for before in [format!("cd {text}"), format!("exec 5<{text}/file")] {
            let holder = Process::shell(false, &before);
            let error = unmount(&sandbox.root(), fs_type, &device).unwrap_err();
            let UnmountError::Busy { holders, .. } = &error else {
                panic!("{error}")
            };
            assert!(holders.processes.iter().any(|h| h.pid == holder.pid()), "{error}");
            assert!(
                error.to_string().contains(&format!("process {}", holder.pid())),
                "{error}"
            );
            assert!(placed.path().join("file").exists(), "it must still be mounted");
        }
        let holder = Process::shell(false, &format!("cd {text}"));
        let lazy = UnmountOptions {
            lazy: true,
            ..UnmountOptions::default()
        };
        let done = unmount_all_layers(
            &sandbox.root(),
            Path::new(fs_type),
            &[device.number()],
            lazy,
            soon(),
        )
        .unwrap();
        assert!(done.lazily && done.layers == 1);
        assert!(MountInfo::read_own().unwrap().top(placed.path()).is_none());
        drop(holder);
    }
}

#[test]
fn f36_a_mount_in_another_namespace_is_found_and_named() {
    let sandbox = Sandbox::new();
    let device = Loop::with("xfs");
    let path = sandbox.dir("target");
    let other = Process::shell(
        true,
        &format!("mount {} {}", device.path.display(), path.display()),
    );
    assert!(MountInfo::read_own().unwrap().top(&path).is_none());
    let holders = holders_of(&[device.number()], &ScanLimits::until(soon()));
    let found = holders.mounts.iter().find(|m| m.mount_point == path).unwrap();
    assert_eq!(found.pid, other.pid());
    assert!(
        holders
            .to_string()
            .contains(&format!("namespace of process {}", other.pid())),
        "{holders}"
    );
}

/// Part of the proof of F36.
#[test]
fn an_open_block_device_and_a_loop_on_a_file_are_found() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let holder = Process::shell(false, &format!("exec 5<{}", device.path.display()));
    let holders = holders_of(&[device.number()], &ScanLimits::until(soon()));
    let found = holders.processes.iter().find(|h| h.pid == holder.pid()).unwrap();
    assert_eq!(found.kind, HoldKind::BlockDevice);
    drop(holder);

    let placed = device.place("ext4", &sandbox, "target");
    let file = placed.path().join("disk");
    std::fs::File::create(&file).unwrap().set_len(1 << 20).unwrap();
    let inner = run("losetup", &["--find", "--show", file.to_str().unwrap()]);
    let error = unmount(&sandbox.root(), "target", &device);
    run("losetup", &["-d", &inner]);
    let error = error.unwrap_err();
    assert!(error.to_string().contains("loop"), "{error}");
}

/// A FUSE file system whose server never answers anything.
struct Hung {
    _connection: std::fs::File,
}

impl Hung {
    fn new(path: &Path) -> Self {
        let connection = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            connection.as_raw_fd()
        );
        let data = std::ffi::CString::new(data).unwrap();
        rustix::mount::mount(
            "hung",
            path,
            "fuse",
            rustix::mount::MountFlags::empty(),
            Some(data.as_c_str()),
        )
        .unwrap();
        Self {
            _connection: connection,
        }
    }
}

#[test]
fn f34_a_dead_file_system_is_taken_away_without_asking_it_anything() {
    let sandbox = Sandbox::new();
    let path = sandbox.dir("hung");
    let hung = Hung::new(&path);
    let device = MountInfo::read_own().unwrap().top(&path).unwrap().device;

    // Whoever asks it waits for ever: here, until the deadline, and the caller goes on.
    let asked = check(
        &own(),
        &path,
        &[device],
        true,
        Instant::now() + Duration::from_millis(300),
    )
    .unwrap();
    assert!(matches!(asked, Health::Unresponsive { .. }), "{asked:?}");

    let target = TargetDirectory::open(&sandbox.root(), Path::new("hung"))
        .map(|_| ())
        .unwrap_err();
    assert!(target.to_string().contains("hung"), "{target}");

    // It is done in the time of a healthy one: `hung` has answered nothing, and keeps its connection all along.
    let done = unmount_all_layers(
        &sandbox.root(),
        Path::new("hung"),
        &[device],
        UnmountOptions::default(),
        soon(),
    )
    .unwrap();
    assert_eq!(done.layers, 1);
    assert!(MountInfo::read_own().unwrap().top(&path).is_none());
    drop(hung);
}

/// A file system on a block device whose end is never answered, so that its unmount hangs in the kernel, as that of an
/// ext4 does whose device is dead.
struct HungAtItsEnd {
    _connection: std::fs::File,
}

impl HungAtItsEnd {
    fn new(device: &Loop, path: &Path) -> Self {
        use std::io::{Read, Write};
        let mut connection = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let data = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            connection.as_raw_fd()
        );
        let data = std::ffi::CString::new(data).unwrap();
        rustix::mount::mount(
            &device.path,
            path,
            "fuseblk",
            rustix::mount::MountFlags::empty(),
            Some(data.as_c_str()),
        )
        .unwrap();
        // FUSE_INIT, the only request that is answered (kernel `include/uapi/linux/fuse.h`, fuse_init_out).
        let mut request = vec![0_u8; 1 << 16];
        let len = connection.read(&mut request).unwrap();
        assert!(len > 40 && request[4..8] == 26_u32.to_ne_bytes());
        let mut reply = vec![0_u8; 16 + 64];
        reply[..4].copy_from_slice(&80_u32.to_ne_bytes());
        reply[8..16].copy_from_slice(&request[8..16]);
        reply[16..20].copy_from_slice(&7_u32.to_ne_bytes());
        reply[20..24].copy_from_slice(&31_u32.to_ne_bytes());
        reply[36..40].copy_from_slice(&4096_u32.to_ne_bytes());
        connection.write_all(&reply).unwrap();
        Self {
            _connection: connection,
        }
    }
}

/// Part of the proof of F10.
#[test]
fn f34_an_unmount_that_hangs_ends_at_its_deadline_and_takes_nothing_else() {
    let sandbox = Sandbox::new();
    for lazy in [false, true] {
        let device = Loop::blank(support::MIB);
        let name = format!("lazy-{lazy}");
        let path = sandbox.dir(&name);
        run("mount", &["-t", "tmpfs", "theirs", path.to_str().unwrap()]);
        let hung = HungAtItsEnd::new(&device, &path);
        let options = UnmountOptions {
            lazy,
            ..UnmountOptions::default()
        };
        let unmount = |patience| {
            let deadline = Instant::now() + Duration::from_secs(patience);
            unmount_all_layers(
                &sandbox.root(),
                Path::new(&name),
                &[device.number()],
                options,
                deadline,
            )
        };
        match unmount(4) {
            Ok(done) => assert_eq!(
                (lazy, done.layers, done.lazily, done.foreign.len()),
                (true, 1, true, 1)
            ),
            Err(error) => assert!(
                !lazy && matches!(error, UnmountError::Unanswered { .. }),
                "{error}"
            ),
        }
        let left = MountInfo::read_own().unwrap();
        let left: Vec<_> = left
            .layers(&path)
            .into_iter()
            .map(|e| e.fs_type.clone())
            .collect();
        assert_eq!(left, ["tmpfs"], "what was mounted beneath must stay");
        let again = unmount(60).unwrap();
        assert_eq!((again.layers, again.foreign.len()), (0, 1));
        drop(hung);
    }
}

#[test]
fn f34_an_unmount_without_time_touches_nothing() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let placed = device.place("ext4", &sandbox, "target");
    let mut done = 0;
    for lazy in [false, true] {
        let options = UnmountOptions {
            lazy,
            ..UnmountOptions::default()
        };
        let root = sandbox.root();
        // Never more than what was asked for, however the race of the kill and the kernel ends.
        match unmount_all_layers(
            &root,
            Path::new("target"),
            &[device.number()],
            options,
            Instant::now(),
        ) {
            Ok(unmounted) => done += unmounted.layers,
            Err(error) => assert!(matches!(error, UnmountError::Unanswered { .. }), "{error}"),
        }
    }
    assert!(done <= 1);
    assert!(placed.path().is_dir());
}

#[test]
fn f34_a_dead_file_system_in_a_holders_hand_does_not_stop_the_scan() {
    let sandbox = Sandbox::new();
    // Below /dev, where the scan looks at open files themselves.
    let path = tempfile::tempdir_in("/dev/shm").unwrap();
    let hung = Hung::new(path.path());
    // Only O_PATH asks the server nothing.
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let held = rustix::fs::open(path.path(), flags, rustix::fs::Mode::empty()).unwrap();
    let child = std::process::Command::new("sleep")
        .arg("1000")
        .stdin(std::process::Stdio::from(held))
        .spawn()
        .unwrap();
    let _holder = Process(child);
    let device = Loop::with("ext4");
    let (send, receive) = std::sync::mpsc::channel();
    let number = device.number();
    std::thread::spawn(move || send.send(holders_of(&[number], &ScanLimits::until(soon()))));
    let holders = receive
        .recv_timeout(Duration::from_secs(60))
        .expect("the scan hangs");
    assert!(!holders.incomplete, "{holders}");
    drop(hung);
    rustix::mount::unmount(path.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    drop(sandbox);
}

/// Part of the proof of F13.
#[test]
fn f32_an_abandoned_call_does_not_block_the_next() {
    let sandbox = Sandbox::new();
    let path = sandbox.dir("hung");
    let _hung = Hung::new(&path);
    let number = MountInfo::read_own().unwrap().top(&path).unwrap().device;
    for _ in 0..3 {
        let late = check(
            &own(),
            &path,
            &[number],
            true,
            Instant::now() + Duration::from_millis(100),
        )
        .unwrap();
        assert!(matches!(late, Health::Unresponsive { .. }));
    }
    let device = Loop::with("ext4");
    device.place("ext4", &sandbox, "next");
    assert_eq!(unmount(&sandbox.root(), "next", &device).unwrap().layers, 1);
    // No child is left: every one was killed and reaped.
    let me = std::process::id().to_string();
    let children = std::fs::read_to_string(format!(
        "/proc/{me}/task/{}/children",
        rustix::thread::gettid().as_raw_nonzero()
    ));
    assert_eq!(children.unwrap_or_default().trim(), "");
}

#[test]
fn f9_an_aborted_file_system_is_told_from_a_living_one() {
    let sandbox = Sandbox::new();
    for fs_type in ["xfs", "ext4"] {
        let device = Loop::with(fs_type);
        let placed = device.place(fs_type, &sandbox, fs_type);
        let look = || check(&own(), placed.path(), &[device.number()], true, soon()).unwrap();
        assert_eq!(look(), Health::Alive);
        let other = check(
            &own(),
            placed.path(),
            &[DeviceNumber::new(7, 4_000)],
            true,
            soon(),
        )
        .unwrap();
        assert!(matches!(other, Health::NotThere { .. }), "{other:?}");

        run(
            "xfs_io",
            &["-x", "-c", "shutdown", placed.path().to_str().unwrap()],
        );
        let dead = look();
        assert!(!dead.is_alive(), "{fs_type}: {dead:?}");
        assert_eq!(unmount(&sandbox.root(), fs_type, &device).unwrap().layers, 1);
        let gone = look();
        assert!(matches!(gone, Health::NotThere { .. }), "{gone:?}");
    }
    let device = Loop::with("ext4");
    let placed = device.place("ext4", &sandbox, "remounted");
    run("mount", &["-o", "remount,ro", placed.path().to_str().unwrap()]);
    let stopped = check(&own(), placed.path(), &[device.number()], true, soon()).unwrap();
    assert!(matches!(stopped, Health::ReadOnlyByError { .. }), "{stopped:?}");
    let meant = check(&own(), placed.path(), &[device.number()], false, soon()).unwrap();
    assert_eq!(meant, Health::Alive);
}

#[test]
fn a_published_bind_outlives_an_unmounted_stage_in_the_holders_list() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let staged = device.place("ext4", &sandbox, "stage");
    sandbox.dir("pod");
    let root = sandbox.root();
    let target = TargetDirectory::open(&root, Path::new("pod")).unwrap();
    let clone = DetachedMount::clone_of(&own(), staged.path(), &[device.number()], soon()).unwrap();
    clone.place(&target, device.number(), soon()).unwrap();
    unmount(&root, "stage", &device).unwrap();
    let holders = holders_of(&[device.number()], &ScanLimits::until(soon()));
    assert!(
        holders.mounts.iter().any(|m| m.mount_point == target.path()),
        "{holders}"
    );
}

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

//! Detached mounts of real file systems on loop devices, and their placement.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::Instant;

use longshore_mount::{
    CloneError, DetachedMount, DeviceNumber, DuplicateUuid, MountError, MountInfo, MountNamespace,
    MountOptions, MountRequest, PlaceError, TargetDirectory, TargetRoot, UnmountOptions, mount_filesystem,
    unmount_all_layers,
};
use support::{Loop, Process, Sandbox, WriteProtected, own, run, soon};

const TYPES: [&str; 3] = ["ext4", "xfs", "btrfs"];

#[test]
fn file_systems_are_mounted_placed_verified_and_taken_away() {
    let sandbox = Sandbox::new();
    for fs_type in TYPES {
        let device = Loop::with(fs_type);
        let placed = device.place(fs_type, &sandbox, fs_type);
        assert_eq!(placed.path(), sandbox.path().join(fs_type));
        assert!(placed.entry.belongs_to(&[device.number()]) && placed.entry.fs_type == fs_type);
        assert!(placed.entry.is_private() && !placed.entry.is_read_only());
        for flag in ["nosuid", "nodev"] {
            assert!(placed.entry.options.iter().any(|o| o == flag), "{flag}");
        }
        std::fs::write(placed.path().join("file"), b"data").unwrap();

        let devices = [device.number()];
        let undo = || {
            unmount_all_layers(
                &sandbox.root(),
                Path::new(fs_type),
                &devices,
                UnmountOptions::default(),
                soon(),
            )
            .unwrap()
        };
        assert_eq!(undo().layers, 1);
        assert_eq!(undo().layers, 0, "a second unmount is already so");
        assert!(!placed.path().join("file").exists());
    }
}

#[test]
fn a_dropped_mount_leaves_the_device_free() {
    let _sandbox = Sandbox::new();
    for fs_type in TYPES {
        let device = Loop::with(fs_type);
        drop(device.mount(fs_type, &[], false).unwrap());
        // Nobody holds the device; a test that starts a process at this moment may, until its exec.
        let deadline = soon();
        while exclusive(&device.path).is_err() {
            assert!(Instant::now() < deadline, "{fs_type}: the device is still held");
            std::thread::yield_now();
        }
    }
}

fn exclusive(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap();
    std::fs::File::options().read(true).custom_flags(flags).open(path)
}

#[test]
fn read_only_writes_not_one_byte_even_with_a_dirty_journal() {
    let sandbox = Sandbox::new();
    for fs_type in TYPES {
        let device = Loop::with(fs_type);
        let placed = device.place(fs_type, &sandbox, fs_type);
        std::fs::write(placed.path().join("file"), b"in the journal").unwrap();
        run("sync", &["-f", placed.path().to_str().unwrap()]);
        std::fs::write(placed.path().join("second"), b"in the journal").unwrap();
        // A crash: what is on the disk while it is mounted.
        let crashed = device.copy();
        let undo = unmount_all_layers(
            &sandbox.root(),
            Path::new(fs_type),
            &[device.number()],
            UnmountOptions::default(),
            soon(),
        );
        assert_eq!(undo.unwrap().layers, 1);
        drop(device);

        let _protected = WriteProtected::new(&crashed);
        let before = std::fs::read(&crashed.image).unwrap();
        let name = format!("{fs_type}-ro");
        sandbox.dir(&name);
        let root = sandbox.root();
        let target = TargetDirectory::open(&root, Path::new(&name)).unwrap();
        let placed = crashed
            .mount(fs_type, &[], true)
            .unwrap()
            .place(&target, crashed.number(), soon())
            .unwrap();
        assert!(placed.entry.is_read_only());
        let error = std::fs::write(placed.path().join("third"), b"x").unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::ROFS.raw_os_error()),
            "{fs_type}"
        );
        let devices = [crashed.number()];
        unmount_all_layers(
            &root,
            Path::new(&name),
            &devices,
            UnmountOptions::default(),
            soon(),
        )
        .unwrap();
        assert!(
            before == std::fs::read(&crashed.image).unwrap(),
            "{fs_type}: a read-only mount wrote"
        );
    }
}

#[test]
fn read_write_on_a_read_only_device_is_a_clear_error() {
    let _sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let _protected = WriteProtected::new(&device);
    let error = device.mount("ext4", &[], false).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn f8_another_device_behind_the_node_is_refused() {
    let _sandbox = Sandbox::new();
    let (right, wrong) = (Loop::with("ext4"), Loop::with("ext4"));
    let options = MountOptions::defaults("ext4").unwrap();
    let request = MountRequest {
        device: right.number(),
        ..wrong.request(&options, false)
    };
    let error = mount_filesystem(&request, soon()).unwrap_err();
    assert!(matches!(error, MountError::WrongDevice { .. }), "{error}");
    let request = MountRequest {
        source: Path::new("/etc/hostname"),
        ..right.request(&options, false)
    };
    assert!(matches!(
        mount_filesystem(&request, soon()),
        Err(MountError::WrongDevice { .. })
    ));
}

#[test]
fn what_the_kernel_refuses_is_explained() {
    let _sandbox = Sandbox::new();
    let blank = Loop::blank(32 * support::MIB);
    for fs_type in TYPES {
        let error = blank.mount(fs_type, &[], false).unwrap_err();
        assert!(matches!(error, MountError::Kernel { .. }), "{error}");
    }
    let xfs = Loop::with("xfs");
    let error = xfs.mount("xfs", &["logbufs=1"], false).unwrap_err();
    assert!(error.to_string().contains("the kernel says"), "{error}");
    assert!(error.to_string().contains("logbuf"), "{error}");
}

/// Part of the proof of F32.
#[test]
fn a_deadline_that_has_passed_mounts_nothing() {
    let _sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let options = MountOptions::defaults("ext4").unwrap();
    let error = mount_filesystem(&device.request(&options, false), Instant::now()).unwrap_err();
    assert!(matches!(error, MountError::Unanswered { .. }), "{error}");
}

#[test]
fn f20_a_clone_of_an_xfs_mounts_beside_its_original_only_when_proved() {
    let sandbox = Sandbox::new();
    let original = Loop::with("xfs");
    let clone = original.copy();
    original.place("xfs", &sandbox, "original");

    let error = clone.mount("xfs", &[], false).unwrap_err();
    assert!(matches!(error, MountError::DuplicateUuid { .. }), "{error}");

    let options = MountOptions::defaults("xfs").unwrap();
    let request = MountRequest {
        duplicate_uuid: DuplicateUuid::ProvenClone,
        ..clone.request(&options, false)
    };
    let mount = mount_filesystem(&request, soon()).unwrap();
    assert_eq!(mount.device(), clone.number());
    assert!(
        mount.notes().iter().any(|n| n.contains("nouuid")),
        "{:?}",
        mount.notes()
    );
    drop(mount);

    // Without a clash there is no nouuid.
    let other = Loop::with("xfs");
    let request = MountRequest {
        duplicate_uuid: DuplicateUuid::ProvenClone,
        ..other.request(&options, false)
    };
    assert!(mount_filesystem(&request, soon()).unwrap().notes().is_empty());
    // Another fault that is EINVAL too is not taken for a clash.
    let blank = Loop::blank(32 * support::MIB);
    let request = MountRequest {
        duplicate_uuid: DuplicateUuid::ProvenClone,
        ..blank.request(&options, false)
    };
    assert!(matches!(
        mount_filesystem(&request, soon()),
        Err(MountError::Kernel { .. })
    ));
}

/// Part of the proof of F20.
#[test]
fn a_clone_of_a_btrfs_never_mounts_its_original_instead() {
    let sandbox = Sandbox::new();
    let original = Loop::with("btrfs");
    let clone = original.copy();
    let placed = original.place("btrfs", &sandbox, "original");
    std::fs::write(placed.path().join("file"), b"original").unwrap();
    // Newer kernels mount it under a temporary UUID, older ones would give us the original: then it is refused.
    match clone.mount("btrfs", &[], false) {
        Ok(mount) => assert!(rustix::fs::statat(&mount, "file", rustix::fs::AtFlags::empty()).is_err()),
        Err(error) => assert!(
            matches!(error, MountError::WrongDevice { .. } | MountError::Kernel { .. }),
            "{error}"
        ),
    }
}

#[test]
fn a_bind_mount_is_read_only_by_itself_and_private() {
    let sandbox = Sandbox::new();
    run("mount", &["--make-rshared", "/"]);
    for fs_type in TYPES {
        let device = Loop::with(fs_type);
        let staged = device.place(fs_type, &sandbox, &format!("{fs_type}-stage"));
        assert!(!staged.entry.is_private(), "the parent is shared here");
        std::fs::write(staged.path().join("file"), b"data").unwrap();
        let expected = [device.number()];
        let clone = DetachedMount::clone_of(&own(), staged.path(), &expected, soon()).unwrap();
        let clone = clone.set_read_only(soon()).unwrap();
        let name = format!("{fs_type}-pod");
        sandbox.dir(&name);
        let root = sandbox.root();
        let target = TargetDirectory::open(&root, Path::new(&name)).unwrap();
        let published = clone.place(&target, device.number(), soon()).unwrap();
        assert_eq!(std::fs::read(published.path().join("file")).unwrap(), b"data");
        assert!(std::fs::write(published.path().join("file"), b"x").is_err());
        std::fs::write(staged.path().join("file"), b"more").unwrap();
        assert_ne!(
            published.entry.optional_fields, staged.entry.optional_fields,
            "another peer group"
        );

        // The staging mount may go; the published one keeps the file system alive.
        let stage = format!("{fs_type}-stage");
        unmount_all_layers(
            &root,
            Path::new(&stage),
            &expected,
            UnmountOptions::default(),
            soon(),
        )
        .unwrap();
        assert_eq!(std::fs::read(published.path().join("file")).unwrap(), b"more");
        unmount_all_layers(
            &root,
            Path::new(&name),
            &expected,
            UnmountOptions::default(),
            soon(),
        )
        .unwrap();
    }
}

#[test]
fn f8_a_bind_of_the_wrong_device_or_of_nothing_is_refused() {
    let sandbox = Sandbox::new();
    let (right, wrong) = (Loop::with("ext4"), Loop::with("ext4"));
    let staged = wrong.place("ext4", &sandbox, "stage");
    let error = DetachedMount::clone_of(&own(), staged.path(), &[right.number()], soon()).unwrap_err();
    assert!(matches!(error, CloneError::WrongDevice { .. }), "{error}");
    let empty = sandbox.dir("empty");
    let error = DetachedMount::clone_of(&own(), &empty, &[right.number()], soon()).unwrap_err();
    assert!(matches!(error, CloneError::NotMounted { .. }), "{error}");
}

#[test]
fn f8_a_placement_that_cannot_be_verified_is_taken_away_again() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let path = sandbox.dir("target");
    let root = sandbox.root();
    let target = TargetDirectory::open(&root, Path::new("target")).unwrap();
    let mount = device.mount("ext4", &[], false).unwrap();
    let error = mount
        .place(&target, DeviceNumber::new(7, 4_000), soon())
        .unwrap_err();
    assert!(matches!(error, PlaceError::NotVerified { .. }), "{error}");
    assert!(MountInfo::read_own().unwrap().top(&path).is_none());
}

#[test]
fn a_target_that_is_removed_meanwhile_is_an_error() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let path = sandbox.dir("target");
    let root = sandbox.root();
    let target = TargetDirectory::open(&root, Path::new("target")).unwrap();
    std::fs::remove_dir(&path).unwrap();
    let error = device
        .mount("ext4", &[], false)
        .unwrap()
        .place(&target, device.number(), soon())
        .unwrap_err();
    assert!(matches!(error, PlaceError::Kernel { .. }), "{error}");
}

#[test]
fn f41_a_mount_is_placed_and_verified_in_another_processs_namespace() {
    for shared in [false, true] {
        let sandbox = Sandbox::new();
        let device = Loop::with("xfs");
        let path = sandbox.dir("target");
        let before = if shared { "mount --make-rshared /" } else { "true" };
        let other = Process::shell(true, before);
        let namespace = || MountNamespace::of_process(other.pid()).unwrap();
        assert!(!namespace().is_own());

        let root = TargetRoot::open(namespace(), sandbox.path()).unwrap();
        let target = TargetDirectory::open(&root, Path::new("target")).unwrap();
        let placed = device
            .mount("xfs", &[], false)
            .unwrap()
            .place(&target, device.number(), soon())
            .unwrap();
        assert_eq!(placed.path(), path);
        assert!(
            MountInfo::read_own().unwrap().top(&path).is_none(),
            "it landed in our own namespace"
        );
        let there = MountInfo::read(&namespace()).unwrap();
        assert_eq!(there.top(&path).unwrap().device, device.number());
        let file = Path::new("/proc")
            .join(other.pid().to_string())
            .join("root")
            .join(path.strip_prefix("/").unwrap());
        std::fs::write(file.join("file"), b"data").unwrap();

        // A bind of it, from there to there, and the way back.
        let clone = DetachedMount::clone_of(&namespace(), &path, &[device.number()], soon()).unwrap();
        sandbox.dir("second");
        let second = TargetDirectory::open(&root, Path::new("second")).unwrap();
        clone
            .set_read_only(soon())
            .unwrap()
            .place(&second, device.number(), soon())
            .unwrap();
        for name in ["second", "target"] {
            let done = unmount_all_layers(
                &root,
                Path::new(name),
                &[device.number()],
                UnmountOptions::default(),
                soon(),
            );
            assert_eq!(done.unwrap().layers, 1);
        }
        assert_eq!(
            MountInfo::read(&namespace())
                .unwrap()
                .of_device(device.number())
                .count(),
            0
        );
    }
}

#[test]
fn f41_a_namespace_that_is_gone_is_an_error_and_nothing_lands_elsewhere() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    let path = sandbox.dir("target");
    let other = Process::shell(true, "true");
    let root = TargetRoot::open(MountNamespace::of_process(other.pid()).unwrap(), sandbox.path()).unwrap();
    let target = TargetDirectory::open(&root, Path::new("target")).unwrap();
    drop(other);
    let error = device
        .mount("ext4", &[], false)
        .unwrap()
        .place(&target, device.number(), soon())
        .unwrap_err();
    assert!(matches!(error, PlaceError::MountInfo(_)), "{error}");
    assert!(MountInfo::read_own().unwrap().top(&path).is_none());
}

//! The gate on real loop devices: what is formatted, what never is, and what the tools do.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use longshore_disk::{
    Content, Device, FormatError, FormatPolicy, FormatRecord, FormatRequest, FsType, FsUuid, Refusal,
    ToolError, Tools, VerifiedIdentity, format, fsck, grow, probe_path,
};
use support::{Loop, Mounted, WriteProtected, run, soon, tools};

const MIB: u64 = 1 << 20;

fn identity(device: &Loop) -> VerifiedIdentity {
    let size = Device::open(&device.path).unwrap().size_bytes();
    // Fresh for the whole test, however slow the machine is.
    let verified_at = soon();
    VerifiedIdentity::attest("naa.6001405000000001", device.number(), size, verified_at).unwrap()
}

fn request<'a>(device: &'a Path, identity: &'a VerifiedIdentity, fs_type: FsType) -> FormatRequest<'a> {
    FormatRequest {
        device,
        identity,
        policy: FormatPolicy::IfBlank,
        record: FormatRecord::None,
        fs_type,
        uuid: FsUuid::random().unwrap(),
        label: if fs_type == FsType::Btrfs { "" } else { "vol-1" },
    }
}

fn refusal(result: Result<longshore_disk::Formatted, FormatError>) -> Refusal {
    match result {
        Err(FormatError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_blank_device_is_formatted_with_the_recorded_uuid_and_mounts() {
    for fs_type in FsType::ALL {
        for block_size in [512, 4096] {
            let device = Loop::new(512 * MIB, block_size);
            let identity = identity(&device);
            let request = request(&device.path, &identity, fs_type);
            let formatted = format(&request, &tools(), soon()).unwrap();
            let made = formatted.file_system;
            assert_eq!(made.format_uuid(), Some(request.uuid));
            // mkfs.btrfs chooses the UUID itself: to be given one, it would look at every device of the host.
            assert_eq!(made.uuid == request.uuid, fs_type != FsType::Btrfs);
            assert_eq!(
                run("blkid", &["-p", "-o", "value", "-s", "UUID", device.text()]).trim(),
                made.uuid.to_string()
            );
            if fs_type != FsType::Btrfs {
                assert_eq!(made.label, "vol-1");
            }
            // A second format is refused: something is there.
            assert!(matches!(
                refusal(format(&request, &tools(), soon())),
                Refusal::HoldsFileSystem { .. }
            ));
            let mounted = Mounted::new(&device.path, "rw");
            std::fs::write(mounted.path.join("file"), b"data").unwrap();
        }
    }
}

#[test]
fn features_stay_within_what_linux_5_10_mounts() {
    let device = Loop::new(512 * MIB, 512);
    let identity = identity(&device);
    format(&request(&device.path, &identity, FsType::Ext4), &tools(), soon()).unwrap();
    let features = run("dumpe2fs", &["-h", device.text()]);
    assert!(
        features.contains("metadata_csum") && features.contains("64bit"),
        "{features}"
    );
    for newer in ["orphan_file", "metadata_csum_seed", "casefold"] {
        assert!(!features.contains(newer), "{newer}");
    }

    let device = Loop::new(512 * MIB, 512);
    let identity = self::identity(&device);
    format(&request(&device.path, &identity, FsType::Xfs), &tools(), soon()).unwrap();
    let info = run("xfs_db", &["-r", "-c", "info", device.text()]);
    assert!(
        info.contains("bigtime=0") && info.contains("inobtcount=0") && info.contains("nrext64=0"),
        "{info}"
    );
    assert!(info.contains("crc=1") && info.contains("reflink=1"), "{info}");
}

#[test]
fn f1_anything_there_is_refused_and_untouched() {
    for bytes in [&b"x"[..], b"LUKS\xba\xbe\x00\x02"] {
        for at in [0, 511, 100 * MIB / 2, 512 * MIB - 9] {
            let device = Loop::new(512 * MIB, 512);
            // 50 MiB lies between the head and the 64 MiB mirror; only what is a probed place is promised.
            let at = if at == 50 * MIB { 64 * MIB } else { at };
            device.image.write(at, bytes);
            let identity = identity(&device);
            let refused = refusal(format(
                &request(&device.path, &identity, FsType::Ext4),
                &tools(),
                soon(),
            ));
            assert!(matches!(&refused, Refusal::HoldsOther { .. }), "{refused}");
            assert!(refused.to_string().contains("wipefs"), "{refused}");
            assert_eq!(device.image.read(at, bytes.len()), bytes);
            device.image.write(at, &vec![0; bytes.len()]);
            assert!(
                matches!(probe_path(&device.path, soon()), Content::Blank),
                "something else was written"
            );
        }
    }
}

#[test]
fn never_a_record_a_stale_proof_or_a_wrong_size_are_refused_on_a_blank_device() {
    let device = Loop::new(512 * MIB, 512);
    let good = identity(&device);
    let base = request(&device.path, &good, FsType::Ext4);
    let tools = support::tools();

    let never = FormatRequest {
        policy: FormatPolicy::Never,
        ..base
    };
    let text = refusal(format(&never, &tools, soon())).to_string();
    assert!(
        text.contains("format: ifBlank") && text.contains("is blank"),
        "{text}"
    );

    let uuid = FsUuid::random().unwrap();
    let recorded = FormatRequest {
        record: FormatRecord::Done(uuid),
        ..base
    };
    let text = refusal(format(&recorded, &tools, soon())).to_string();
    assert!(text.contains(&uuid.to_string()), "F2: {text}");

    let size = 512 * MIB;
    let number = device.number();
    for (number, size) in [((number.0, number.1 + 1), size), (number, size + 512)] {
        let wrong = VerifiedIdentity::attest("naa.1", number, size, Instant::now()).unwrap();
        let request = FormatRequest {
            identity: &wrong,
            ..base
        };
        assert!(
            matches!(
                refusal(format(&request, &tools, soon())),
                Refusal::Identity { .. }
            ),
            "F3"
        );
    }
    if let Some(old) = Instant::now().checked_sub(Duration::from_secs(61)) {
        let stale = VerifiedIdentity::attest("naa.1", number, size, old).unwrap();
        let request = FormatRequest {
            identity: &stale,
            ..base
        };
        assert!(matches!(
            refusal(format(&request, &tools, soon())),
            Refusal::Identity { .. }
        ));
    }
    assert!(VerifiedIdentity::attest(" ", number, size, Instant::now()).is_none());

    for label in ["-x", "seventeen-letters", "new\nline", "ä"] {
        let request = FormatRequest { label, ..base };
        assert!(
            matches!(refusal(format(&request, &tools, soon())), Refusal::Label { .. }),
            "{label}"
        );
    }
    let request = FormatRequest {
        label: "taken",
        ..request(&device.path, &good, FsType::Btrfs)
    };
    assert!(matches!(
        refusal(format(&request, &tools, soon())),
        Refusal::Label { .. }
    ));
    assert!(device.image.is_untouched());
}

#[test]
fn an_interrupted_format_may_be_repeated_while_blank_and_is_named_otherwise() {
    let device = Loop::new(512 * MIB, 512);
    let identity = identity(&device);
    let uuid = FsUuid::random().unwrap();
    let begun = FormatRequest {
        record: FormatRecord::Begun(uuid),
        uuid,
        ..request(&device.path, &identity, FsType::Xfs)
    };
    device.image.write(8192, b"half");
    let text = refusal(format(&begun, &tools(), soon())).to_string();
    assert!(
        text.contains("interrupted") && text.contains(&uuid.to_string()),
        "{text}"
    );
    device.image.write(8192, &[0; 4]);
    assert_eq!(format(&begun, &tools(), soon()).unwrap().file_system.uuid, uuid);
}

#[test]
fn too_small_is_said_before_mkfs_says_it() {
    for (fs_type, size) in [
        (FsType::Xfs, 299 * MIB),
        (FsType::Btrfs, 100 * MIB),
        (FsType::Ext4, 8 * MIB),
    ] {
        let device = Loop::new(size, 512);
        let identity = identity(&device);
        let refused = refusal(format(
            &request(&device.path, &identity, fs_type),
            &tools(),
            soon(),
        ));
        assert!(matches!(refused, Refusal::TooSmall { .. }), "{refused}");
        assert!(device.image.is_untouched());
    }
    for fs_type in FsType::ALL {
        let minimum = match fs_type {
            FsType::Ext4 => 16 * MIB,
            FsType::Xfs => 300 * MIB,
            FsType::Btrfs => 128 * MIB,
        };
        let device = Loop::new(minimum, 512);
        let identity = identity(&device);
        format(&request(&device.path, &identity, fs_type), &tools(), soon()).unwrap();
    }
}

#[test]
fn a_held_or_read_only_device_is_refused() {
    let device = Loop::new(512 * MIB, 512);
    let identity = identity(&device);
    let request = request(&device.path, &identity, FsType::Ext4);
    {
        let _held = Device::open_exclusive(&device.path).unwrap();
        let error = format(&request, &tools(), soon()).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        // Why our own claim must end before the tool starts: it respects the claim.
        let mkfs = std::process::Command::new("/usr/sbin/mkfs.ext4")
            .arg("-q")
            .arg(&device.path)
            .output()
            .unwrap();
        assert!(!mkfs.status.success());
    }
    assert!(device.image.is_untouched());
    let _protected = WriteProtected::new(&device);
    assert!(matches!(
        refusal(format(&request, &tools(), soon())),
        Refusal::ReadOnly { .. }
    ));
    assert!(device.image.is_untouched());
}

/// F15: a minimal host is told what it lacks, by name.
#[test]
fn a_missing_tool_is_named_with_its_package_and_nothing_is_written() {
    let device = Loop::new(512 * MIB, 512);
    let identity = identity(&device);
    let empty = tempfile::tempdir().unwrap();
    let tools = Tools::in_directories([empty.path()]);
    let error = format(&request(&device.path, &identity, FsType::Xfs), &tools, soon()).unwrap_err();
    assert!(
        matches!(
            &error,
            FormatError::Tool(ToolError::Missing {
                package: "xfsprogs",
                ..
            })
        ),
        "{error}"
    );
    assert!(device.image.is_untouched());
}

#[test]
fn a_tool_that_lies_is_found_out() {
    use std::os::unix::fs::PermissionsExt;
    let device = Loop::new(512 * MIB, 512);
    let identity = identity(&device);
    let directory = tempfile::tempdir().unwrap();
    let liar = directory.path().join("mkfs.ext4");
    std::fs::write(&liar, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&liar, std::fs::Permissions::from_mode(0o755)).unwrap();
    let tools = Tools::in_directories([directory.path()]);
    let error = format(&request(&device.path, &identity, FsType::Ext4), &tools, soon()).unwrap_err();
    assert!(matches!(error, FormatError::NotVerified { .. }), "{error}");
}

/// F1: between the proof that the device is blank and the tool's own claim, nobody may take the device. What the gate
/// asks the tool beforehand can take its time, so it is asked under the claim.
#[test]
fn f1_the_device_stays_claimed_while_the_tool_is_asked_what_it_knows() {
    use std::os::unix::fs::PermissionsExt;
    for (fs_type, question) in [(FsType::Xfs, "-V"), (FsType::Btrfs, "-O list-all")] {
        let device = Loop::new(512 * MIB, 512);
        let identity = identity(&device);
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        let name = format!("mkfs.{fs_type}");
        // Somebody else makes swap space of the device, which asks for the claim, at the very moment of the question.
        let script = format!(
            "#!/bin/sh\nif [ \"$*\" = '{question}' ]; then /usr/sbin/mkswap {} && /usr/bin/touch {}; fi\n\
             exec /usr/sbin/{name} \"$@\"\n",
            device.text(),
            taken.display(),
        );
        let tool = directory.path().join(&name);
        std::fs::write(&tool, script).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools::in_directories([directory.path()]);
        let formatted = format(&request(&device.path, &identity, fs_type), &tools, soon());
        assert!(!taken.exists(), "{fs_type}: somebody took the device meanwhile");
        assert_eq!(formatted.unwrap().file_system.fs_type, fs_type);
    }
}

#[test]
fn fsck_repairs_the_small_and_refuses_the_large() {
    let tools = support::tools();
    let device = Loop::new(64 * MIB, 512);
    run("mkfs.ext4", &["-q", device.text()]);
    let check = || fsck::check(FsType::Ext4, &device.path, &tools, soon());
    assert_eq!(check().unwrap(), fsck::Fsck::Clean);
    assert_eq!(
        fsck::check(FsType::Xfs, &device.path, &tools, soon()).unwrap(),
        fsck::Fsck::NotNeeded
    );

    // A wrong free-blocks count after an unclean stop: -p mends it.
    run(
        "debugfs",
        &["-w", "-R", "set_super_value free_blocks_count 1", device.text()],
    );
    run("debugfs", &["-w", "-R", "set_super_value state 2", device.text()]);
    assert!(matches!(check().unwrap(), fsck::Fsck::Corrected { .. }));

    // A root directory that is none: -p leaves it to a person.
    run("debugfs", &["-w", "-R", "clri <2>", device.text()]);
    run("debugfs", &["-w", "-R", "set_super_value state 2", device.text()]);
    let error = check().unwrap_err();
    assert!(matches!(error, fsck::FsckError::Uncorrected { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("e2fsck -f {}", device.text())),
        "{error}"
    );
}

/// Whether this process may grow a mounted ext4.
fn has_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let caps = status.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(caps.trim(), 16).unwrap() & (1 << 24) != 0
}

fn enlarge(device: &Loop, size: u64) {
    std::fs::File::options()
        .write(true)
        .open(&device.image.path)
        .unwrap()
        .set_len(size)
        .unwrap();
    run("losetup", &["-c", device.text()]);
}

/// Part of the proof of F39.
#[test]
fn file_systems_grow_on_line_to_their_device_and_only_then() {
    let tools = support::tools();
    for fs_type in FsType::ALL {
        let device = Loop::new(512 * MIB, 512);
        let identity = identity(&device);
        let fs = format(&request(&device.path, &identity, fs_type), &tools, soon())
            .unwrap()
            .file_system;
        let mounted = Mounted::new(&device.path, "rw");
        let grow = |bytes| grow::grow(&fs, &device.path, bytes, &mounted.path, &tools, soon());
        assert_eq!(grow(512 * MIB).unwrap(), grow::Grown::AlreadySo);
        assert!(matches!(
            grow(256 * MIB),
            Err(grow::GrowError::DeviceTooSmall { .. })
        ));

        enlarge(&device, 1024 * MIB);
        if fs_type == FsType::Ext4 && !has_sys_resource() {
            assert!(matches!(
                grow(1024 * MIB),
                Err(grow::GrowError::NotPermitted { .. })
            ));
            continue;
        }
        let grown = grow(1024 * MIB).unwrap();
        let grow::Grown::Changed {
            before_bytes,
            after_bytes,
        } = grown
        else {
            panic!("{fs_type}: {grown:?}")
        };
        assert!(
            after_bytes > before_bytes + 400 * MIB,
            "{fs_type}: {before_bytes} to {after_bytes}"
        );
        // A repeat with the old super block in hand changes nothing and is no error.
        assert_eq!(grow(1024 * MIB).unwrap(), grow::Grown::AlreadySo, "{fs_type}");
    }
}

#[test]
fn an_unmounted_ext4_grows_before_its_mount() {
    let tools = support::tools();
    for fs_type in FsType::ALL {
        let device = Loop::new(512 * MIB, 512);
        let identity = identity(&device);
        let fs = format(&request(&device.path, &identity, fs_type), &tools, soon())
            .unwrap()
            .file_system;
        {
            let mounted = Mounted::new(&device.path, "rw");
            std::fs::write(mounted.path.join("file"), b"kept").unwrap();
        }
        enlarge(&device, 1024 * MIB);
        let grown = grow::grow_unmounted(&fs, &device.path, 1024 * MIB, &tools, soon()).unwrap();
        match fs_type {
            FsType::Ext4 => assert!(
                matches!(grown, grow::Grown::Changed { after_bytes, .. } if after_bytes == 1024 * MIB)
            ),
            FsType::Xfs | FsType::Btrfs => assert_eq!(grown, grow::Grown::WhenMounted),
        }
        let mounted = Mounted::new(&device.path, "rw");
        assert_eq!(std::fs::read(mounted.path.join("file")).unwrap(), b"kept");
    }
}

//! What protects data: identity, the format gate, what is on the device, reboots, damaged records.

use super::*;
use crate::engine::VolumeState;
use crate::{Access, FormatPolicy, Outcome};

fn may_format(lun: u16) -> VolumeSpec {
    VolumeSpec {
        format: FormatPolicy::IfBlank,
        fs_type: Some(FsType::Ext4),
        ..spec(lun)
    }
}

#[test]
fn a_changed_wwid_is_refused_until_it_is_forgotten_f3() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let (id, target) = (spec(0).id(), bench.target("a"));
    engine.mount(&spec(0), &target, &mut call()).unwrap();
    engine.umount(&target, &mut call()).unwrap();
    let old =
        bench.world(|world| std::mem::replace(&mut world.lun(&spec(0).lun_key()).wwid, "naa.6f".into()));

    let error = engine.mount(&spec(0), &target, &mut call()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    for text in [old.as_str(), "naa.6f", "longshore forget", "earlier use"] {
        assert!(error.to_string().contains(text), "{error}");
    }
    bench.assert_clean();
    assert_eq!(engine.forget(&id, &mut call()).unwrap(), Outcome::Changed);
    engine.mount(&spec(0), &target, &mut call()).unwrap();
    refused(
        engine.forget(&id, &mut call()),
        ErrorKind::InUse,
        "take that down first",
    );
}

#[test]
fn the_engine_compares_the_wwid_itself_and_detaches_the_wrong_disk_f3() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.stage(&spec(0), &mut call()).unwrap();
    engine.unstage(&spec(0).id(), &mut call()).unwrap();
    bench.world(|world| {
        world.trusts_blindly = true;
        world.lun(&spec(0).lun_key()).wwid = "naa.6f".into();
    });
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::Refused,
        "the WWID is naa.6f, but the record",
    );
    let other = VolumeSpec {
        wwid: Some("naa.60000000000000000000000000000bad".into()),
        ..spec(0)
    };
    refused(
        engine.stage(&other, &mut call()),
        ErrorKind::Refused,
        "the specification's field wwid says naa.6",
    );
    bench.assert_clean();
}

#[test]
fn the_wwid_and_the_uuid_of_the_specification_must_hold_f3() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let other = VolumeSpec {
        wwid: Some("naa.60000000000000000000000000000bad".into()),
        ..spec(0)
    };
    refused(
        engine.stage(&other, &mut call()),
        ErrorKind::Refused,
        "field wwid",
    );
    let other = VolumeSpec {
        fs_uuid: Some("ffffffff-89ab-4def-8123-456789abcdef".into()),
        ..spec(0)
    };
    refused(
        engine.stage(&other, &mut call()),
        ErrorKind::Refused,
        "field fsUuid",
    );
    bench.assert_clean();
}

#[test]
fn a_changed_file_system_or_a_smaller_disk_is_refused_f2() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.stage(&spec(0), &mut call()).unwrap();
    engine.unstage(&spec(0).id(), &mut call()).unwrap();
    let key = spec(0).lun_key();
    bench.world(|world| world.lun(&key).disk = fs(FsType::Ext4, "aaaaaaaa-89ab-4def-8123-456789abcdef"));
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::Refused,
        "file system UUID",
    );
    bench.world(|world| (world.lun(&key).disk, world.lun(&key).size_bytes) = (ext4(), 1 << 20));
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::Refused,
        "capacity",
    );
    bench.assert_clean();
}

#[test]
fn a_blank_device_is_formatted_when_asked_and_once_only_f2() {
    let bench = Bench::new();
    let key = bench.add(0, Disk::Blank);
    let engine = bench.engine();
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::Refused,
        "format: ifBlank",
    );
    let reader = VolumeSpec {
        access: Access::ReadOnly,
        ..may_format(0)
    };
    refused(
        engine.stage(&reader, &mut call()),
        ErrorKind::Refused,
        "read-only volume is never formatted",
    );
    bench.assert_clean();
    let (_, staged) = engine.stage(&may_format(0), &mut call()).unwrap();
    assert!(staged.formatted);
    engine.unstage(&spec(0).id(), &mut call()).unwrap();

    // A fault of the array shows zeros, or another node wiped it: the record vetoes.
    bench.world(|world| (world.lun(&key).disk, world.lun(&key).may_format) = (Disk::Blank, false));
    refused(
        engine.stage(&may_format(0), &mut call()),
        ErrorKind::Refused,
        "reads as zeros",
    );
    bench.world(World::reboot);
    refused(
        bench.engine().stage(&may_format(0), &mut call()),
        ErrorKind::Refused,
        "reads as zeros",
    );
    assert_eq!(bench.world(|world| world.formatted), 1);
    bench.assert_clean();
}

#[test]
fn a_tool_that_outlived_its_call_is_waited_for() {
    let bench = Bench::with_ext4();
    // The check was begun, its process died, e2fsck goes on for a while and holds the device.
    let mut n = 0;
    while super::crashes::crash_at(n, || drop(bench.engine().stage(&spec(0), &mut call()))).as_deref()
        != Some("check:recorded")
    {
        bench.engine().unstage(&spec(0).id(), &mut call()).unwrap();
        n += 1;
    }
    bench.world(|world| world.devices[0].held = true);
    let (told, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let retry = scope.spawn(|| {
            let mut tell = move |progress: crate::Progress| {
                if let crate::Phase::Waiting { reason } = progress.phase {
                    told.send(reason).unwrap_or_default();
                }
            };
            bench
                .engine()
                .stage(&spec(0), &mut call().on_progress(&mut tell))
                .map(|(outcome, _)| outcome)
        });
        let reason = waits.recv_timeout(Duration::from_secs(60));
        bench.world(|world| world.devices[0].held = false);
        assert!(reason.unwrap().contains("still running"));
        assert_eq!(retry.join().unwrap().unwrap(), Outcome::Changed);
    });
    bench.assert_no_violation();
}

#[test]
fn a_used_file_system_that_reads_blank_is_not_formatted_f2() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.stage(&spec(0), &mut call()).unwrap();
    engine.unstage(&spec(0).id(), &mut call()).unwrap();
    bench.world(|world| world.lun(&spec(0).lun_key()).disk = Disk::Blank);
    refused(
        engine.stage(&may_format(0), &mut call()),
        ErrorKind::Refused,
        UUID,
    );
    bench.assert_clean();
}

#[test]
fn unknown_is_not_blank_f1() {
    let bench = Bench::new();
    let key = bench.add(0, Disk::Unreadable);
    let engine = bench.engine();
    refused(
        engine.stage(&may_format(0), &mut call()),
        ErrorKind::Refused,
        "unknown is not blank",
    );
    bench.world(|world| world.lun(&key).disk = Disk::Other("a LUKS2 header".into()));
    refused(
        engine.stage(&may_format(0), &mut call()),
        ErrorKind::Refused,
        "holds a LUKS2 header",
    );
    bench.world(|world| world.lun(&key).disk = fs(FsType::Xfs, UUID));
    refused(
        engine.stage(&may_format(0), &mut call()),
        ErrorKind::Refused,
        "holds xfs",
    );
    assert_eq!(bench.world(|world| world.formatted), 0);
    bench.assert_clean();
}

#[test]
fn a_write_protected_lun_is_served_read_only_only() {
    let bench = Bench::with_ext4();
    bench.world(|world| world.lun(&spec(0).lun_key()).read_only = true);
    let engine = bench.engine();
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::Refused,
        "write-protected; ask for it read-only",
    );
    let reader = VolumeSpec {
        access: Access::ReadOnly,
        ..spec(0)
    };
    let (_, staged) = engine.stage(&reader, &mut call()).unwrap();
    assert_eq!(
        (staged.access, staged.device.access),
        (Access::ReadOnly, Access::ReadOnly)
    );
    let result = engine.publish(&spec(0).id(), &bench.target("a"), Access::ReadWrite, &mut call());
    refused(result, ErrorKind::Conflict, "readOnly is true");
}

#[test]
fn a_read_only_volume_with_a_dirty_journal_is_mounted_with_a_warning() {
    let bench = Bench::new();
    let dirty = SimFs {
        fs_type: FsType::Ext4,
        uuid: UUID.into(),
        label: String::new(),
        dirty: true,
        size_bytes: 1 << 20,
    };
    let key = bench.add(0, Disk::Fs(dirty));
    let reader = VolumeSpec {
        access: Access::ReadOnly,
        ..spec(0)
    };
    let (_, staged) = bench.engine().stage(&reader, &mut call()).unwrap();
    assert_eq!(staged.warnings[0].reason, "DirtyJournal");
    let disk = bench.world(|world| world.lun(&key).disk.clone());
    assert!(
        matches!(disk, Disk::Fs(SimFs { dirty: true, .. })),
        "the journal was replayed"
    );
}

#[test]
fn a_dead_stage_is_made_anew_when_nobody_uses_it_f9_f10() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let (id, target) = (spec(0).id(), bench.target("a"));
    engine.stage(&spec(0), &mut call()).unwrap();
    bench.world(|world| world.mounts[0].dead = true);
    assert_eq!(engine.stage(&spec(0), &mut call()).unwrap().0, Outcome::Changed);
    bench.world(|world| {
        let dead = world.mounts[0].clone();
        world.mounts.push(dead);
    });
    engine.unstage(&id, &mut call()).unwrap();
    bench.assert_clean();

    engine.stage(&spec(0), &mut call()).unwrap();
    engine
        .publish(&id, &target, Access::ReadWrite, &mut call())
        .unwrap();
    bench.world(|world| world.lose_device(&spec(0).lun_key()));
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::InUse,
        "is published at",
    );
    refused(
        engine.publish(&id, &bench.target("b"), Access::ReadWrite, &mut call()),
        ErrorKind::InUse,
        "dead",
    );
    let view = engine.show(&id, &mut call()).unwrap();
    assert!(
        view.conditions.iter().any(|c| c.reason == "DeviceVanished"),
        "{:?}",
        view.conditions
    );
    engine.unpublish(&id, &target, &mut call()).unwrap();
    engine.stage(&spec(0), &mut call()).unwrap();
    engine.unstage(&id, &mut call()).unwrap();
    bench.assert_clean();
}

/// Part of the proof of F14.
#[test]
fn a_reboot_is_told_and_the_same_call_mounts_again_f40() {
    let bench = Bench::with_ext4();
    let target = bench.target("a");
    bench.engine().mount(&spec(0), &target, &mut call()).unwrap();
    bench.world(World::reboot);
    let engine = bench.engine();
    let view = &engine.list(&mut call()).unwrap()[0];
    assert_eq!(view.state, VolumeState::Detached);
    assert!(!view.publications[0].is_mounted);
    assert!(view.conditions.iter().any(|c| c.reason == "LostAtReboot"));
    refused(
        engine.publish(&spec(0).id(), &bench.target("b"), Access::ReadWrite, &mut call()),
        ErrorKind::InUse,
        "not staged",
    );
    assert_eq!(
        engine.mount(&spec(0), &target, &mut call()).unwrap().0,
        Outcome::Changed
    );
    bench.world(World::reboot);
    let engine = bench.engine();
    engine.umount(&target, &mut call()).unwrap();
    bench.assert_clean();
}

/// Part of the proof of F40.
#[test]
fn a_directory_that_was_lost_at_a_reboot_may_go_to_another_volume() {
    let bench = Bench::with_ext4();
    bench.add(1, fs(FsType::Xfs, UUID));
    let target = bench.target("a");
    bench.engine().mount(&spec(0), &target, &mut call()).unwrap();
    bench.world(World::reboot);
    let engine = bench.engine();
    engine.mount(&spec(1), &target, &mut call()).unwrap();
    // The older claim is dropped without touching what is there now.
    engine.unpublish(&spec(0).id(), &target, &mut call()).unwrap();
    assert_eq!(bench.world(|world| world.at(&target).len()), 1);
    assert_eq!(engine.umount(&target, &mut call()).unwrap().1, spec(1).id());
}

#[test]
fn reconcile_changes_nothing_and_names_orphans_f6() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    let volumes = bench.dir.path().join("state/volumes");
    std::fs::remove_file(volumes.join(&entries(&volumes)[0])).unwrap();
    let before = bench.world(|world| format!("{:?}", world.mounts));
    let report = bench.engine().reconcile(&mut call()).unwrap();
    assert_eq!(
        (
            report.volumes.len(),
            report.orphan_devices.len(),
            report.orphan_mounts.len()
        ),
        (0, 1, 1)
    );
    assert_eq!(bench.world(|world| format!("{:?}", world.mounts)), before);

    // Without the journal an unpublish does not pretend (F7), and an unstage undoes what is ours.
    let id = spec(0).id();
    refused(
        engine.unpublish(&id, &bench.target("a"), &mut call()),
        ErrorKind::Conflict,
        "does not account",
    );
    refused(engine.unstage(&id, &mut call()), ErrorKind::InUse, "is open");
    bench.world(|world| world.unmount(&bench.target("a")));
    assert_eq!(engine.unstage(&id, &mut call()).unwrap(), Outcome::Changed);
    bench.assert_clean();
}

#[test]
fn a_damaged_record_is_never_taken_for_nothing() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let id = spec(0).id();
    engine.stage(&spec(0), &mut call()).unwrap();
    let volumes = bench.dir.path().join("state/volumes");
    let file = volumes.join(&entries(&volumes)[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    assert_eq!(engine.list(&mut call()).unwrap()[0].state, VolumeState::Damaged);
    refused(engine.stage(&spec(0), &mut call()), ErrorKind::Journal, "damaged");
    refused(engine.unstage(&id, &mut call()), ErrorKind::Journal, "damaged");
    refused(
        engine.umount(&bench.target("a"), &mut call()),
        ErrorKind::Journal,
        "damaged",
    );
    // A sibling keeps its hands off the LUN too.
    let sibling = VolumeSpec {
        id: Some("other".parse().unwrap()),
        ..spec(0)
    };
    refused(engine.stage(&sibling, &mut call()), ErrorKind::Journal, "damaged");
    refused(engine.forget(&id, &mut call()), ErrorKind::InUse, "is mounted");
    let staging = bench.world(|world| world.mounts[0].at.clone());
    bench.world(|world| world.unmount(&staging));
    engine.forget(&id, &mut call()).unwrap();
    assert_eq!(entries(&bench.dir.path().join("state/aside")).len(), 1);
    engine.stage(&spec(0), &mut call()).unwrap();
}

#[test]
fn a_damaged_witness_stops_a_stage_f2() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.stage(&spec(0), &mut call()).unwrap();
    engine.unstage(&spec(0).id(), &mut call()).unwrap();
    let luns = bench.dir.path().join("state/luns");
    std::fs::write(luns.join(&entries(&luns)[0]), "").unwrap();
    refused(
        engine.stage(&may_format(0), &mut call()),
        ErrorKind::Journal,
        "damaged (it is empty)",
    );
    engine.forget(&spec(0).id(), &mut call()).unwrap();
    engine.stage(&spec(0), &mut call()).unwrap();
}

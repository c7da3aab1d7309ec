//! The ways up and down, repeats, and bad requests.

use super::*;
use crate::engine::VolumeState;
use crate::{Access, Outcome, Phase, Progress, Step};

#[test]
fn mount_and_umount_leave_nothing() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let target = bench.target("a");
    let (outcome, mounted) = engine.mount(&spec(0), &target, &mut call()).unwrap();
    assert_eq!(outcome, Outcome::Changed);
    assert_eq!(mounted.staged.fs_uuid, UUID);
    assert_eq!(bench.world(|w| w.at(&target).len()), 1);
    assert_eq!(engine.list(&mut call()).unwrap()[0].state, VolumeState::Published);

    let (outcome, again) = engine.mount(&spec(0), &target, &mut call()).unwrap();
    assert_eq!(
        (outcome, again.published),
        (Outcome::AlreadySo, mounted.published)
    );

    let id = spec(0).id();
    assert_eq!(
        engine.umount(&target, &mut call()).unwrap(),
        (Outcome::Changed, id.clone())
    );
    bench.assert_clean();
    refused(
        engine.umount(&target, &mut call()),
        ErrorKind::NotFound,
        "no volume is published",
    );
    let view = engine.show(&id, &mut call()).unwrap();
    assert_eq!(view.state, VolumeState::Detached);
    assert_eq!(view.witness.unwrap().fs_uuid.as_deref(), Some(UUID));
}

#[test]
fn stage_publish_unpublish_unstage_each_twice() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let (id, target) = (spec(0).id(), bench.target("a"));
    for expected in [Outcome::Changed, Outcome::AlreadySo] {
        assert_eq!(engine.stage(&spec(0), &mut call()).unwrap().0, expected);
    }
    for expected in [Outcome::Changed, Outcome::AlreadySo] {
        assert_eq!(
            engine
                .publish(&id, &target, Access::ReadWrite, &mut call())
                .unwrap()
                .0,
            expected
        );
    }
    refused(
        engine.unstage(&id, &mut call()),
        ErrorKind::InUse,
        "is published at",
    );
    refused(
        engine.detach(&id, &mut call()),
        ErrorKind::InUse,
        "unmount it instead",
    );
    for expected in [Outcome::Changed, Outcome::AlreadySo] {
        assert_eq!(engine.unpublish(&id, &target, &mut call()).unwrap(), expected);
    }
    for expected in [Outcome::Changed, Outcome::AlreadySo] {
        assert_eq!(engine.unstage(&id, &mut call()).unwrap(), expected);
    }
    bench.assert_clean();
}

#[test]
fn an_explicit_stage_outlives_the_last_umount() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.stage(&spec(0), &mut call()).unwrap();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    engine.umount(&bench.target("a"), &mut call()).unwrap();
    assert_eq!(engine.list(&mut call()).unwrap()[0].state, VolumeState::Staged);
    engine.unstage(&spec(0).id(), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn a_raw_device_has_a_stable_link_and_excludes_a_file_system() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let (outcome, attached) = engine.attach(&spec(0), &mut call()).unwrap();
    let link = attached.link.unwrap();
    assert_eq!(
        (outcome, std::fs::read_link(&link).unwrap()),
        (Outcome::Changed, attached.device)
    );
    assert_eq!(
        engine.attach(&spec(0), &mut call()).unwrap().0,
        Outcome::AlreadySo
    );
    refused(
        engine.mount(&spec(0), &bench.target("a"), &mut call()),
        ErrorKind::InUse,
        "detach that first",
    );

    bench.world(|world| world.devices[0].held = true);
    refused(
        engine.detach(&spec(0).id(), &mut call()),
        ErrorKind::InUse,
        "is open",
    );
    bench.world(|world| world.devices[0].held = false);
    assert_eq!(
        engine.detach(&spec(0).id(), &mut call()).unwrap(),
        Outcome::Changed
    );
    assert_eq!(
        engine.detach(&spec(0).id(), &mut call()).unwrap(),
        Outcome::AlreadySo
    );
    bench.assert_clean();

    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    refused(
        engine.attach(&spec(0), &mut call()),
        ErrorKind::InUse,
        "unmount that first",
    );
}

#[test]
fn a_lost_device_is_attached_anew_and_detach_of_it_is_done_f11() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.attach(&spec(0), &mut call()).unwrap();
    bench.world(|world| world.lose_device(&spec(0).lun_key()));
    let view = &engine.list(&mut call()).unwrap()[0];
    assert!(
        view.conditions.iter().any(|c| c.reason == "DeviceVanished"),
        "{:?}",
        view.conditions
    );
    let (outcome, attached) = engine.attach(&spec(0), &mut call()).unwrap();
    assert_eq!(outcome, Outcome::Changed);
    assert_eq!(
        std::fs::read_link(attached.link.unwrap()).unwrap(),
        attached.device
    );
    bench.world(|world| world.lose_device(&spec(0).lun_key()));
    engine.detach(&spec(0).id(), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn another_parameter_is_a_conflict_that_names_the_field() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    let mut other = spec(0);
    other.mount_options = vec!["noatime".into()];
    let Source::Iscsi(iscsi) = &mut other.source;
    iscsi.target_portal = "192.0.2.9:3261".into();
    let error = engine.mount(&other, &bench.target("b"), &mut call()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for text in ["targetPortal", "192.0.2.9:3261", "mountOptions", "noatime"] {
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(engine.list(&mut call()).unwrap()[0].publications.len(), 1);
    engine.umount(&bench.target("a"), &mut call()).unwrap();
    engine.mount(&other, &bench.target("b"), &mut call()).unwrap();
}

#[test]
fn unfit_target_directories_are_refused_before_anything_is_attached() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let full = bench.target("full");
    std::fs::write(full.join("file"), "x").unwrap();
    let link = full.with_file_name("link");
    std::os::unix::fs::symlink(bench.target("a"), &link).unwrap();
    let own = bench.dir.path().join("run/staging");
    let cases = [
        (full.clone(), "not empty"),
        (link, "symbolic link"),
        (full.with_file_name("absent"), "No such file"),
        (own.join("x"), "own directory"),
        (PathBuf::from("relative"), "not absolute"),
        (full.join("../a"), "`..`"),
        (PathBuf::from("/"), "root directory"),
    ];
    for (target, text) in cases {
        refused(
            engine.mount(&spec(0), &target, &mut call()),
            ErrorKind::Invalid,
            text,
        );
    }
    assert_eq!(bench.world(|world| world.attached), 0);
    bench.assert_clean();
}

#[test]
fn two_volumes_cannot_have_one_directory() {
    let bench = Bench::with_ext4();
    bench.add(1, fs(FsType::Xfs, UUID));
    let engine = bench.engine();
    let target = bench.target("a");
    engine.mount(&spec(0), &target, &mut call()).unwrap();
    let text = format!("volume {} is published there", spec(0).id());
    refused(
        engine.mount(&spec(1), &target, &mut call()),
        ErrorKind::Conflict,
        &text,
    );
    assert_eq!(engine.list(&mut call()).unwrap().len(), 1);
    engine.umount(&target, &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn a_foreign_mount_at_the_target_is_refused_and_stays() {
    let bench = Bench::with_ext4();
    bench.add(1, ext4());
    let engine = bench.engine();
    let target = bench.target("a");
    engine.mount(&spec(1), &bench.target("b"), &mut call()).unwrap();
    bench.world(|world| {
        let mut foreign = world.mounts[0].clone();
        foreign.at = target.clone();
        world.mounts.push(foreign);
    });
    refused(
        engine.mount(&spec(0), &target, &mut call()),
        ErrorKind::Conflict,
        "is mounted there",
    );
    assert_eq!(bench.world(|world| world.at(&target).len()), 1);
}

#[test]
fn a_publication_that_did_not_arrive_is_no_success_f8() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    bench.world(|world| world.lose_publications = 1);
    let result = engine.mount(&spec(0), &bench.target("a"), &mut call());
    refused(result, ErrorKind::Internal, "nothing is mounted there");
    bench.assert_clean();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
}

/// Part of the proof of F12.
#[test]
fn an_unreachable_target_leaves_nothing_behind() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    bench.world(|world| world.lun(&spec(0).lun_key()).unreachable = true);
    let result = engine.mount(&spec(0), &bench.target("a"), &mut call());
    refused(result, ErrorKind::Unreachable, "connection refused");
    bench.assert_clean();
    refused(
        engine.show(&spec(0).id(), &mut call()),
        ErrorKind::NotFound,
        "no volume",
    );
}

#[test]
fn a_failing_mount_leaves_nothing_behind() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    bench.world(|world| world.fail_mounts = 1);
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::Internal,
        "mount: mount failed",
    );
    bench.assert_clean();
    // A volume that is in use stays so when one more directory fails.
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    bench.world(|world| world.lose_publications = 1);
    engine
        .mount(&spec(0), &bench.target("b"), &mut call())
        .unwrap_err();
    let view = &engine.list(&mut call()).unwrap()[0];
    assert_eq!((view.state, view.publications.len()), (VolumeState::Published, 1));
    assert!(view.conditions.is_empty(), "{:?}", view.conditions);
}

/// Part of the proof of F7.
#[test]
fn tear_down_goes_on_after_an_error_and_a_repeat_finishes_it() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let target = bench.target("a");
    engine.mount(&spec(0), &target, &mut call()).unwrap();
    bench.world(|world| world.fail_unmounts = 1);
    refused(engine.umount(&target, &mut call()), ErrorKind::InUse, "busy");
    assert_eq!(engine.list(&mut call()).unwrap()[0].state, VolumeState::Published);
    engine.umount(&target, &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn a_failure_and_a_failing_clean_up_are_both_told() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    bench.world(|world| (world.lose_publications, world.fail_unmounts) = (1, 1));
    let error = engine
        .mount(&spec(0), &bench.target("a"), &mut call())
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("nothing is mounted there") && text.contains("and then") && text.contains("busy"),
        "{text}"
    );
    // The record stayed, so the repeat goes on from there.
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    engine.umount(&bench.target("a"), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn steps_are_told_in_their_order() {
    let bench = Bench::with_ext4();
    let mut seen = Vec::new();
    let mut tell = |progress: Progress| {
        if matches!(progress.phase, Phase::Finished { .. }) {
            seen.push(progress.step);
        }
    };
    bench
        .engine()
        .mount(&spec(0), &bench.target("a"), &mut call().on_progress(&mut tell))
        .unwrap();
    assert_eq!(seen, [Step::Attach, Step::Check, Step::Mount, Step::Publish]);
}

/// Part of the proof of F19.
#[test]
fn a_passed_deadline_is_told_with_its_step_and_nothing_is_left() {
    let bench = Bench::with_ext4();
    let mut late = Call::until(std::time::Instant::now());
    let result = bench.engine().mount(&spec(0), &bench.target("a"), &mut late);
    refused(result, ErrorKind::Deadline, "before the step attach");
    bench.assert_clean();
}

#[test]
fn grow_reaches_device_and_file_system() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let id = spec(0).id();
    refused(engine.grow(&id, &mut call()), ErrorKind::NotFound, "no volume");
    engine.stage(&spec(0), &mut call()).unwrap();
    assert_eq!(engine.grow(&id, &mut call()).unwrap().0, Outcome::AlreadySo);
    bench.world(|world| world.lun(&spec(0).lun_key()).size_bytes = 128 << 20);
    let (outcome, grown) = engine.grow(&id, &mut call()).unwrap();
    assert_eq!(outcome, Outcome::Changed);
    assert_eq!(grown.device_bytes, 128 << 20);
    assert_eq!(grown.fs_bytes, Some((64 << 20, 128 << 20)));
}

#[test]
fn a_lun_that_grew_while_it_was_away_is_grown_at_the_next_stage() {
    for fs_type in [FsType::Ext4, FsType::Xfs] {
        let bench = Bench::new();
        let key = bench.add(0, fs(fs_type, UUID));
        let engine = bench.engine();
        for size in [64 << 20, 256 << 20] {
            bench.world(|world| world.lun(&key).size_bytes = size);
            engine.stage(&spec(0), &mut call()).unwrap();
            let disk = bench.world(|world| world.lun(&key).disk.clone());
            assert!(
                matches!(disk, Disk::Fs(SimFs { size_bytes, .. }) if size_bytes == size),
                "{disk:?}"
            );
            engine.unstage(&spec(0).id(), &mut call()).unwrap();
        }
        bench.assert_clean();
    }
}

#[test]
fn bad_fields_are_named() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let check = |field: &str, change: &dyn Fn(&mut VolumeSpec)| {
        let mut bad = spec(0);
        change(&mut bad);
        let error = engine.stage(&bad, &mut call()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().starts_with(field), "{error}");
    };
    let iscsi = |spec: &mut VolumeSpec, change: &dyn Fn(&mut IscsiVolume)| {
        let Source::Iscsi(iscsi) = &mut spec.source;
        change(iscsi);
    };
    check("iqn", &|s| iscsi(s, &|i| i.iqn = "iqn.nodate:x".into()));
    check("initiatorName", &|s| {
        iscsi(s, &|i| i.initiator_name = Some("me".into()))
    });
    check("targetPortal", &|s| {
        iscsi(s, &|i| i.target_portal = "nas:0".into())
    });
    check("portals[1]", &|s| {
        iscsi(s, &|i| i.portals = vec!["nas".into(), "10.0.0".into()])
    });
    check("lun", &|s| iscsi(s, &|i| i.lun = 20000));
    check("iscsiInterface", &|s| {
        iscsi(s, &|i| i.iscsi_interface = Some("a b".into()))
    });
    check("mountOptions", &|s| s.mount_options = vec!["noatime,suid".into()]);
    check("mountOptions", &|s| {
        s.fs_type = Some(FsType::Xfs);
        s.mount_options = vec!["logdev=/dev/sda".into()];
    });
    check("wwid", &|s| s.wwid = Some("naa.XYZ".into()));
    check("fsUuid", &|s| s.fs_uuid = Some("x".into()));
    let chap = |mutual: &str| crate::Chap {
        username: "me".into(),
        password: "s3cret-s3cret".to_owned().into(),
        mutual: Some(("nas".into(), mutual.to_owned().into())),
    };
    check("node.session.auth.password_in", &|s| {
        iscsi(s, &|i| i.chap = Some(chap("s3cret-s3cret")))
    });
}

#[test]
fn secrets_never_reach_disk_or_debug_f21() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    let mut secret = spec(0);
    let Source::Iscsi(iscsi) = &mut secret.source;
    iscsi.chap = Some(crate::Chap {
        username: "me".into(),
        password: "correct-horse".to_owned().into(),
        mutual: Some(("nas".into(), "battery-staple".to_owned().into())),
    });
    assert!(!format!("{secret:?}").contains("horse") && !format!("{secret:?}").contains("staple"));
    engine.mount(&secret, &bench.target("a"), &mut call()).unwrap();
    let name = &entries(&bench.dir.path().join("state/volumes"))[0];
    let text = std::fs::read_to_string(bench.dir.path().join("state/volumes").join(name)).unwrap();
    assert!(
        text.contains("\"me\"") && !text.contains("horse") && !text.contains("staple"),
        "{text}"
    );
}

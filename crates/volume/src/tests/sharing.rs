//! One LUN used by several volumes: attached and mounted once, gone with the last.

use super::*;
use crate::{Access, Outcome};

fn named(id: &str, lun: u16) -> VolumeSpec {
    VolumeSpec {
        id: Some(id.parse().unwrap()),
        ..spec(lun)
    }
}

fn reader(id: &str, lun: u16) -> VolumeSpec {
    VolumeSpec {
        access: Access::ReadOnly,
        ..named(id, lun)
    }
}

#[test]
fn two_volumes_share_one_device_and_one_file_system_f5() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine
        .mount(&named("pod-a", 0), &bench.target("a"), &mut call())
        .unwrap();
    engine
        .mount(&named("pod-b", 0), &bench.target("b"), &mut call())
        .unwrap();
    engine
        .mount(&named("pod-a", 0), &bench.target("c"), &mut call())
        .unwrap();
    let (attached, mounted) = bench.world(|world| (world.attached, world.mounted));
    assert_eq!((attached, mounted), (1, 1));
    engine.umount(&bench.target("a"), &mut call()).unwrap();
    engine.umount(&bench.target("c"), &mut call()).unwrap();
    assert_eq!(
        bench.world(|world| (world.devices.len(), world.at(&bench.target("b")).len())),
        (1, 1)
    );
    engine.umount(&bench.target("b"), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn a_reader_gets_a_read_only_view_of_a_writers_stage() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine
        .mount(&named("writer", 0), &bench.target("w"), &mut call())
        .unwrap();
    engine
        .mount(&reader("reader", 0), &bench.target("r"), &mut call())
        .unwrap();
    let world = bench.world(|world| world.clone());
    assert!(!world.at(&bench.target("w"))[0].read_only);
    assert!(world.at(&bench.target("r"))[0].read_only);
    assert_eq!(world.mounted, 1);
    engine.umount(&bench.target("w"), &mut call()).unwrap();
    assert_eq!(
        engine
            .mount(&reader("reader", 0), &bench.target("r"), &mut call())
            .unwrap()
            .0,
        Outcome::AlreadySo
    );
    engine.umount(&bench.target("r"), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn a_writer_is_refused_beside_a_reader() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine
        .mount(&reader("reader", 0), &bench.target("r"), &mut call())
        .unwrap();
    let result = engine.mount(&named("writer", 0), &bench.target("w"), &mut call());
    refused(
        result,
        ErrorKind::Conflict,
        "in use by reader, and readOnly is true",
    );
    engine.umount(&bench.target("r"), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn two_lun_numbers_of_one_disk_are_not_mounted_twice() {
    let bench = Bench::with_ext4();
    let key = bench.add(1, ext4());
    bench.world(|world| {
        let wwid = world.lun(&spec(0).lun_key()).wwid.clone();
        world.lun(&key).wwid = wwid;
    });
    let engine = bench.engine();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    refused(
        engine.mount(&spec(1), &bench.target("b"), &mut call()),
        ErrorKind::InUse,
        "is attached as",
    );
    assert_eq!(bench.world(|world| world.at(&bench.target("a")).len()), 1);
    engine.umount(&bench.target("a"), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn clones_with_one_uuid_are_mounted_side_by_side_f20() {
    let bench = Bench::new();
    bench.add(0, fs(FsType::Xfs, UUID));
    bench.add(1, fs(FsType::Xfs, UUID));
    let engine = bench.engine();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    engine.mount(&spec(1), &bench.target("b"), &mut call()).unwrap();
    assert_eq!(bench.world(|world| world.mounted), 2);

    bench.add(2, fs(FsType::Btrfs, UUID));
    bench.add(3, fs(FsType::Btrfs, UUID));
    engine
        .mount(&spec(2), &bench.target("c"), &mut call())
        .unwrap_err();
}

#[test]
fn somebody_elses_mount_of_our_device_is_not_mounted_over() {
    let bench = Bench::with_ext4();
    let engine = bench.engine();
    engine.stage(&spec(0), &mut call()).unwrap();
    bench.world(|world| {
        let mut foreign = world.mounts[0].clone();
        foreign.at = "/mnt".into();
        world.mounts = vec![foreign];
    });
    refused(
        engine.stage(&spec(0), &mut call()),
        ErrorKind::InUse,
        "mounted at /mnt",
    );
    refused(
        engine.unstage(&spec(0).id(), &mut call()),
        ErrorKind::InUse,
        "is open",
    );
    bench.world(|world| world.mounts.clear());
    engine.unstage(&spec(0).id(), &mut call()).unwrap();
    bench.assert_clean();
}

#[test]
fn a_sibling_on_another_lun_of_the_same_target_is_untouched_f5() {
    let bench = Bench::with_ext4();
    bench.add(1, fs(FsType::Xfs, "aaaaaaaa-89ab-4def-8123-456789abcdef"));
    let engine = bench.engine();
    engine.mount(&spec(0), &bench.target("a"), &mut call()).unwrap();
    engine.mount(&spec(1), &bench.target("b"), &mut call()).unwrap();
    engine.umount(&bench.target("a"), &mut call()).unwrap();
    assert_eq!(bench.world(|world| world.mounts_of(&spec(1).lun_key()).len()), 2);
}

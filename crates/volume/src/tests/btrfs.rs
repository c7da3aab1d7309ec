//! A new btrfs has a UUID of the tool's choice; its label says which format made it.

use super::crashes::crash_at;
use super::*;
use crate::FormatPolicy;

fn blank() -> VolumeSpec {
    VolumeSpec {
        format: FormatPolicy::IfBlank,
        fs_type: Some(FsType::Btrfs),
        ..spec(0)
    }
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.add(0, Disk::Blank);
    bench.world(|world| world.lun(&spec(0).lun_key()).may_format = true);
    bench
}

fn stage(bench: &Bench) -> Result<String, VolumeError> {
    let staged = bench.engine().stage(&blank(), &mut call());
    staged.map(|(_, staged)| staged.fs_uuid)
}

/// UUID and label of what is on the disk.
fn on_disk(bench: &Bench) -> (String, String) {
    match bench.world(|world| world.lun(&spec(0).lun_key()).disk.clone()) {
        Disk::Fs(fs) => (fs.uuid, fs.label),
        other => panic!("{other:?}"),
    }
}

/// Lets a first stage crash between the end of mkfs and its record.
fn crashed_after_mkfs() -> Bench {
    for n in 0.. {
        let bench = bench();
        match crash_at(n, || drop(stage(&bench))).as_deref() {
            Some("format:done") => return bench,
            Some(_) => {}
            None => break,
        }
    }
    panic!("no stage crashed after its format");
}

#[test]
fn after_a_crash_anywhere_its_real_uuid_is_what_is_recorded_f2() {
    for n in 0.. {
        let bench = bench();
        let crashed = crash_at(n, || drop(stage(&bench)));
        let staged = stage(&bench).unwrap();
        let (uuid, label) = on_disk(&bench);
        assert_ne!(uuid, label);
        assert_eq!(staged, uuid, "crash at {crashed:?}");
        assert_eq!(bench.world(|world| world.formatted), 1, "crash at {crashed:?}");

        bench.engine().unstage(&blank().id(), &mut call()).unwrap();
        assert_eq!(stage(&bench).unwrap(), uuid);
        bench.engine().unstage(&blank().id(), &mut call()).unwrap();
        bench.world(|world| world.lun(&spec(0).lun_key()).disk = Disk::Blank);
        refused(stage(&bench), ErrorKind::Refused, &uuid);
        if crashed.is_none() {
            break;
        }
    }
}

#[test]
fn a_btrfs_of_somebody_else_is_not_taken_for_an_interrupted_format() {
    let bench = crashed_after_mkfs();
    bench.world(|world| world.lun(&spec(0).lun_key()).disk = fs(FsType::Btrfs, UUID));
    refused(stage(&bench), ErrorKind::Refused, "the record of its format");
}

#[test]
fn a_new_one_cannot_have_the_uuid_of_the_specification() {
    let bench = bench();
    let asked = VolumeSpec {
        fs_uuid: Some(UUID.into()),
        ..blank()
    };
    let result = bench.engine().stage(&asked, &mut call());
    refused(result, ErrorKind::Refused, "leave that field out");
    assert_eq!(bench.world(|world| world.formatted), 0);
    bench.assert_clean();
}

//! The journal under damage: every byte, every length, newer versions, a crash inside a write.

use super::envelope::{Flaw, decode, encode};
use super::*;
use crate::failpoint;
use crate::model::{IscsiVolume, LunKey, RecordedSpec, Source, VolumeSpec};
use proptest::prelude::*;
use std::path::Path;

const IQN: &str = "iqn.2003-01.org.example:array";

fn record() -> VolumeRecord {
    let spec = VolumeSpec::new(Source::Iscsi(IscsiVolume::new("192.0.2.1", IQN, 3)));
    let mut record = VolumeRecord::new(spec.id(), RecordedSpec::from(&spec), "boot".into(), 1_700_000_000);
    record.publications.push(PublicationRecord {
        target: "/var/lib/pods/ü \"x\"".into(),
        access: crate::Access::ReadOnly,
        owner: "default/web".into(),
        verified: true,
        extra: serde_json::Map::new(),
    });
    record
}

fn place(record: &VolumeRecord) -> Place {
    Place {
        lun: record.lun_key(),
        id: record.id.clone(),
    }
}

fn file(dir: &Path) -> std::path::PathBuf {
    let name = std::fs::read_dir(dir.join("volumes"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    name.path()
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let record = record();
    assert!(journal.volume(&place(&record)).unwrap().is_none());
    journal.write_volume(&record).unwrap();
    assert_eq!(journal.volume(&place(&record)).unwrap(), Some(record.clone()));
    assert_eq!(journal.places().unwrap(), [place(&record)]);
    journal.remove_volume(&place(&record)).unwrap();
    journal.remove_volume(&place(&record)).unwrap();
    assert!(journal.places().unwrap().is_empty());
    let lun = LunRecord::new(LunKey::iscsi(IQN, 3));
    journal.write_lun(&lun).unwrap();
    assert_eq!(journal.lun(&lun.lun).unwrap(), Some(lun));
}

#[test]
fn every_flipped_bit_is_detected() {
    let bytes = encode(&record()).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let flaw = decode::<VolumeRecord>(&damaged).unwrap_err();
            assert!(matches!(flaw, Flaw::Damaged(_)), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn every_torn_length_is_detected_also_the_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let record = record();
    journal.write_volume(&record).unwrap();
    let path = file(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let error = journal.volume(&place(&record)).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{len}: {error}");
    }
    std::fs::write(&path, [&bytes[..], b"\0"].concat()).unwrap();
    assert!(journal.volume(&place(&record)).is_err());
}

#[test]
fn another_volumes_record_under_this_name_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let record = record();
    journal.write_volume(&record).unwrap();
    let other = Place {
        id: "other".parse().unwrap(),
        ..place(&record)
    };
    let name = format!("{}@other.json", other.lun);
    std::fs::copy(file(dir.path()), dir.path().join("volumes").join(name)).unwrap();
    assert!(matches!(
        journal.volume(&other),
        Err(JournalError::Damaged { .. })
    ));
}

#[test]
fn unknown_fields_survive_a_rewrite_and_a_newer_major_version_is_refused() {
    let mut value = serde_json::to_value(record()).unwrap();
    value["fromTheFuture"] = serde_json::json!({ "a": [1, 2] });
    value["spec"]["multipath"] = serde_json::json!(true);
    value["publications"][0]["subPath"] = serde_json::json!("x");
    let read: VolumeRecord = decode(&encode(&value).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), value);

    value["version"] = serde_json::json!(2);
    assert_eq!(
        decode::<VolumeRecord>(&encode(&value).unwrap()).unwrap_err(),
        Flaw::Newer(2)
    );
    for never in [
        serde_json::json!(0),
        serde_json::json!("1"),
        serde_json::Value::Null,
    ] {
        value["version"] = never;
        assert!(matches!(
            decode::<VolumeRecord>(&encode(&value).unwrap()),
            Err(Flaw::Damaged(_))
        ));
    }
}

#[test]
fn a_crash_inside_a_write_leaves_the_old_record_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let old = record();
    let mut new = record();
    new.keep_staged = true;
    for n in 0..3 {
        journal.write_volume(&old).unwrap();
        failpoint::set_trap(n);
        let ended = std::panic::catch_unwind(|| journal.write_volume(&new));
        failpoint::clear_trap();
        assert!(ended.is_err(), "the trap {n} was not reached");
        let found = journal.volume(&place(&old)).unwrap().unwrap();
        assert_eq!(found, if n < 2 { old.clone() } else { new.clone() });
        // What the crash left is no record, and no obstacle for the next write.
        assert_eq!(journal.places().unwrap().len(), 1);
    }
    journal.write_volume(&new).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode::<VolumeRecord>(&bytes).is_err());
    }
}

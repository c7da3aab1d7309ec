//! Disks: identities, changes while the server runs, and faults on purpose.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use longshore_scsi::Status;
use longshore_scsi::capacity::Capacity;
use longshore_scsi::identity::Wwid;
use longshore_scsi::sense::{Asc, SenseKey};
use longshore_scsi::vpd;
use longshore_target::faults::ReadFault;
use longshore_target::{LunConfig, LunError, Server, StartError, TargetConfig};
use std::path::Path;
use std::time::Duration;

fn wwid(client: &mut Client, lun: u16) -> String {
    let page = client.read(lun, &[0x12, 1, 0x83, 4, 0, 0], 1024).good();
    Wwid::choose(&vpd::parse_device_identification(&page).unwrap())
        .unwrap()
        .to_string()
}

fn one_disk(path: &Path) -> TargetConfig {
    let mut target = TargetConfig::new(TARGET);
    target.luns.push(LunConfig {
        size_bytes: Some(MIB),
        ..LunConfig::new(0, path)
    });
    target
}

#[test]
fn wwids_differ_per_lun_and_stay_over_restarts_and_moves() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut client = Login::new("a").connect(server.local_addr()).settle(0).settle(1);
    let (first, second) = (wwid(&mut client, 0), wwid(&mut client, 1));
    assert_ne!(first, second);
    assert!(first.starts_with("naa.6"), "{first}");
    let listed: Vec<String> = server
        .target(TARGET)
        .unwrap()
        .luns()
        .into_iter()
        .map(|lun| lun.wwid)
        .collect();
    assert_eq!(listed, [first.clone(), second]);
    client.logout();
    stop(server);

    for name in ["disk.img", "disk.img.longshore"] {
        std::fs::rename(dir.path().join(name), dir.path().join(format!("moved-{name}"))).unwrap();
    }
    std::fs::rename(
        dir.path().join("moved-disk.img.longshore"),
        dir.path().join("moved-disk.img.longshore"),
    )
    .unwrap();
    let server = serve(one_disk(&dir.path().join("moved-disk.img")));
    let mut client = Login::new("a").connect(server.local_addr()).settle(0);
    assert_eq!(wwid(&mut client, 0), first);
    stop(server);
}

#[test]
fn names_are_served_in_their_normal_form() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = one_disk(&dir.path().join("d.img"));
    config.name = TARGET.to_uppercase();
    let server = serve(config);
    assert_eq!(server.target(&TARGET.to_uppercase()).unwrap().luns().len(), 1);
    Login::new("a").connect(server.local_addr()).settle(0).logout();
    stop(server);
}

#[test]
fn a_copied_sidecar_never_gives_two_luns_one_wwid() {
    let dir = tempfile::tempdir().unwrap();
    let (original, copy) = (dir.path().join("a.img"), dir.path().join("b.img"));
    stop(serve(one_disk(&original)));
    std::fs::copy(&original, &copy).unwrap();
    std::fs::copy(
        dir.path().join("a.img.longshore"),
        dir.path().join("b.img.longshore"),
    )
    .unwrap();
    let mut both = one_disk(&original);
    both.luns.push(LunConfig::new(1, &copy));
    let started = Server::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .target(both)
        .start();
    let Err(
        error @ StartError::Lun {
            source: LunError::SameWwid { .. },
            ..
        },
    ) = started
    else {
        panic!()
    };
    let text = error.to_string();
    assert!(
        text.contains("a.img") && text.contains("b.img.longshore"),
        "{text}"
    );

    // The same while the server runs: the new one is refused, the old one stays.
    let server = serve(one_disk(&original));
    let target = server.target(TARGET).unwrap();
    assert!(matches!(
        target.add_lun(&LunConfig::new(1, &copy)),
        Err(LunError::SameWwid { .. })
    ));
    assert_eq!(target.luns().len(), 1);
    stop(server);
}

#[test]
fn a_new_size_is_told_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(one_disk(&dir.path().join("d.img")));
    let mut client = Login::new("a").connect(server.local_addr()).settle(0);
    client.write(0, &write_10(2047, 1), &[9; 512]).good();
    client
        .write(0, &write_10(2048, 1), &[9; 512])
        .expect(Asc::LBA_OUT_OF_RANGE);
    server.target(TARGET).unwrap().resize_lun(0, 2 * MIB).unwrap();
    client.test_unit_ready(0).expect(Asc::CAPACITY_DATA_HAS_CHANGED);
    let capacity = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let capacity = Capacity::parse_16(&client.read(0, &capacity, 32).good()).unwrap();
    assert_eq!(capacity.size_bytes(), 2 * MIB);
    client.write(0, &write_10(2048, 1), &[8; 512]).good();
    assert_eq!(
        client.read(0, &read_10(2047, 2), 1024).good(),
        [[9; 512], [8; 512]].concat()
    );
    assert!(server.target(TARGET).unwrap().resize_lun(0, 1000).is_err());
    assert!(matches!(
        server.target(TARGET).unwrap().resize_lun(5, MIB),
        Err(LunError::Missing(5))
    ));
    stop(server);
}

#[test]
fn luns_come_go_and_change_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(one_disk(&dir.path().join("d.img")));
    let target = server.target(TARGET).unwrap();
    let mut client = Login::new("a").connect(server.local_addr()).settle(0);
    let first = wwid(&mut client, 0);

    let second = LunConfig {
        size_bytes: Some(MIB),
        ..LunConfig::new(300, dir.path().join("e.img"))
    };
    target.add_lun(&second).unwrap();
    client
        .test_unit_ready(0)
        .expect(Asc::REPORTED_LUNS_DATA_HAS_CHANGED);
    let luns = client
        .read(0, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 256)
        .good();
    assert_eq!(
        luns[..24],
        [
            0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0x2c, 0, 0, 0, 0, 0, 0
        ]
    );
    client.test_unit_ready(300).good(); // REPORT LUNS has told it, on every logical unit
    assert!(matches!(target.add_lun(&second), Err(LunError::Taken(300))));

    target.remove_lun(300).unwrap();
    client
        .test_unit_ready(0)
        .expect(Asc::REPORTED_LUNS_DATA_HAS_CHANGED);
    client
        .test_unit_ready(300)
        .expect(Asc::LOGICAL_UNIT_NOT_SUPPORTED);

    client.write(0, &write_10(0, 1), &[1; 512]).good();
    let other = LunConfig {
        size_bytes: Some(MIB),
        ..LunConfig::new(0, dir.path().join("f.img"))
    };
    target.replace_lun(&other).unwrap();
    client
        .write(0, &write_10(0, 1), &[2; 512])
        .expect(Asc::REPORTED_LUNS_DATA_HAS_CHANGED);
    assert_ne!(
        wwid(&mut client, 0),
        first,
        "another disk stands behind the same LUN"
    );
    assert_eq!(client.read(0, &read_10(0, 1), 512).good(), vec![0; 512]);
    stop(server);
}

#[test]
fn reads_fail_and_come_short_on_purpose() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut client = Login::new("a").connect(server.local_addr()).settle(1);
    assert!(
        server
            .faults()
            .fail_reads(TARGET, 1, 10..20, ReadFault::MediumError)
    );
    let answer = client.read(1, &read_10(8, 8), 4096);
    assert_eq!(answer.status, Status::CHECK_CONDITION);
    let sense = answer.sense.unwrap();
    assert_eq!(
        (sense.key, sense.code(), sense.information),
        (SenseKey::MediumError, Asc::UNRECOVERED_READ_ERROR, Some(10))
    );
    client.read(1, &read_10(20, 8), 4096).good();
    assert!(server.faults().heal_reads(TARGET, 1));
    server.faults().fail_reads(TARGET, 1, 10..20, ReadFault::Short);
    assert_eq!(client.read(1, &read_10(8, 8), 4096).good().len(), 1024);
    server.faults().heal_reads(TARGET, 1);
    assert_eq!(client.read(1, &read_10(8, 8), 4096).good(), vec![0x5a; 4096]);
    assert!(!server.faults().heal_reads(TARGET, 7));
    stop(server);
}

#[test]
fn a_pause_answers_nothing_and_a_drop_closes_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut client = Login::new("a").connect(server.local_addr()).settle(0);
    server.faults().pause();
    client.nop_out(b"");
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(client.receive().is_err(), "nothing is answered");
    server.faults().resume();
    client
        .stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    client.receive().unwrap();
    server.faults().drop_connections();
    assert!(client.receive().is_err());
    let mut client = Login::new("a").connect(server.local_addr());
    client.test_unit_ready(0).expect(Asc::NEXUS_LOSS_OCCURRED);
    stop(server);
}

#[test]
fn released_blocks_read_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut client = Login::new("a").connect(server.local_addr()).settle(0);
    client.write(0, &write_10(0, 64), &[0x77; 32_768]).good();
    let ranges = [vpd_range(8, 8), vpd_range(24, 16)];
    let list = longshore_scsi::unmap::emit(&ranges);
    client
        .write(0, &[0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0], &list)
        .good();
    client
        .write(
            0,
            &[0x93, 8, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0, 8, 0, 0],
            &[0; 512],
        )
        .good();
    let mut expected = vec![0x77; 32_768];
    for (from, to) in [(8, 16), (24, 40), (48, 56)] {
        expected[from * 512..to * 512].fill(0);
    }
    assert_eq!(client.read(0, &read_10(0, 64), 32_768).good(), expected);
    stop(server);
}

fn vpd_range(lba: u64, blocks: u32) -> longshore_scsi::unmap::UnmapRange {
    longshore_scsi::unmap::UnmapRange { lba, blocks }
}

/// Much to compare and to write, so that two that are not atomic would overlap.
const BLOCKS: u8 = 255;
const LEN: u32 = BLOCKS as u32 * 512;
const COUNTS: u32 = 60;

#[test]
fn compare_and_write_is_atomic_between_initiators() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let address = server.local_addr();
    let count = |name: &'static str| {
        std::thread::spawn(move || {
            let mut client = Login::new(name).connect(address).settle(0);
            for _ in 0..COUNTS {
                loop {
                    let old = client.read(0, &read_10(0, BLOCKS.into()), LEN).good();
                    let mut new = old.clone();
                    let counter = u32::from_be_bytes(old[..4].try_into().unwrap()) + 1;
                    new[..4].copy_from_slice(&counter.to_be_bytes());
                    let cdb = [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, BLOCKS, 0, 0];
                    let answer = client.write(0, &cdb, &[old, new].concat());
                    if answer.status == Status::GOOD {
                        break;
                    }
                    answer.expect(Asc::MISCOMPARE_DURING_VERIFY);
                }
            }
        })
    };
    let counters = [count("a"), count("b"), count("c"), count("e")];
    counters.into_iter().for_each(|counter| counter.join().unwrap());
    let mut client = Login::new("d").connect(address).settle(0);
    assert_eq!(
        client.read(0, &read_10(0, 1), 512).good()[..4],
        (4 * COUNTS).to_be_bytes()
    );
    stop(server);
}

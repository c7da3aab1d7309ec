//! Sessions and units against Debian's tgt, an array that others wrote.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use longshore_initiator::{
    DiscoveryConfig, LoginFailureKind, Portal, Session, SessionState, Unit, UnitError, discover,
};
use longshore_iscsi::chap::ChapCredentials;
use longshore_scsi::lun::Lun;
use secrecy::SecretString;
use support::tgt::{TARGET, Tgt};
use support::{config, pattern, soon, worker};

const MIB: usize = 1 << 20;

fn lun(number: u16) -> Lun {
    Lun::from_number(number).unwrap()
}

fn chap(secret: &str) -> ChapCredentials {
    ChapCredentials::new("node1", SecretString::from(secret.to_owned())).unwrap()
}

#[tokio::test]
async fn two_luns_share_one_session() {
    let tgt = Tgt::start(2, 16 * MIB as u64);
    let session = Session::login(config(TARGET, vec![tgt.portal()]), soon())
        .await
        .unwrap();
    let luns = session.report_luns(soon()).await.unwrap();
    assert!(luns.contains(&lun(1)) && luns.contains(&lun(2)), "{luns:?}");

    let one = Unit::open(&session, lun(1), soon()).await.unwrap();
    let two = Unit::open(&session, lun(2), soon()).await.unwrap();
    assert_ne!(one.identity().wwid, two.identity().wwid);
    assert!(one.identity().wwid.is_some());
    assert_eq!(one.identity().vendor, "IET");
    assert_eq!(one.geometry().size_bytes, 16 * MIB as u64);

    let (first, second) = (pattern(1, 3 * MIB + 512), pattern(2, 8192));
    let (a, b) = tokio::join!(
        one.write(512, Bytes::from(first.clone())),
        two.write(4096, Bytes::from(second.clone()))
    );
    a.unwrap();
    b.unwrap();
    one.flush().await.unwrap();
    two.flush().await.unwrap();
    assert_eq!(
        one.read(512, first.len() as u32).await.unwrap().into_bytes(),
        first
    );
    assert_eq!(two.read(4096, 8192).await.unwrap().into_bytes(), second);
    let mut on_disk = vec![0; first.len()];
    let mut file = std::fs::File::open(tgt.file(1)).unwrap();
    file.seek(SeekFrom::Start(512)).unwrap();
    file.read_exact(&mut on_disk).unwrap();
    assert_eq!(on_disk, first);

    one.write_zeroes(1024, 2 * MIB as u64).await.unwrap();
    let zeroed = one.read(512, 2 * MIB as u32 + 1024).await.unwrap().into_bytes();
    assert!(zeroed[512..512 + 2 * MIB].iter().all(|byte| *byte == 0));
    assert_eq!(zeroed[..512], first[..512]);
    assert_eq!(zeroed[512 + 2 * MIB..], first[512 + 2 * MIB..2 * MIB + 1024]);

    assert!(matches!(
        one.read(16 * MIB as u64, 512).await,
        Err(UnitError::Range { .. })
    ));
    assert!(matches!(one.read(1, 512).await, Err(UnitError::Range { .. })));
    assert!(matches!(
        Unit::open(&session, lun(9), soon()).await,
        Err(UnitError::NoSuchLun { .. })
    ));
    assert!(matches!(
        Unit::open(&session, lun(0), soon()).await,
        Err(UnitError::NotADisk { .. })
    ));

    one.close(soon()).await.unwrap();
    session.logout(soon()).await.unwrap();
    assert_eq!(session.info().state, SessionState::Closed);
    assert!(two.read(0, 512).await.is_err());
}

#[tokio::test]
async fn chap_right_wrong_and_missing() {
    let tgt = Tgt::start(1, MIB as u64).with_chap("node1", "a-secret-of-16-b");
    let mut config = config(TARGET, vec![tgt.portal()]);

    let missing = Session::login(config.clone(), soon()).await.err().unwrap();
    assert_eq!(missing.kind(), LoginFailureKind::Authentication, "{missing}");

    config.chap = Some(chap("another-of-16-by"));
    let wrong = Session::login(config.clone(), soon()).await.err().unwrap();
    assert_eq!(wrong.kind(), LoginFailureKind::Authentication, "{wrong}");
    assert!(!wrong.to_string().contains("another-of-16-by"));

    config.chap = Some(chap("a-secret-of-16-b"));
    let session = Session::login(config, soon()).await.unwrap();
    Unit::open(&session, lun(1), soon()).await.unwrap();
    session.logout(soon()).await.unwrap();
}

/// tgt takes the number of SHA-256 for SHA-1: with default settings the login works all the same.
#[tokio::test]
async fn mutual_chap_with_the_default_algorithms() {
    let tgt = Tgt::start(1, MIB as u64)
        .with_chap("node1", "a-secret-of-16-b")
        .with_mutual_chap("array", "array-secret-16b");
    let mut config = config(TARGET, vec![tgt.portal()]);
    let array = |secret: &str| ChapCredentials::new("array", SecretString::from(secret.to_owned())).unwrap();
    config.chap = Some(chap("a-secret-of-16-b"));
    config.mutual_chap = Some(array("not-the-arrays-1"));
    let wrong = Session::login(config.clone(), soon()).await.err().unwrap();
    assert_eq!(wrong.kind(), LoginFailureKind::Authentication, "{wrong}");
    assert!(!wrong.to_string().contains("not-the-arrays-1"));

    config.mutual_chap = Some(array("array-secret-16b"));
    let session = Session::login(config, soon()).await.unwrap();
    Unit::open(&session, lun(1), soon()).await.unwrap();
    session.logout(soon()).await.unwrap();
}

/// tgt compares names byte by byte, as arrays do whose names have capitals.
#[tokio::test]
async fn a_target_name_with_capitals_keeps_its_spelling() {
    const NAME: &str = "iqn.2000-01.com.Example:NAS.Target-1";
    let tgt = Tgt::named(NAME, 1, MIB as u64);
    let config = config(NAME, vec![tgt.portal()]);
    let discovery = DiscoveryConfig::new(config.initiator_name.clone(), config.isid, vec![tgt.portal()]);
    let found = discover(discovery, soon()).await.unwrap();
    assert_eq!(found[0].name.as_str(), NAME);
    assert_eq!(found[0].name, NAME.to_lowercase().parse().unwrap());

    let session = Session::login(config, soon()).await.unwrap();
    assert_eq!(session.info().target_name.as_str(), NAME);
    Unit::open(&session, lun(1), soon()).await.unwrap();
    session.logout(soon()).await.unwrap();
}

#[tokio::test]
async fn a_target_that_is_not_there_and_one_that_is() {
    let tgt = Tgt::start(1, MIB as u64);
    let config = config("iqn.2026-11.org.longshore:other", vec![tgt.portal()]);
    let failure = Session::login(config.clone(), soon()).await.err().unwrap();
    assert_eq!(failure.kind(), LoginFailureKind::TargetNotFound, "{failure}");

    let discovery = DiscoveryConfig::new(config.initiator_name, config.isid, vec![tgt.portal()]);
    let targets = discover(discovery, soon()).await.unwrap();
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].name.as_str(), TARGET);
    assert_eq!(targets[0].portals[0].portal, tgt.portal());
}

#[tokio::test]
async fn a_dead_portal_does_not_keep_us_from_the_other_f18() {
    let tgt = Tgt::start(1, MIB as u64);
    // One refuses, one never answers: it listens, but nobody accepts and talks.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Portal::from_address(silent.local_addr().unwrap());
    let refusing: Portal = format!("127.0.0.1:{}", support::free_port()).parse().unwrap();
    let config = config(TARGET, vec![refusing, silent, tgt.portal()]);
    let session = Session::login(config, soon()).await.unwrap();
    assert_eq!(session.info().portal, tgt.portal());
    session.logout(soon()).await.unwrap();
}

#[tokio::test]
async fn everything_completes_over_kill_and_restart_under_load() {
    let mut tgt = Tgt::start(2, 16 * MIB as u64);
    let session = Session::login(config(TARGET, vec![tgt.portal()]), soon())
        .await
        .unwrap();
    let units = [
        Arc::new(Unit::open(&session, lun(1), soon()).await.unwrap()),
        Arc::new(Unit::open(&session, lun(2), soon()).await.unwrap()),
    ];
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..16 {
        workers.spawn(worker(units[number as usize % 2].clone(), number, 300));
    }
    for _ in 0..3 {
        // In the middle of it: when some more commands are through.
        let before = session.info().counters.commands;
        while session.info().counters.commands < before + 500 && !workers.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        tgt.kill();
        tgt.restart();
    }
    while let Some(worker) = tokio::time::timeout_at(soon().into(), workers.join_next())
        .await
        .unwrap()
    {
        worker.unwrap();
    }
    let info = session.info();
    assert!(info.reconnects >= 3, "{info:?}");
    assert!(units.iter().all(|unit| unit.condition().is_none()));
    drop(units);
    session.logout(soon()).await.unwrap();
}

//! Sessions and units against Longshore's own target, with its faults.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_initiator::{
    Condition, DigestPolicy, LoginFailureKind, Portal, Session, SessionConfig, Unit, UnitError,
};
use longshore_iscsi::chap::ChapCredentials;
use longshore_scsi::lun::Lun;
use longshore_target::faults::ReadFault;
use longshore_target::{ChapConfig, LunConfig, Server, TargetConfig};
use secrecy::SecretString;
use support::{config, pattern, soon, worker};
use tempfile::TempDir;

const TARGET: &str = "iqn.2026-11.org.longshore:own";
const MIB: u64 = 1 << 20;

fn lun(number: u16) -> Lun {
    Lun::from_number(number).unwrap()
}

/// A target with LUNs 0 and 1 of 16 MiB each.
fn target(dir: &TempDir) -> TargetConfig {
    let mut target = TargetConfig::new(TARGET);
    for number in 0..2 {
        let path = dir.path().join(format!("lun{number}"));
        target.luns.push(LunConfig {
            size_bytes: Some(16 * MIB),
            ..LunConfig::new(number, path)
        });
    }
    target
}

fn start(target: TargetConfig) -> (Server, SessionConfig) {
    let server = Server::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .target(target)
        .start()
        .unwrap();
    let config = config(TARGET, vec![Portal::from_address(server.local_addr())]);
    (server, config)
}

#[tokio::test]
async fn all_combinations_of_digests_and_unsolicited_data() {
    let dir = TempDir::new().unwrap();
    let (server, config) = start(target(&dir));
    for bits in 0..16_u64 {
        let mut config = config.clone();
        let digest = |on: bool| {
            if on {
                DigestPolicy::Required
            } else {
                DigestPolicy::Never
            }
        };
        config.offers.header_digest = digest(bits & 1 != 0);
        config.offers.data_digest = digest(bits & 2 != 0);
        config.offers.initial_r2t = bits & 4 != 0;
        config.offers.immediate_data = bits & 8 != 0;
        let session = Session::login(config, soon()).await.unwrap();
        assert_eq!(session.info().header_digest, bits & 1 != 0);
        assert_eq!(session.info().data_digest, bits & 2 != 0);
        let unit = Unit::open(&session, lun(0), soon()).await.unwrap();
        for len in [512, 4096, 100 * 512, 3 * MIB as usize + 512] {
            let data = pattern(bits, len);
            unit.write(512, Bytes::from(data.clone())).await.unwrap();
            assert!(
                unit.read(512, len as u32).await.unwrap().into_bytes() == data,
                "{bits} {len}"
            );
        }
        unit.close(soon()).await.unwrap();
        session.logout(soon()).await.unwrap();
    }
    server.stop(soon()).unwrap();
}

#[tokio::test]
async fn mutual_chap_right_and_wrong() {
    let account = |name: &str, secret: &str| ChapConfig {
        name: name.to_owned(),
        secret: SecretString::from(secret.to_owned()),
        initiator: None,
    };
    let ours =
        |name: &str, secret: &str| ChapCredentials::new(name, SecretString::from(secret.to_owned())).unwrap();
    let dir = TempDir::new().unwrap();
    let mut target = target(&dir);
    target.chap.push(account("node1", "secret-of-the-node"));
    target.mutual_chap = Some(account("array", "secret-of-the-array"));
    let (server, mut config) = start(target);

    let missing = Session::login(config.clone(), soon()).await.err().unwrap();
    assert_eq!(missing.kind(), LoginFailureKind::Authentication, "{missing}");
    config.chap = Some(ours("node1", "secret-of-the-node"));
    config.mutual_chap = Some(ours("array", "another-secret-here"));
    let wrong = Session::login(config.clone(), soon()).await.err().unwrap();
    assert_eq!(wrong.kind(), LoginFailureKind::Authentication, "{wrong}");
    config.mutual_chap = Some(ours("array", "secret-of-the-array"));
    let session = Session::login(config, soon()).await.unwrap();
    session.logout(soon()).await.unwrap();
    server.stop(soon()).unwrap();
}

#[tokio::test]
async fn everything_completes_while_connections_are_dropped() {
    let dir = TempDir::new().unwrap();
    let (server, config) = start(target(&dir));
    let session = Session::login(config, soon()).await.unwrap();
    let units = [
        Arc::new(Unit::open(&session, lun(0), soon()).await.unwrap()),
        Arc::new(Unit::open(&session, lun(1), soon()).await.unwrap()),
    ];
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..16 {
        workers.spawn(worker(units[number as usize % 2].clone(), number, 200));
    }
    for _ in 0..5 {
        let before = session.info().counters.commands;
        while session.info().counters.commands < before + 300 && !workers.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.faults().drop_connections();
    }
    while let Some(worker) = tokio::time::timeout_at(soon().into(), workers.join_next())
        .await
        .unwrap()
    {
        worker.unwrap();
    }
    assert!(units.iter().all(|unit| unit.condition().is_none()));
    drop(units);
    session.logout(soon()).await.unwrap();
    server.stop(soon()).unwrap();
}

#[tokio::test]
async fn a_silent_target_is_noticed_and_io_goes_on_when_it_speaks_again() {
    let dir = TempDir::new().unwrap();
    let (server, mut config) = start(target(&dir));
    config.timing.noop_interval = Duration::from_millis(50);
    config.timing.noop_timeout = Duration::from_millis(100);
    config.timing.login_timeout = Duration::from_millis(200);
    config.timing.reconnect_max = Duration::from_millis(50);
    let session = Session::login(config, soon()).await.unwrap();
    let unit = Arc::new(Unit::open(&session, lun(0), soon()).await.unwrap());
    server.faults().pause();
    let write = tokio::spawn({
        let unit = unit.clone();
        async move { unit.write(0, Bytes::from(pattern(1, 4096))).await }
    });
    let mut state = session.watch();
    let down = state.wait_for(|state| *state == longshore_initiator::SessionState::Reconnecting);
    tokio::time::timeout_at(soon().into(), down)
        .await
        .unwrap()
        .unwrap();
    assert!(
        session
            .report_luns(Instant::now() + Duration::from_millis(100))
            .await
            .is_err()
    );
    server.faults().resume();
    tokio::time::timeout_at(soon().into(), write)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(unit.read(0, 4096).await.unwrap().into_bytes() == pattern(1, 4096));
    drop(unit);
    session.logout(soon()).await.unwrap();
    server.stop(soon()).unwrap();
}

#[tokio::test]
async fn another_disk_under_the_same_number_is_fenced_f3() {
    let dir = TempDir::new().unwrap();
    let (server, config) = start(target(&dir));
    let session = Session::login(config, soon()).await.unwrap();
    let unit = Unit::open(&session, lun(0), soon()).await.unwrap();
    unit.write(0, Bytes::from(pattern(1, 4096))).await.unwrap();
    let other = dir.path().join("other");
    let replacement = LunConfig {
        size_bytes: Some(16 * MIB),
        ..LunConfig::new(0, &other)
    };
    server.target(TARGET).unwrap().replace_lun(&replacement).unwrap();
    let result = unit.write(0, Bytes::from(pattern(2, 4096))).await;
    assert!(
        matches!(result, Err(UnitError::Fenced(Condition::IdentityChanged { .. }))),
        "{result:?}"
    );
    assert!(std::fs::read(&other).unwrap().iter().all(|byte| *byte == 0));
    assert!(unit.verify_identity(soon()).await.is_err());
    // Whoever opens it anew sees another unit.
    drop(unit);
    session.logout(soon()).await.unwrap();
    server.stop(soon()).unwrap();
}

#[tokio::test]
async fn growing_failing_and_zeroing() {
    let dir = TempDir::new().unwrap();
    let (server, config) = start(target(&dir));
    let session = Session::login(config, soon()).await.unwrap();
    let unit = Unit::open(&session, lun(0), soon()).await.unwrap();
    server.target(TARGET).unwrap().resize_lun(0, 32 * MIB).unwrap();
    assert_eq!(unit.refresh(soon()).await.unwrap().size_bytes, 32 * MIB);
    unit.write(31 * MIB, Bytes::from(pattern(1, 4096))).await.unwrap();

    assert!(server.faults().fail_reads(TARGET, 0, 8..16, ReadFault::Short));
    assert!(matches!(
        unit.read(0, 16 * 512).await,
        Err(UnitError::Short { .. })
    ));
    assert!(server.faults().heal_reads(TARGET, 0));

    unit.write(MIB, Bytes::from(pattern(2, 2 * MIB as usize)))
        .await
        .unwrap();
    unit.write_zeroes(MIB + 512, MIB).await.unwrap();
    unit.discard(2 * MIB + 512, 4096).await.unwrap();
    let back = unit.read(MIB, 2 * MIB as u32).await.unwrap().into_bytes();
    let (zero, data) = (512..MIB as usize + 512 + 4096, pattern(2, 2 * MIB as usize));
    assert!(back[zero.clone()].iter().all(|byte| *byte == 0));
    assert!(back[..512] == data[..512] && back[zero.end..] == data[zero.end..]);
    unit.close(soon()).await.unwrap();
    session.logout(soon()).await.unwrap();
    server.stop(soon()).unwrap();
}

#[tokio::test]
async fn a_read_only_unit_refuses_writes() {
    let dir = TempDir::new().unwrap();
    let mut target = target(&dir);
    target.luns[1].read_only = true;
    let path = dir.path().join("lun1");
    std::fs::File::create(path).unwrap().set_len(MIB).unwrap();
    let (server, config) = start(target);
    let session = Session::login(config, soon()).await.unwrap();
    let unit = Unit::open(&session, lun(1), soon()).await.unwrap();
    assert!(unit.geometry().read_only);
    assert_eq!(
        unit.write(0, Bytes::from(vec![1; 512])).await,
        Err(UnitError::ReadOnly)
    );
    drop(unit);
    session.logout(soon()).await.unwrap();
    server.stop(soon()).unwrap();
}

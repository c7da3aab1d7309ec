//! Logins, sessions and their bounds over loopback.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use longshore_iscsi::chap::ChapCredentials;
use longshore_iscsi::params::DigestPolicy;
use longshore_iscsi::pdu::{LoginStatus, Pdu, Residual, TaskManagementFunction, TaskManagementResponseCode};
use longshore_scsi::Status;
use longshore_scsi::sense::Asc;
use longshore_target::{ChapConfig, Limits};
use secrecy::SecretString;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn credentials(name: &str, secret: &str) -> Option<ChapCredentials> {
    Some(ChapCredentials::new(name, SecretString::from(secret)).unwrap())
}

fn account(name: &str, secret: &str) -> ChapConfig {
    ChapConfig {
        name: name.into(),
        secret: SecretString::from(secret),
        initiator: None,
    }
}

#[test]
fn the_first_login_after_a_start_is_told_so_and_later_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let login = Login::new("a");
    let mut client = login.connect(server.local_addr());
    client.test_unit_ready(0).expect(Asc::POWER_ON_OR_RESET);
    client.test_unit_ready(0).good();
    client.test_unit_ready(1).expect(Asc::POWER_ON_OR_RESET);
    client.logout();
    let mut client = login.connect(server.local_addr());
    client.test_unit_ready(0).good();
    client.logout();
    stop(server);
    let server = serve(target_config(dir.path()));
    login
        .connect(server.local_addr())
        .test_unit_ready(0)
        .expect(Asc::POWER_ON_OR_RESET);
    stop(server);
}

#[test]
fn reinstatement_ends_the_old_session_and_is_told_as_nexus_loss() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let login = Login::new("a");
    let mut old = login.connect(server.local_addr()).settle(0);
    let mut new = login.connect(server.local_addr());
    assert!(old.receive().is_err(), "the old connection is closed");
    new.test_unit_ready(0).expect(Asc::NEXUS_LOSS_OCCURRED);
    new.test_unit_ready(0).good();
    // Another ISID is another nexus: both live side by side.
    let mut other = Login {
        isid: [0x80, 0, 0, 0, 0, 2],
        ..Login::new("a")
    }
    .connect(server.local_addr())
    .settle(0);
    new.test_unit_ready(0).good();
    other.test_unit_ready(0).good();
    assert_eq!(server.target(TARGET).unwrap().sessions().len(), 2);
    stop(server);
}

#[test]
fn data_written_before_reinstatement_cannot_land_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let login = Login::new("a");
    let mut old = login.connect(server.local_addr()).settle(0);
    let command = old.prepare(0, &write_10(0, 8), 0, 4096);
    old.send(command).unwrap();
    let Pdu::R2t(r2t) = old.receive().unwrap() else {
        panic!()
    };
    let mut new = login.connect(server.local_addr()).settle(0);
    // The old session sends its data all the same; nobody listens.
    let _ = old.send_data_out(&r2t, &vec![0xee; 4096].into());
    assert!(old.receive().is_err());
    new.write(0, &write_10(0, 8), &[0x11; 4096]).good();
    assert_eq!(new.read(0, &read_10(0, 8), 4096).good(), vec![0x11; 4096]);
    stop(server);
}

#[test]
fn all_data_paths_with_and_without_digests() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    for (number, digest) in [DigestPolicy::Never, DigestPolicy::Required]
        .into_iter()
        .enumerate()
    {
        let mut login = Login::new("a");
        login.isid[5] = number as u8;
        (login.offers.header_digest, login.offers.data_digest) = (digest, digest);
        login.offers.max_recv_data_segment_length = 8192;
        login.offers.max_burst_length = 65_536;
        let mut client = login.connect(server.local_addr()).settle(0);
        let data: Vec<u8> = (0..MIB as u32 / 2)
            .map(|n| (n % 251) as u8 ^ number as u8)
            .collect();
        client.write(0, &write_10(100, 1024), &data).good();
        assert_eq!(
            client.read(0, &read_10(100, 1024), data.len() as u32).good(),
            data
        );
        client.logout();
    }
    stop(server);
}

#[test]
fn residuals_and_data_of_transfers_that_do_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut client = Login::new("a").connect(server.local_addr()).settle(1);
    let answer = client.read(1, &read_10(0, 2), 700);
    assert_eq!(
        (answer.data.len(), answer.residual),
        (700, Residual::Overflow(324))
    );
    let answer = client.read(1, &read_10(0, 2), 2000);
    assert_eq!(
        (answer.data.len(), answer.residual),
        (1024, Residual::Underflow(976))
    );
    client
        .read(1, &read_10(2048, 1), 512)
        .expect(Asc::LBA_OUT_OF_RANGE);
    client
        .write(1, &write_10(0, 1), &[0; 512])
        .expect(Asc::WRITE_PROTECTED);
    client
        .read(9, &TEST_UNIT_READY, 0)
        .expect(Asc::LOGICAL_UNIT_NOT_SUPPORTED);
    assert_eq!(client.read(9, &[0x12, 0, 0, 0, 36, 0], 36).good()[0], 0x7f);
    stop(server);
}

#[test]
fn chap_one_way_and_mutual() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = target_config(dir.path());
    config.chap.push(account("user", "initiator-secret"));
    config.mutual_chap = Some(account("disk", "target-secret-1"));
    let server = serve(config);
    let login = |chap, mutual| {
        Login {
            chap,
            mutual,
            ..Login::new("a")
        }
        .try_connect(server.local_addr())
    };
    assert!(login(credentials("user", "initiator-secret"), None).is_ok());
    assert!(
        login(
            credentials("user", "initiator-secret"),
            credentials("disk", "target-secret-1")
        )
        .is_ok()
    );
    assert!(login(None, None).is_err(), "no secret");
    assert!(
        login(credentials("user", "another-secret-x"), None).is_err(),
        "wrong secret"
    );
    assert!(
        login(credentials("nobody", "initiator-secret"), None).is_err(),
        "wrong name"
    );
    assert!(
        login(
            credentials("user", "initiator-secret"),
            credentials("disk", "something-else")
        )
        .is_err()
    );
    stop(server);
}

#[test]
fn the_access_list_and_accounts_of_single_initiators() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = target_config(dir.path());
    config.initiators = vec!["iqn.2026-11.test:a".into(), "iqn.2026-11.test:b".into()];
    config.chap.push(ChapConfig {
        initiator: Some("iqn.2026-11.test:a".into()),
        ..account("a", "secret-of-host-a")
    });
    let server = serve(config);
    let chap = credentials("a", "secret-of-host-a");
    let login = |name| {
        Login {
            chap: chap.clone(),
            ..Login::new(name)
        }
        .try_connect(server.local_addr())
    };
    assert!(login("a").is_ok());
    for name in ["b", "c"] {
        match login(name) {
            Err(ClientError::Login(error)) => assert!(!error.is_transient(), "{error}"),
            other => panic!("{name}: {:?}", other.map(|_| ())),
        }
    }
    stop(server);
}

#[test]
fn an_unknown_target_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let login = Login {
        target: Some("iqn.2026-11.test:missing".into()),
        ..Login::new("a")
    };
    let Err(ClientError::Login(error)) = login.try_connect(server.local_addr()) else {
        panic!()
    };
    assert!(
        error.to_string().contains("not found") || format!("{error:?}").contains("NotFound"),
        "{error:?}"
    );
    let _ = LoginStatus::NOT_FOUND;
    stop(server);
}

#[test]
fn a_dead_initiator_is_pinged_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        ping_after_ms: 100,
        ping_timeout_ms: 200,
        ..Limits::default()
    };
    let server = serve_with(target_config(dir.path()), limits);
    let mut client = Login::new("a").connect(server.local_addr());
    let Pdu::NopIn(ping) = client.receive().unwrap() else {
        panic!("expected a ping")
    };
    assert!(!ping.target_transfer_tag.is_reserved());
    assert!(client.receive().is_err(), "no answer, no connection");
    stop(server);
}

#[test]
fn connections_beyond_the_limit_and_slow_logins_are_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_connections: 4,
        login_timeout_ms: 2000,
        ..Limits::default()
    };
    let server = serve_with(target_config(dir.path()), limits);
    let ends = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read(&mut [0; 1]).unwrap_or(0) == 0
    };
    let silent = [0; 3].map(|_| TcpStream::connect(server.local_addr()).unwrap());
    assert!(ends(&silent[2]), "strangers may take up half of all connections");
    let mut clients: Vec<Client> = Vec::new();
    assert!(silent.iter().all(ends), "they never logged in");
    for name in ["a", "b", "c", "d"] {
        clients.push(Login::new(name).connect(server.local_addr()).settle(0));
    }
    let one_too_many = TcpStream::connect(server.local_addr()).unwrap();
    assert!(ends(&one_too_many));
    clients
        .iter_mut()
        .for_each(|client| drop(client.test_unit_ready(0).good()));
    stop(server);
}

#[test]
fn garbage_instead_of_a_login_ends_the_connection_only() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    for byte in [0u8, 0x43, 0x7f, 0xff] {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(&[byte; 4096]);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    Login::new("a").connect(server.local_addr()).settle(0).logout();
    stop(server);
}

#[test]
fn a_long_command_does_not_hold_up_a_ping() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut client = Login::new("a").connect(server.local_addr()).settle(0);
    // WRITE SAME of a pattern over all 64 MiB has to write them.
    let write_same = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0];
    let command = client.prepare(0, &write_same, 0, 512);
    client
        .send(longshore_iscsi::pdu::ScsiCommand {
            data: vec![7; 512].into(),
            ..command
        })
        .unwrap();
    let ping = client.nop_out(b"still there?");
    let Pdu::NopIn(pong) = client.receive().unwrap() else {
        panic!("the ping is answered first")
    };
    assert_eq!(
        (pong.initiator_task_tag, &pong.data[..]),
        (ping, &b"still there?"[..])
    );
    let Pdu::ScsiResponse(response) = client.receive().unwrap() else {
        panic!()
    };
    assert_eq!(Status(response.status), Status::GOOD);
    assert_eq!(client.read(0, &read_10(131_071, 1), 512).good(), vec![7; 512]);
    stop(server);
}

#[test]
fn a_reset_aborts_what_other_initiators_have_open_and_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut victim = Login::new("a").connect(server.local_addr()).settle(0);
    let mut other = Login::new("b").connect(server.local_addr()).settle(0);
    let command = victim.prepare(0, &write_10(0, 8), 0, 4096);
    victim.send(command.clone()).unwrap();
    let Pdu::R2t(r2t) = victim.receive().unwrap() else {
        panic!()
    };
    let none = other.next_tag();
    let reset = other.manage(TaskManagementFunction::LogicalUnitReset, 0, none);
    assert_eq!(reset, TaskManagementResponseCode::FunctionComplete);
    victim.send_data_out(&r2t, &vec![0xee; 4096].into()).unwrap();
    let answer = victim
        .answer(command.initiator_task_tag, &Default::default())
        .unwrap();
    assert_eq!(answer.status, Status::TASK_ABORTED);
    victim.test_unit_ready(0).expect(Asc::BUS_DEVICE_RESET);
    assert_eq!(victim.read(0, &read_10(0, 8), 4096).good(), vec![0; 4096]);
    let missing = other.next_tag();
    let abort = other.manage(TaskManagementFunction::AbortTask, 0, missing);
    assert_eq!(abort, TaskManagementResponseCode::TaskDoesNotExist);
    let absent = other.manage(TaskManagementFunction::LogicalUnitReset, 77, missing);
    assert_eq!(absent, TaskManagementResponseCode::LunDoesNotExist);
    stop(server);
}

#[test]
fn preempt_and_abort_fences_a_write_that_waits_for_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let mut victim = Login::new("a").connect(server.local_addr()).settle(0);
    let mut fencer = Login::new("b").connect(server.local_addr()).settle(0);
    let out = |action: u8, kind: u8| [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0];
    let keys = |own: u64, other: u64| [&own.to_be_bytes()[..], &other.to_be_bytes()[..], &[0; 8]].concat();
    victim.write(0, &out(0, 0), &keys(0, 1)).good();
    fencer.write(0, &out(0, 0), &keys(0, 2)).good();
    victim.write(0, &out(1, 5), &keys(1, 0)).good();
    let command = victim.prepare(0, &write_10(0, 8), 0, 4096);
    victim.send(command.clone()).unwrap();
    let Pdu::R2t(r2t) = victim.receive().unwrap() else {
        panic!()
    };
    fencer.write(0, &out(5, 5), &keys(2, 1)).good();
    victim.send_data_out(&r2t, &vec![0xee; 4096].into()).unwrap();
    let answer = victim
        .answer(command.initiator_task_tag, &Default::default())
        .unwrap();
    assert_eq!(answer.status, Status::TASK_ABORTED);
    victim.test_unit_ready(0).expect(Asc::REGISTRATIONS_PREEMPTED);
    assert_eq!(
        victim.write(0, &write_10(0, 8), &[1; 4096]).status,
        Status::RESERVATION_CONFLICT
    );
    assert_eq!(fencer.read(0, &read_10(0, 8), 4096).good(), vec![0; 4096]);
    stop(server);
}

#[test]
fn discovery_lists_every_portal_and_only_what_the_initiator_may_see() {
    let dir = tempfile::tempdir().unwrap();
    let mut hidden = longshore_target::TargetConfig::new("iqn.2026-11.test:hidden");
    hidden.initiators.push("iqn.2026-11.test:somebody-else".into());
    let server = longshore_target::Server::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .listen("[::1]:0".parse().unwrap())
        .target(target_config(dir.path()))
        .target(hidden)
        .start()
        .unwrap();
    for address in server.local_addrs() {
        let mut client = Login {
            target: None,
            ..Login::new("a")
        }
        .connect(*address);
        let tag = client.next_tag();
        client
            .send(longshore_iscsi::pdu::TextRequest {
                immediate: true,
                final_bit: true,
                continue_bit: false,
                lun: Default::default(),
                initiator_task_tag: tag,
                target_transfer_tag: longshore_iscsi::pdu::TargetTransferTag::RESERVED,
                cmd_sn: longshore_iscsi::serial::SerialNumber32(1),
                exp_stat_sn: Default::default(),
                data: bytes::Bytes::from_static(b"SendTargets=All\0"),
            })
            .unwrap();
        let Pdu::TextResponse(response) = client.receive().unwrap() else {
            panic!()
        };
        let ports: Vec<u16> = server
            .local_addrs()
            .iter()
            .map(std::net::SocketAddr::port)
            .collect();
        let expected = format!(
            "TargetName={TARGET}\0TargetAddress=127.0.0.1:{},1\0TargetAddress=[::1]:{},1\0",
            ports[0], ports[1]
        );
        assert_eq!(String::from_utf8_lossy(&response.data), expected);
    }
    stop(server);
}

#[test]
fn stop_is_prompt_with_idle_and_paused_connections_and_frees_the_disks() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let _idle = Login::new("a").connect(server.local_addr());
    let mut paused = Login::new("b").connect(server.local_addr());
    server.faults().pause();
    paused.nop_out(b"");
    let begun = Instant::now();
    stop(server);
    assert!(begun.elapsed() < Duration::from_secs(20));
    stop(serve(target_config(dir.path())));
}

//! What happens when connections break, targets reset and units change, against a peer that follows a script.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_initiator::{
    Command, Condition, Data, Portal, Session, SessionConfig, SessionState, TransportError, Unit, UnitError,
};
use longshore_scsi::cdb::Cdb;
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::{Asc, SenseKey};
use support::peer::{Act, Peer, Seen, TARGET};
use support::{pattern, soon};

const LUN: u16 = 0;

fn config(portals: Vec<Portal>) -> SessionConfig {
    let mut config = support::config(TARGET, portals);
    // Nothing is flushed behind the back of a test that does not ask for it.
    config.timing.idle_flush = Duration::from_secs(3600);
    config.timing.reconnect_min = Duration::from_millis(5);
    config
}

async fn open(peer: &Peer) -> (Session, Unit) {
    open_with(config(vec![peer.portal()])).await
}

async fn open_with(config: SessionConfig) -> (Session, Unit) {
    let session = Session::login(config, soon()).await.unwrap();
    let unit = Unit::open(&session, Lun::from_number(LUN).unwrap(), soon())
        .await
        .unwrap();
    (session, unit)
}

fn block(seed: u64) -> Bytes {
    Bytes::from(pattern(seed, 512))
}

/// Runs a future that must come to an end.
async fn ends<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout_at(soon().into(), future)
        .await
        .expect("this must come to an end")
}

/// Waits until something holds that another task brings about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = soon();
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_reinstated_and_unanswered_writes_go_out_again_in_order() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    peer.forget();
    // Two are lost before they were carried out, one after, all three without an answer.
    peer.script([Act::Ignore, Act::Ignore, Act::DropAfter]);
    let (a, b, c) = ends(async {
        tokio::join!(
            unit.write(0, block(1)),
            unit.write(5120, block(2)),
            unit.write(10_240, block(3))
        )
    })
    .await;
    a.and(b).and(c).unwrap();
    let seen = peer.seen();
    let isid = session.info().isid.0;
    let login = seen
        .iter()
        .position(|it| *it == Seen::Login(isid))
        .expect("the same ISID again");
    assert_eq!(seen[..login], [Seen::Write(0), Seen::Write(10), Seen::Write(20)]);
    let rest: Vec<&Seen> = seen[login + 1..].iter().collect();
    assert_eq!(
        rest,
        [
            &Seen::Identity,
            &Seen::Write(0),
            &Seen::Write(10),
            &Seen::Write(20)
        ]
    );
    assert_eq!(session.info().reconnects, 1);
    assert_eq!(ends(unit.read(5120, 512)).await.unwrap().into_bytes(), block(2));
}

#[tokio::test]
async fn another_unit_behind_the_same_lun_is_fenced_before_any_write_f3() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    peer.forget();
    peer.state().identity = 2;
    peer.script([Act::DropBefore]);
    let result = ends(unit.write(0, block(1))).await;
    assert!(
        matches!(result, Err(UnitError::Fenced(Condition::IdentityChanged { .. }))),
        "{result:?}"
    );
    assert_eq!(
        peer.count(&Seen::Write(0)),
        1,
        "only the first one, which was lost"
    );
    assert!(peer.state().disk.iter().all(|byte| *byte == 0));
    assert!(matches!(
        unit.condition(),
        Some(Condition::IdentityChanged { .. })
    ));
    assert!(matches!(ends(unit.read(0, 512)).await, Err(UnitError::Fenced(_))));
    assert!(matches!(ends(unit.flush()).await, Err(UnitError::Fenced(_))));
    let lun = Lun::from_number(LUN).unwrap();
    let raw = Command {
        lun,
        cdb: Cdb::write(0, 1, false),
        data: Data::Out(block(1)),
    };
    assert!(
        ends(session.execute(raw, soon())).await.is_err(),
        "nor by the back door"
    );
    assert_eq!(peer.count(&Seen::Write(0)), 1);
}

#[tokio::test]
async fn reported_luns_data_has_changed_verifies_before_the_next_write_f3() {
    let peer = Peer::start().await;
    let (_session, unit) = open(&peer).await;
    peer.forget();
    peer.script([Act::Check(
        SenseKey::UnitAttention,
        Asc::REPORTED_LUNS_DATA_HAS_CHANGED,
    )]);
    ends(unit.write(0, block(1))).await.unwrap();
    assert_eq!(peer.seen(), [Seen::Write(0), Seen::Identity, Seen::Write(0)]);

    peer.state().identity = 9;
    peer.forget();
    peer.script([Act::Check(
        SenseKey::UnitAttention,
        Asc::REPORTED_LUNS_DATA_HAS_CHANGED,
    )]);
    assert!(matches!(
        ends(unit.write(512, block(1))).await,
        Err(UnitError::Fenced(_))
    ));
    assert_eq!(peer.count(&Seen::Write(1)), 1);
}

#[tokio::test]
async fn writes_that_a_power_cycle_lost_go_out_again_before_the_next_flush() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    for number in 0..4 {
        ends(unit.write(number * 512, block(number))).await.unwrap();
    }
    // The volatile cache is gone with the power.
    {
        let mut state = peer.state();
        state.disk.fill(0);
        state.attention = Some(Asc::POWER_ON_OR_RESET);
        state.seen.clear();
    }
    peer.script([Act::DropBefore]);
    ends(unit.flush()).await.unwrap();
    let writes: Vec<Seen> = (0..4).map(Seen::Write).collect();
    let seen = peer.seen();
    assert_eq!(seen[seen.len() - 5..seen.len() - 1], writes);
    assert_eq!(seen.last(), Some(&Seen::Flush));
    assert_eq!(session.info().counters.replayed_writes, 4);
    for number in 0..4 {
        assert_eq!(
            ends(unit.read(number * 512, 512)).await.unwrap().into_bytes(),
            block(number)
        );
    }

    // What is flushed is not sent again.
    peer.forget();
    peer.script([Act::DropBefore]);
    ends(unit.read(0, 512)).await.unwrap();
    assert!(!peer.seen().iter().any(|seen| matches!(seen, Seen::Write(_))));
}

#[tokio::test]
async fn a_flush_fails_when_lost_writes_cannot_go_out_again() {
    let peer = Peer::start().await;
    let (_session, unit) = open(&peer).await;
    ends(unit.write(0, block(1))).await.unwrap();
    peer.state().attention = Some(Asc::POWER_ON_OR_RESET);
    peer.script([
        Act::DropBefore,
        Act::Check(SenseKey::MediumError, Asc::WRITE_ERROR),
    ]);
    let result = ends(unit.flush()).await;
    assert!(matches!(result, Err(UnitError::WritesLost { .. })), "{result:?}");
    ends(unit.flush()).await.unwrap();
}

#[tokio::test]
async fn a_reset_in_the_middle_is_recovered_without_a_new_login() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    ends(unit.write(0, block(1))).await.unwrap();
    peer.forget();
    peer.script([Act::Check(SenseKey::UnitAttention, Asc::POWER_ON_OCCURRED)]);
    ends(unit.read(0, 512)).await.unwrap();
    assert_eq!(
        peer.seen(),
        [Seen::Read(0), Seen::Identity, Seen::Write(0), Seen::Read(0)]
    );
    assert_eq!(session.info().reconnects, 0);
}

#[tokio::test]
async fn a_new_capacity_is_read() {
    let peer = Peer::start().await;
    let (_session, unit) = open(&peer).await;
    peer.state().blocks = 4096;
    peer.state().disk.resize(4096 * 512, 0);
    peer.script([Act::Check(
        SenseKey::UnitAttention,
        Asc::CAPACITY_DATA_HAS_CHANGED,
    )]);
    ends(unit.read(0, 512)).await.unwrap();
    assert_eq!(unit.geometry().size_bytes, 4096 * 512);
    ends(unit.write(4095 * 512, block(1))).await.unwrap();
}

#[tokio::test]
async fn busy_is_waited_out_and_a_reservation_conflict_is_final() {
    let peer = Peer::start().await;
    let (_session, unit) = open(&peer).await;
    peer.forget();
    peer.script([Act::Status(0x08), Act::Status(0x28), Act::Status(0x08)]);
    ends(unit.write(0, block(1))).await.unwrap();
    assert_eq!(peer.count(&Seen::Write(0)), 4);
    peer.script([Act::Status(0x18)]);
    assert_eq!(
        ends(unit.write(512, block(1))).await,
        Err(UnitError::ReservationConflict)
    );
    assert_eq!(peer.count(&Seen::Write(1)), 1);
    peer.script([Act::Check(SenseKey::UnitAttention, Asc::RESERVATIONS_PREEMPTED)]);
    assert_eq!(
        ends(unit.write(1024, block(1))).await,
        Err(UnitError::ReservationConflict)
    );
    assert_eq!(peer.count(&Seen::Write(2)), 1);
}

#[tokio::test]
async fn a_reservation_whose_outcome_is_unknown_is_never_repeated() {
    let peer = Peer::start().await;
    let (session, _unit) = open(&peer).await;
    peer.script([Act::DropAfter]);
    let cdb = Cdb::PersistentReserveOut {
        service_action: 1,
        scope: 0,
        kind: 5,
        parameter_list_length: 24,
    };
    let command = Command {
        lun: Lun::from_number(LUN).unwrap(),
        cdb,
        data: Data::Out(Bytes::from(vec![0; 24])),
    };
    let result = ends(session.execute(command, soon())).await;
    assert!(
        matches!(result, Err(TransportError::OutcomeUnknown { .. })),
        "{result:?}"
    );
    until("the session is up again", || session.info().reconnects == 1).await;
    assert_eq!(peer.count(&Seen::Reserve), 1);
}

#[tokio::test]
async fn another_portal_group_resets_the_unit_before_writes_go_out_again() {
    let (first, second) = (Peer::start().await, Peer::start().await);
    second.state().portal_group = 2;
    let (session, unit) = open_with(config(vec![first.portal(), second.portal()])).await;
    assert_eq!(session.info().portal, first.portal());
    // The first one dies with a write under way.
    first.script([Act::DropBefore]);
    first.state().silent = true;
    ends(unit.write(0, block(1))).await.unwrap();
    assert_eq!(session.info().portal, second.portal());
    let seen = second.seen();
    let at = |what: &Seen| seen.iter().position(|it| it == what).unwrap();
    assert!(at(&Seen::UnitReset) < at(&Seen::Identity), "{seen:?}");
    assert!(at(&Seen::Identity) < at(&Seen::Write(0)), "{seen:?}");
}

#[tokio::test]
async fn a_unit_reset_stays_due_when_the_new_connection_is_lost_before_it_is_done() {
    let (first, second) = (Peer::start().await, Peer::start().await);
    second.state().portal_group = 2;
    let (session, unit) = open_with(config(vec![first.portal(), second.portal()])).await;
    first.script([Act::DropBefore]);
    first.state().silent = true;
    second.state().drop_at_reset = 1;
    ends(unit.write(0, block(1))).await.unwrap();
    assert!(session.info().reconnects >= 2);
    let seen = second.seen();
    let resets = seen.iter().filter(|it| **it == Seen::UnitReset).count();
    assert_eq!(resets, 2, "{seen:?}");
    let last_reset = seen.iter().rposition(|it| *it == Seen::UnitReset).unwrap();
    assert!(
        last_reset < seen.iter().position(|it| *it == Seen::Write(0)).unwrap(),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_write_by_the_back_door_waits_at_the_gate_too() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    peer.forget();
    let raw = Command {
        lun: unit.lun(),
        cdb: Cdb::write(8, 1, false),
        data: Data::Out(block(2)),
    };
    // The raw command has no answer when the unit reports an attention; the recovery waits for it.
    peer.script([
        Act::Ignore,
        Act::Check(SenseKey::UnitAttention, Asc::POWER_ON_OCCURRED),
    ]);
    let (result, read) = ends(async {
        tokio::join!(
            session.execute(raw, Instant::now() + Duration::from_millis(100)),
            unit.read(0, 512)
        )
    })
    .await;
    assert!(
        matches!(result, Err(TransportError::Deadline { .. })),
        "{result:?}"
    );
    read.unwrap();
    assert_eq!(
        peer.seen(),
        [
            Seen::Write(8),
            Seen::Read(0),
            Seen::Abort,
            Seen::Identity,
            Seen::Read(0)
        ]
    );
}

#[tokio::test]
async fn overlapping_writes_are_never_under_way_together() {
    let peer = Peer::start().await;
    let (_session, unit) = open(&peer).await;
    peer.state().hold = true;
    let overlapping = async {
        tokio::join!(
            unit.write(0, Bytes::from(pattern(1, 1024))),
            unit.write(512, Bytes::from(pattern(2, 1024))),
            unit.write(4096, block(3)),
            async {
                until("both writes that do not meet are there", || {
                    peer.state().held_max == 2
                })
                .await;
                peer.state().hold = false;
                // Takes the answers that were held back along.
                unit.read(8192, 512).await.unwrap();
            }
        )
    };
    let (a, b, c, ()) = ends(overlapping).await;
    a.and(b).and(c).unwrap();
    assert_eq!(peer.state().held_max, 2);
    assert_eq!(
        ends(unit.read(512, 1024)).await.unwrap().into_bytes(),
        pattern(2, 1024)
    );
}

#[tokio::test]
async fn a_command_without_a_status_ends_at_its_deadline_and_frees_its_tag() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    peer.state().deaf = true;
    let lun = Lun::from_number(LUN).unwrap();
    for _ in 0..100 {
        let command = Command {
            lun,
            cdb: Cdb::read(0, 1),
            data: Data::In(512),
        };
        let result = ends(session.execute(command, Instant::now() + Duration::from_millis(5))).await;
        assert!(
            matches!(result, Err(TransportError::Deadline { .. })),
            "{result:?}"
        );
    }
    until("all have been aborted", || peer.count(&Seen::Abort) == 100).await;
    peer.state().deaf = false;
    ends(unit.read(0, 512)).await.unwrap();
    assert_eq!(session.info().reconnects, 0);
}

#[tokio::test]
async fn dropped_futures_leave_nothing_behind() {
    let peer = Peer::start().await;
    let mut config = config(vec![peer.portal()]);
    config.timing.task_timeout = Duration::from_millis(50);
    let (session, unit) = open_with(config).await;
    peer.state().deaf = true;
    for number in 0..50 {
        let abandoned = unit.read(number * 512, 512);
        let short = tokio::time::timeout(Duration::from_millis(1), abandoned).await;
        assert!(short.is_err());
    }
    peer.state().deaf = false;
    ends(unit.write(0, block(1))).await.unwrap();
    ends(unit.close(soon())).await.unwrap();
    ends(session.logout(soon())).await.unwrap();
    assert_eq!(peer.seen().last(), Some(&Seen::Logout));
}

#[tokio::test]
async fn logout_flushes_what_is_retained() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    ends(unit.write(0, block(1))).await.unwrap();
    peer.forget();
    ends(session.logout(soon())).await.unwrap();
    assert_eq!(peer.seen(), [Seen::Flush, Seen::Logout]);
    assert_eq!(session.info().state, SessionState::Closed);
    assert!(ends(unit.read(0, 512)).await.is_err());
}

#[tokio::test]
async fn dropping_the_last_handle_flushes_and_logs_out() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    ends(unit.write(0, block(1))).await.unwrap();
    peer.forget();
    drop(unit);
    drop(session);
    until("the session is logged out", || peer.count(&Seen::Logout) == 1).await;
    assert_eq!(peer.seen(), [Seen::Flush, Seen::Logout]);
}

#[tokio::test]
async fn nothing_is_retained_at_rest() {
    let peer = Peer::start().await;
    let mut config = config(vec![peer.portal()]);
    config.timing.idle_flush = Duration::from_millis(20);
    let (_session, unit) = open_with(config).await;
    ends(unit.write(0, block(1))).await.unwrap();
    until("the session flushes by itself", || peer.count(&Seen::Flush) == 1).await;
    ends(unit.flush()).await.unwrap();
}

#[tokio::test]
async fn retained_writes_are_bounded() {
    let peer = Peer::start().await;
    let mut config = config(vec![peer.portal()]);
    config.retained_bytes_max = 8192;
    let (_session, unit) = open_with(config).await;
    for number in 0..64 {
        ends(unit.write(number * 512, block(number))).await.unwrap();
    }
    // 64 × (512 + overhead) bytes do not fit; about half of the bound is kept between two flushes.
    assert!(peer.count(&Seen::Flush) >= 8, "{}", peer.count(&Seen::Flush));
}

#[tokio::test]
async fn a_failed_flush_of_our_own_makes_the_next_one_fail() {
    let peer = Peer::start().await;
    let mut config = config(vec![peer.portal()]);
    config.timing.idle_flush = Duration::from_millis(20);
    let (_session, unit) = open_with(config).await;
    ends(unit.write(0, block(1))).await.unwrap();
    peer.script([Act::Check(SenseKey::MediumError, Asc::WRITE_ERROR)]);
    until("the session flushes by itself", || peer.count(&Seen::Flush) == 1).await;
    let result = ends(unit.flush()).await;
    assert!(matches!(result, Err(UnitError::WritesLost { .. })), "{result:?}");
    ends(unit.flush()).await.unwrap();
}

/// The unit is swapped after it has told its identity, and the news come with the answer to another question.
#[tokio::test]
async fn a_unit_that_is_swapped_while_it_is_opened_is_never_written_to_f3() {
    let peer = Peer::start().await;
    peer.state().swap_at = Some(|cdb| matches!(cdb, Cdb::ReadCapacity16 { .. }));
    let (_session, unit) = open(&peer).await;
    let result = ends(unit.write(0, block(1))).await;
    assert!(matches!(result, Err(UnitError::Fenced(_))), "{result:?}");
    assert_eq!(peer.count(&Seen::Write(0)), 0);
}

#[tokio::test]
async fn a_unit_that_is_swapped_while_it_is_recovered_is_never_written_to_f3() {
    for swap_at in [
        (|cdb| matches!(cdb, Cdb::TestUnitReady)) as fn(&Cdb) -> bool,
        |cdb| matches!(cdb, Cdb::ReadCapacity16 { .. }),
    ] {
        let peer = Peer::start().await;
        let (_session, unit) = open(&peer).await;
        peer.forget();
        peer.state().swap_at = Some(swap_at);
        peer.script([Act::DropBefore]);
        let result = ends(unit.write(0, block(1))).await;
        assert!(matches!(result, Err(UnitError::Fenced(_))), "{result:?}");
        assert_eq!(peer.count(&Seen::Write(0)), 1, "only the one that was lost");
    }
}

#[tokio::test]
async fn logins_are_spaced_out_when_connections_do_not_hold_f19() {
    let peer = Peer::start().await;
    let mut config = config(vec![peer.portal()]);
    config.timing.reconnect_min = Duration::from_millis(20);
    let (session, unit) = open_with(config).await;
    peer.script([Act::DropBefore; 6]);
    let start = Instant::now();
    ends(unit.read(0, 512)).await.unwrap();
    assert_eq!(session.info().reconnects, 6);
    // At once, then after 20, 40, 80, 160 and 320 ms.
    assert!(
        start.elapsed() >= Duration::from_millis(620),
        "{:?}",
        start.elapsed()
    );
}

/// A rejected command leaves a gap in the CmdSNs, behind which everything else would wait.
#[tokio::test]
async fn a_rejected_command_that_is_not_repeated_costs_the_connection_too() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    peer.forget();
    peer.script([Act::Reject]);
    let reserve = Command {
        lun: Lun::from_number(LUN).unwrap(),
        cdb: Cdb::PersistentReserveOut {
            service_action: 0,
            scope: 0,
            kind: 0,
            parameter_list_length: 24,
        },
        data: Data::Out(Bytes::from(vec![0; 24])),
    };
    let result = ends(session.execute(reserve, soon())).await;
    assert!(
        matches!(result, Err(TransportError::OutcomeUnknown { .. })),
        "{result:?}"
    );
    ends(unit.read(0, 512)).await.unwrap();
    assert_eq!(session.info().reconnects, 1);
    assert_eq!(peer.count(&Seen::Reserve), 1);
}

#[tokio::test]
async fn write_protection_is_seen_without_a_caching_page() {
    let peer = Peer::start().await;
    peer.state().protected_without_caching_page = true;
    let (_session, unit) = open(&peer).await;
    assert!(unit.geometry().read_only);
    assert!(unit.geometry().write_cache, "not told means: there may be one");
}

/// Exclusive access shuts out MODE SENSE too: a recovery must not wait for ever for what the I/O is refused anyway.
#[tokio::test]
async fn a_reservation_that_was_lost_during_an_outage_is_told() {
    let peer = Peer::start().await;
    let (session, unit) = open(&peer).await;
    peer.state().reserved = true;
    peer.script([Act::DropBefore]);
    let result = ends(unit.write(0, block(1))).await;
    assert!(
        matches!(result, Err(UnitError::ReservationConflict)),
        "{result:?}"
    );
    assert_eq!(session.info().reconnects, 1);
}

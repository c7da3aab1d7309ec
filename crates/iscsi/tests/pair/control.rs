//! What is not data: pings both ways, task management, text, logout, asynchronous messages, rejects.

use crate::disk::STUCK;
use crate::harness::{Pair, connect};
use crate::link::{Fate, Flow};
use crate::setup::{Setup, name};
use bytes::Bytes;
use longshore_iscsi::initiator::{ConnectionError, Event, Settings, SubmitError, TaskData, TaskError};
use longshore_iscsi::pdu::{
    AsyncEvent, AsyncMessage, InitiatorTaskTag, LunField, Pdu, RejectReason, TargetTransferTag,
    TaskManagementFunction,
};
use longshore_iscsi::serial::SerialNumber32;
use longshore_iscsi::target::Limits;
use longshore_iscsi::text::{KeyValues, SendTargets, TextLimits};
use std::time::Duration;

fn stuck(pair: &mut Pair, time: Option<Duration>) -> InitiatorTaskTag {
    let mut cdb = [0; 16];
    cdb[0] = STUCK;
    pair.submit(cdb, TaskData::None, time)
}

#[test]
fn the_initiator_pings_a_quiet_target() {
    let limits = Limits {
        ping_after: Duration::ZERO,
        ..Limits::default()
    };
    let mut pair = connect(&Setup {
        limits,
        ..Setup::default()
    })
    .unwrap();
    pair.advance(Duration::from_secs(61));
    pair.assert_alive();
    let pings = pair.count(|pdu| matches!(pdu, Pdu::NopOut(nop) if !nop.initiator_task_tag.is_reserved()));
    let answers = pair.count(|pdu| matches!(pdu, Pdu::NopIn(nop) if !nop.initiator_task_tag.is_reserved()));
    assert!(
        (8..=13).contains(&pings),
        "{pings} pings in a minute, one is due each 5 seconds"
    );
    assert_eq!(answers, pings);
}

#[test]
fn the_target_pings_a_quiet_initiator() {
    let settings = Settings {
        keepalive_interval: Duration::from_secs(3600),
        ..Settings::default()
    };
    let mut pair = connect(&Setup {
        settings,
        ..Setup::default()
    })
    .unwrap();
    pair.advance(Duration::from_secs(61));
    pair.assert_alive();
    let asked =
        |pdu: &Pdu| matches!(pdu, Pdu::NopIn(nop) if nop.target_transfer_tag != TargetTransferTag::RESERVED);
    let answered =
        |pdu: &Pdu| matches!(pdu, Pdu::NopOut(nop) if nop.target_transfer_tag != TargetTransferTag::RESERVED);
    assert!(pair.count(asked) >= 3);
    assert_eq!(pair.count(asked), pair.count(answered));
}

/// A ping is answered in time also while all places of the window are taken.
#[test]
fn pings_pass_a_shut_window() {
    let limits = Limits {
        command_window: 1,
        ..Limits::default()
    };
    let mut pair = connect(&Setup {
        limits,
        ..Setup::default()
    })
    .unwrap();
    for _ in 0..5 {
        stuck(&mut pair, None);
    }
    pair.advance(Duration::from_secs(120));
    pair.assert_alive();
    assert_eq!(pair.disk.held.len(), 1);
}

#[test]
fn a_task_without_a_status_is_aborted_at_its_deadline() {
    let mut pair = connect(&Setup::default()).unwrap();
    let task = stuck(&mut pair, Some(Duration::from_secs(3)));
    pair.advance(Duration::from_secs(2));
    assert_eq!(pair.take(task), None);
    pair.advance(Duration::from_secs(2));
    pair.assert_alive();
    assert_eq!(pair.take(task), Some(Err(TaskError::Aborted)));
    assert_eq!(pair.disk.management, [TaskManagementFunction::AbortTask]);
    assert_eq!(
        (pair.target.open_commands(), pair.initiator.outstanding()),
        (0, 0)
    );
}

/// The race of abort and completion (§11.5): the status was already under way, and it counts.
#[test]
fn a_status_that_crosses_its_abort_counts() {
    let mut pair = connect(&Setup::default()).unwrap();
    let task = stuck(&mut pair, None);
    pair.drive();
    pair.disk.release(&mut pair.target);
    pair.initiator.abort(pair.now, task);
    pair.drive();
    pair.assert_alive();
    assert_eq!(pair.take(task).expect("ended").expect("with a status").status, 0);
    assert_eq!(pair.disk.management, [TaskManagementFunction::AbortTask]);
    assert_eq!(pair.initiator.outstanding(), 0);
}

#[test]
fn a_task_that_never_left_is_aborted_without_a_word() {
    let limits = Limits {
        command_window: 1,
        ..Limits::default()
    };
    let mut pair = connect(&Setup {
        limits,
        ..Setup::default()
    })
    .unwrap();
    let first = stuck(&mut pair, None);
    let second = stuck(&mut pair, None);
    pair.drive();
    pair.initiator.abort(pair.now, second);
    pair.drive();
    assert_eq!(pair.take(second), Some(Err(TaskError::NeverSent)));
    assert_eq!((pair.take(first), pair.disk.management.len()), (None, 0));
}

#[test]
fn a_logical_unit_reset_ends_all_its_tasks() {
    let mut pair = connect(&Setup::default()).unwrap();
    let tasks = [0; 4].map(|_| stuck(&mut pair, None));
    pair.drive();
    let request = pair
        .initiator
        .reset_unit(pair.now, LunField::default())
        .expect("a tag");
    pair.drive();
    pair.assert_alive();
    for task in tasks {
        assert_eq!(pair.take(task), Some(Err(TaskError::Aborted)));
    }
    assert!(pair.events.contains(&Event::UnitReset {
        request,
        lun: LunField::default(),
        done: true
    }));
    assert_eq!(pair.target.open_commands(), 0);
}

#[test]
fn logout() {
    let mut pair = connect(&Setup::default()).unwrap();
    let read = pair.read(0, 4);
    pair.drive();
    pair.take_good(read);
    pair.initiator.logout().expect("room for a logout");
    pair.drive();
    pair.assert_alive();
    assert!(pair.disk.logged_out);
    assert_eq!(pair.events, [Event::LoggedOut]);
    let task = longshore_iscsi::initiator::ScsiTask {
        lun: LunField::default(),
        cdb: [0; 16],
        data: TaskData::None,
        attribute: longshore_iscsi::pdu::TaskAttribute::Simple,
        deadline: None,
    };
    assert_eq!(pair.initiator.submit(task), Err(SubmitError::LoggingOut));
}

/// The target tells something, right after the login.
fn tell(pair: &mut Pair, event: AsyncEvent, sense: &'static [u8]) {
    let message = AsyncMessage {
        lun: LunField::default(),
        stat_sn: pair.initiator.parameters().exp_stat_sn,
        exp_cmd_sn: SerialNumber32(1),
        max_cmd_sn: SerialNumber32(32),
        event,
        sense: Bytes::from_static(sense),
        event_data: Bytes::new(),
    };
    pair.link.send(pair.now, Flow::ToInitiator, message.into_raw());
    pair.drive();
}

#[test]
fn a_target_that_goes_away_says_when_to_come_back() {
    let mut pair = connect(&Setup::default()).unwrap();
    tell(
        &mut pair,
        AsyncEvent::SessionDrop {
            time2wait_s: 7,
            time2retain_s: 0,
        },
        b"",
    );
    assert_eq!(
        pair.initiator_error,
        Some(ConnectionError::Dropped { wait_seconds: 7 })
    );
}

#[test]
fn a_target_that_wants_a_logout() {
    let mut pair = connect(&Setup::default()).unwrap();
    tell(&mut pair, AsyncEvent::LogoutRequest { time_s: 12 }, b"");
    pair.assert_alive();
    assert_eq!(pair.events, [Event::LogoutRequested { within_seconds: 12 }]);
}

/// 3F/0E: the LUNs have changed, so whose disk is whose must be asked again.
#[test]
fn a_scsi_event_arrives_with_its_sense_data() {
    const LUNS_CHANGED: &[u8] = &[0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3f, 0x0e, 0, 0, 0, 0];
    let mut pair = connect(&Setup::default()).unwrap();
    tell(&mut pair, AsyncEvent::Scsi, LUNS_CHANGED);
    pair.assert_alive();
    let sense = Bytes::from_static(LUNS_CHANGED);
    assert_eq!(
        pair.events,
        [Event::ScsiEvent {
            lun: LunField::default(),
            sense
        }]
    );
}

fn ask_for_targets(pair: &mut Pair) -> InitiatorTaskTag {
    let request = pair
        .initiator
        .text(Bytes::from_static(b"SendTargets=All\0"))
        .expect("room for a text");
    pair.drive();
    request
}

fn take_text(pair: &mut Pair, wanted: InitiatorTaskTag) -> Option<Bytes> {
    pair.assert_alive();
    let answers = pair.events.drain(..).filter_map(|event| match event {
        Event::Text { request, answer } if request == wanted => Some(answer),
        _ => None,
    });
    answers.last().expect("an answer")
}

/// A discovery session with more targets than one PDU can name.
#[test]
fn send_targets_over_many_pdus() {
    let setup = Setup {
        target_name: None,
        ..Setup::default()
    };
    let mut pair = connect(&setup).unwrap();
    let addresses = vec![
        "192.0.2.1:3260,1".parse().unwrap(),
        "[2001:db8::1]:3260,1".parse().unwrap(),
    ];
    pair.disk.targets = (0..4000)
        .map(|n| (name(&format!("iqn.2001-04.com.example:{n}")), addresses.clone()))
        .collect();
    let request = ask_for_targets(&mut pair);
    let text = take_text(&mut pair, request).expect("not rejected");
    let answer =
        SendTargets::from_pairs(&KeyValues::parse(&text, TextLimits::SEND_TARGETS).unwrap()).unwrap();
    let told: Vec<_> = answer
        .records
        .into_iter()
        .map(|record| (record.name, record.addresses))
        .collect();
    assert!(told == pair.disk.targets);
    assert!(pair.count(|pdu| matches!(pdu, Pdu::TextResponse(_))) > 1);
}

/// A request with a transfer tag that the target never gave is rejected; the connection goes on.
#[test]
fn a_rejected_text_request_costs_only_itself() {
    let mut pair = connect(&Setup::small(true, true, false, false)).unwrap();
    pair.link.tamper = Some(Box::new(|flow, pdu, bytes| {
        if flow == Flow::ToTarget && matches!(pdu, Pdu::TextRequest(_)) {
            bytes[20..24].copy_from_slice(&[0, 0, 9, 9]);
        }
        Fate::Arrives
    }));
    let request = ask_for_targets(&mut pair);
    assert_eq!(take_text(&mut pair, request), None);
    let rejects = pair
        .count(|pdu| matches!(pdu, Pdu::Reject(reject) if reject.reason == RejectReason::NegotiationReset));
    assert_eq!(rejects, 1);
    pair.link.tamper = None;
    let read = pair.read(0, 1);
    pair.drive();
    pair.take_good(read);
}

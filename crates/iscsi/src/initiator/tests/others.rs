//! NOP in both directions, text, logout, asynchronous messages, rejects.

use super::*;
use crate::pdu::{
    AsyncEvent, AsyncMessage, LogoutResponse, LogoutResponseCode, NopIn, Reject, RejectReason, TextResponse,
};

fn nop_in(fixture: &mut Fixture, tag: InitiatorTaskTag, ttt: TargetTransferTag) -> NopIn {
    let stat_sn = if tag.is_reserved() {
        fixture.stat_sn
    } else {
        fixture.status_number()
    };
    let (exp_cmd_sn, max_cmd_sn) = (fixture.exp_cmd_sn, fixture.max_cmd_sn);
    let (lun, data) = (LUN, Bytes::new());
    NopIn {
        lun,
        initiator_task_tag: tag,
        target_transfer_tag: ttt,
        stat_sn,
        exp_cmd_sn,
        max_cmd_sn,
        data,
    }
}

#[test]
fn a_ping_of_the_target_is_answered_before_everything_else() {
    let mut fixture = Fixture::new();
    fixture.fill(20);
    let ping = nop_in(
        &mut fixture,
        InitiatorTaskTag::RESERVED,
        TargetTransferTag(0x1234),
    );
    fixture.take(ping).unwrap();
    let Some(Pdu::NopOut(pong)) = fixture.transmit() else {
        panic!("an answer is due")
    };
    assert!(pong.immediate && pong.initiator_task_tag.is_reserved());
    assert_eq!(
        (pong.target_transfer_tag, pong.lun),
        (TargetTransferTag(0x1234), LUN)
    );
    assert_eq!(pong.exp_stat_sn.0, 100, "its StatSN is not used up");
}

#[test]
fn a_flood_of_pings_ends_the_connection() {
    let mut fixture = Fixture::new();
    let result = (0..1000).try_for_each(|number| {
        let ping = nop_in(
            &mut fixture,
            InitiatorTaskTag::RESERVED,
            TargetTransferTag(number),
        );
        fixture.take(ping)
    });
    assert_eq!(violation(result), Violation::NopFlood(64));
}

#[test]
fn a_silent_target_is_asked_and_then_given_up() {
    let mut fixture = Fixture::new();
    fixture.pass(4).unwrap();
    assert!(fixture.transmit().is_none());
    fixture.pass(1).unwrap();
    let Some(Pdu::NopOut(ping)) = fixture.transmit() else {
        panic!("a ping is due")
    };
    assert!(ping.immediate && ping.target_transfer_tag.is_reserved());
    fixture.pass(4).unwrap();
    assert_eq!(
        fixture.connection.poll_timeout(),
        Some(fixture.now + Duration::from_secs(1))
    );
    assert_eq!(fixture.pass(1), Err(ConnectionError::KeepaliveTimeout));
}

#[test]
fn an_answered_ping_starts_the_interval_again() {
    let mut fixture = Fixture::new();
    for _ in 0..5 {
        fixture.pass(5).unwrap();
        let Some(Pdu::NopOut(ping)) = fixture.transmit() else {
            panic!("a ping is due")
        };
        let pong = nop_in(&mut fixture, ping.initiator_task_tag, TargetTransferTag::RESERVED);
        fixture.take(pong).unwrap();
        assert_eq!(fixture.connection.outstanding(), 0);
    }
}

fn text_response(fixture: &mut Fixture, tag: InitiatorTaskTag, final_bit: bool, data: Bytes) -> TextResponse {
    TextResponse {
        final_bit,
        continue_bit: !final_bit,
        lun: LunField::default(),
        initiator_task_tag: tag,
        target_transfer_tag: if final_bit {
            TargetTransferTag::RESERVED
        } else {
            TargetTransferTag(9)
        },
        stat_sn: fixture.status_number(),
        exp_cmd_sn: fixture.exp_cmd_sn,
        max_cmd_sn: fixture.max_cmd_sn,
        data,
    }
}

#[test]
fn a_text_answer_in_several_pdus_is_put_together() {
    let mut fixture = Fixture::new();
    let tag = fixture
        .connection
        .text(Bytes::from_static(b"SendTargets=All\0"))
        .unwrap();
    let Some(Pdu::TextRequest(first)) = fixture.transmit() else {
        panic!("a text request is due")
    };
    assert_eq!(first.data, Bytes::from_static(b"SendTargets=All\0"));
    let part = text_response(&mut fixture, tag, false, Bytes::from_static(b"TargetName=a"));
    fixture.take(part).unwrap();
    let Some(Pdu::TextRequest(more)) = fixture.transmit() else {
        panic!("a second request is due")
    };
    assert_eq!(
        (more.target_transfer_tag, more.data.len()),
        (TargetTransferTag(9), 0)
    );
    let part = text_response(&mut fixture, tag, true, Bytes::from_static(b"bc\0"));
    fixture.take(part).unwrap();
    let answer = Some(Bytes::from_static(b"TargetName=abc\0"));
    assert_eq!(
        fixture.connection.poll_event(),
        Some(Event::Text { request: tag, answer })
    );
}

#[test]
fn text_without_end_ends_the_connection() {
    for part in [Bytes::from_static(&[b'x'; 8192]), Bytes::new()] {
        let mut fixture = Fixture::new();
        let tag = fixture
            .connection
            .text(Bytes::from_static(b"SendTargets=All\0"))
            .unwrap();
        let result = (0..=TEXT_PDUS_MAX).try_for_each(|_| {
            fixture.transmit();
            let part = text_response(&mut fixture, tag, false, part.clone());
            fixture.take(part)
        });
        assert!(matches!(violation(result), Violation::TextTooLong { .. }));
    }
}

#[test]
fn logout_is_confirmed_or_refused() {
    for (response, confirmed) in [
        (LogoutResponseCode::Success, true),
        (LogoutResponseCode::CleanupFailed, false),
    ] {
        let mut fixture = Fixture::new();
        fixture.connection.logout().unwrap();
        let Some(Pdu::LogoutRequest(request)) = fixture.transmit() else {
            panic!("a logout is due")
        };
        let pdu = LogoutResponse {
            response,
            initiator_task_tag: request.initiator_task_tag,
            stat_sn: fixture.status_number(),
            exp_cmd_sn: fixture.exp_cmd_sn,
            max_cmd_sn: fixture.max_cmd_sn,
            time2wait_s: 0,
            time2retain_s: 0,
        };
        let result = fixture.take(pdu);
        assert_eq!(result.is_ok(), confirmed);
        assert_eq!(
            fixture.connection.poll_event(),
            confirmed.then_some(Event::LoggedOut)
        );
    }
}

fn message(fixture: &mut Fixture, event: AsyncEvent) -> AsyncMessage {
    AsyncMessage {
        lun: LUN,
        stat_sn: fixture.status_number(),
        exp_cmd_sn: fixture.exp_cmd_sn,
        max_cmd_sn: fixture.max_cmd_sn,
        event,
        sense: Bytes::from_static(&[0x70, 0, 6]),
        event_data: Bytes::new(),
    }
}

#[test]
fn asynchronous_messages() {
    let mut fixture = Fixture::new();
    let scsi = message(&mut fixture, AsyncEvent::Scsi);
    fixture.take(scsi).unwrap();
    let sense = Bytes::from_static(&[0x70, 0, 6]);
    assert_eq!(
        fixture.connection.poll_event(),
        Some(Event::ScsiEvent { lun: LUN, sense })
    );
    for event in [
        AsyncEvent::LogoutRequest { time_s: 3 },
        AsyncEvent::ParameterNegotiation { time_s: 3 },
    ] {
        let pdu = message(&mut fixture, event);
        fixture.take(pdu).unwrap();
        assert_eq!(
            fixture.connection.poll_event(),
            Some(Event::LogoutRequested { within_seconds: 3 })
        );
    }
    let drop = message(
        &mut fixture,
        AsyncEvent::SessionDrop {
            time2wait_s: 4,
            time2retain_s: 0,
        },
    );
    assert_eq!(
        fixture.take(drop),
        Err(ConnectionError::Dropped { wait_seconds: 4 })
    );
}

fn reject(fixture: &mut Fixture, reason: RejectReason, raw: &RawPdu) -> Reject {
    Reject {
        reason,
        stat_sn: fixture.status_number(),
        exp_cmd_sn: fixture.exp_cmd_sn,
        max_cmd_sn: fixture.max_cmd_sn,
        data_sn_or_r2t_sn: SerialNumber32(0),
        data: Bytes::copy_from_slice(&raw.bhs),
    }
}

#[test]
fn a_rejected_command_fails_alone() {
    let mut fixture = Fixture::new();
    let task = fixture.submit(TaskData::None);
    let raw = fixture.connection.poll_transmit().unwrap();
    let pdu = reject(&mut fixture, RejectReason::CommandNotSupported, &raw);
    fixture.take(pdu).unwrap();
    assert_eq!(
        fixture.completion(),
        (task, Err(TaskError::Rejected(RejectReason::CommandNotSupported)))
    );
}

#[test]
fn a_damaged_data_out_waits_for_the_status_of_its_task() {
    let mut fixture = Fixture::with(Parameters {
        immediate_data: false,
        ..Parameters::default()
    });
    let (task, _) = fixture.send(out(512));
    let r2t = fixture.r2t(task, 0, 0, 512);
    fixture.take(r2t).unwrap();
    let raw = fixture.connection.poll_transmit().unwrap();
    let pdu = reject(&mut fixture, RejectReason::DataDigestError, &raw);
    fixture.take(pdu).unwrap();
    assert!(matches!(fixture.connection.poll_event(), Some(Event::Note(_))));
    fixture.respond(task, CHECK_CONDITION).unwrap();
    assert_eq!(fixture.completion().1.unwrap().status, CHECK_CONDITION);
}

#[test]
fn a_reject_without_a_header_is_noted() {
    let mut fixture = Fixture::new();
    let raw = RawPdu {
        bhs: [0; 48],
        ahs: Bytes::new(),
        data: Bytes::new(),
    };
    let pdu = reject(&mut fixture, RejectReason::ProtocolError, &raw);
    fixture
        .take(Reject {
            data: Bytes::from_static(&[1, 2, 3]),
            ..pdu
        })
        .unwrap();
    assert!(matches!(fixture.connection.poll_event(), Some(Event::Note(_))));
}

//! The command window, tags, statuses, StatSN.

use super::*;

#[test]
fn commands_leave_in_order_and_stop_at_max_cmd_sn() {
    let mut fixture = Fixture::new();
    for _ in 0..10 {
        fixture.submit(TaskData::None);
    }
    let sent: Vec<u32> = (0..8).map(|_| fixture.command().cmd_sn.0).collect();
    assert_eq!(sent, (10..18).collect::<Vec<_>>());
    assert!(fixture.transmit().is_none(), "the window is shut");
    assert!(!fixture.connection.has_room());
}

#[test]
fn an_answer_opens_the_window_again() {
    let mut fixture = Fixture::new();
    let first = fixture.submit(TaskData::None);
    for _ in 0..9 {
        fixture.submit(TaskData::None);
    }
    while fixture.transmit().is_some() {}
    fixture.exp_cmd_sn = SerialNumber32(18);
    fixture.max_cmd_sn = SerialNumber32(18);
    fixture.respond(first, 0).unwrap();
    assert_eq!(fixture.command().cmd_sn.0, 18);
    assert!(fixture.transmit().is_none());
}

#[test]
fn a_window_that_cannot_be_is_ignored() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::None);
    fixture.exp_cmd_sn = SerialNumber32(500);
    fixture.max_cmd_sn = SerialNumber32(498);
    fixture.respond(tag, 0).unwrap();
    fixture.fill(7);
    (0..7).for_each(|_| drop(fixture.command()));
    fixture.submit(TaskData::None);
    assert!(fixture.transmit().is_none());
}

#[test]
fn immediate_commands_stand_outside_of_the_window() {
    let mut fixture = Fixture::new();
    fixture.fill(9);
    (0..8).for_each(|_| drop(fixture.command()));
    fixture.connection.logout().unwrap();
    let Some(Pdu::LogoutRequest(logout)) = fixture.transmit() else {
        panic!("a logout is due")
    };
    assert!(logout.immediate);
    assert_eq!(logout.cmd_sn.0, 18, "the next number, not used up");
}

#[test]
fn a_status_ends_the_task_and_is_acknowledged() {
    let mut fixture = Fixture::new();
    let (tag, first) = fixture.send(TaskData::None);
    assert_eq!(first.exp_stat_sn.0, 100);
    let mut response = fixture.response(tag, CHECK_CONDITION);
    response.sense = Bytes::from_static(&[0x70, 0, 6]);
    fixture.take(response).unwrap();
    let (ended, result) = fixture.completion();
    let completion = result.unwrap();
    assert_eq!((ended, completion.status), (tag, CHECK_CONDITION));
    assert_eq!(completion.sense, Bytes::from_static(&[0x70, 0, 6]));
    assert_eq!(fixture.connection.outstanding(), 0);
    assert_eq!(fixture.send(TaskData::None).1.exp_stat_sn.0, 101);
}

#[test]
fn a_lost_status_ends_the_connection() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::None);
    fixture.status_number();
    let error = violation(fixture.respond(tag, 0));
    assert_eq!(
        error,
        Violation::StatSn {
            expected: 100,
            got: 101
        }
    );
}

#[test]
fn a_second_status_or_a_foreign_tag_ends_the_connection() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::None);
    fixture.respond(tag, 0).unwrap();
    let opcode = Opcode::ScsiResponse;
    assert_eq!(
        violation(fixture.respond(tag, 0)),
        Violation::UnknownTask { opcode, tag }
    );
}

#[test]
fn a_status_for_a_command_that_did_not_leave_ends_the_connection() {
    let mut fixture = Fixture::new();
    let tag = fixture.submit(TaskData::None);
    assert!(matches!(
        violation(fixture.respond(tag, 0)),
        Violation::WrongTaskKind { .. }
    ));
}

#[test]
fn a_target_failure_is_no_status() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::None);
    let response = fixture.response(tag, 0);
    fixture
        .take(ScsiResponse {
            response: ServiceResponse::TargetFailure,
            ..response
        })
        .unwrap();
    assert_eq!(fixture.completion(), (tag, Err(TaskError::TargetFailure)));
}

#[test]
fn data_too_long_for_a_command_are_refused() {
    let mut fixture = Fixture::new();
    fixture.connection.logout().unwrap();
    let task = ScsiTask {
        lun: LUN,
        cdb: [0; 16],
        data: TaskData::None,
        attribute: TaskAttribute::Simple,
        deadline: None,
    };
    assert_eq!(fixture.connection.submit(task), Err(SubmitError::LoggingOut));
}

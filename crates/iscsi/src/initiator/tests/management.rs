//! Task timeouts, ABORT TASK and what follows when it does not help.

use super::*;
use crate::pdu::{TaskManagementRequest, TaskManagementResponse, TaskManagementResponseCode};

fn answer(
    fixture: &mut Fixture,
    request: &TaskManagementRequest,
    response: TaskManagementResponseCode,
) -> Result<(), ConnectionError> {
    let pdu = TaskManagementResponse {
        response,
        initiator_task_tag: request.initiator_task_tag,
        stat_sn: fixture.status_number(),
        exp_cmd_sn: fixture.exp_cmd_sn,
        max_cmd_sn: fixture.max_cmd_sn,
    };
    fixture.take(pdu)
}

fn request(fixture: &mut Fixture) -> TaskManagementRequest {
    loop {
        match fixture.transmit().expect("a task management request is due") {
            Pdu::TaskManagementRequest(request) => return request,
            Pdu::NopOut(_) => {}
            other => panic!("a task management request is due, not {other}"),
        }
    }
}

/// Lets the task's deadline pass while the target gives signs of life.
fn expire(fixture: &mut Fixture, task: InitiatorTaskTag) -> TaskManagementRequest {
    fixture.now += Duration::from_secs(30);
    fixture.connection.handle_activity(fixture.now);
    fixture.pass(0).unwrap();
    assert_eq!(fixture.connection.poll_event(), Some(Event::Aborting { task }));
    request(fixture)
}

#[test]
fn a_task_without_a_status_is_aborted_by_its_number() {
    let mut fixture = Fixture::new();
    let (task, command) = fixture.send(TaskData::In(512));
    assert!(fixture.connection.poll_timeout().is_some());
    let abort = expire(&mut fixture, task);
    assert!(abort.immediate);
    assert_eq!(abort.function, Function::AbortTask);
    assert_eq!(
        (abort.referenced_task_tag, abort.ref_cmd_sn, abort.lun),
        (task, command.cmd_sn, LUN)
    );
    answer(&mut fixture, &abort, TaskManagementResponseCode::FunctionComplete).unwrap();
    assert_eq!(fixture.completion(), (task, Err(TaskError::Aborted)));
    assert_eq!(fixture.connection.outstanding(), 0);
}

#[test]
fn a_status_that_overtakes_the_abort_counts() {
    let mut fixture = Fixture::new();
    let (task, _) = fixture.send(TaskData::None);
    let abort = expire(&mut fixture, task);
    fixture.respond(task, 0).unwrap();
    assert!(fixture.completion().1.is_ok());
    answer(&mut fixture, &abort, TaskManagementResponseCode::TaskDoesNotExist).unwrap();
    assert_eq!(fixture.connection.poll_event(), None);
}

#[test]
fn a_task_that_does_not_exist_is_over() {
    let mut fixture = Fixture::new();
    let (task, _) = fixture.send(TaskData::None);
    let abort = expire(&mut fixture, task);
    answer(&mut fixture, &abort, TaskManagementResponseCode::TaskDoesNotExist).unwrap();
    assert_eq!(fixture.completion(), (task, Err(TaskError::Aborted)));
}

#[test]
fn a_task_that_never_left_had_no_effect() {
    let mut fixture = Fixture::new();
    (0..8).for_each(|_| drop(fixture.send(TaskData::None)));
    let waiting = fixture.submit(TaskData::None);
    fixture.connection.abort(fixture.now, waiting);
    assert_eq!(fixture.completion(), (waiting, Err(TaskError::NeverSent)));
    assert!(fixture.transmit().is_none());
}

#[test]
fn a_refused_abort_becomes_a_unit_reset_that_ends_all_tasks_of_the_unit() {
    let mut fixture = Fixture::new();
    let (task, _) = fixture.send(TaskData::None);
    let abort = expire(&mut fixture, task);
    let (sibling, _) = fixture.send(TaskData::None);
    answer(
        &mut fixture,
        &abort,
        TaskManagementResponseCode::FunctionNotSupported,
    )
    .unwrap();
    let reset = request(&mut fixture);
    assert_eq!((reset.function, reset.lun), (Function::LogicalUnitReset, LUN));
    assert!(reset.referenced_task_tag.is_reserved());
    answer(&mut fixture, &reset, TaskManagementResponseCode::FunctionComplete).unwrap();
    let ended = [fixture.completion().0, fixture.completion().0];
    assert!(ended.contains(&task) && ended.contains(&sibling));
}

#[test]
fn silence_escalates_from_abort_to_reset_to_the_end_of_the_connection() {
    let mut fixture = Fixture::new();
    let (task, _) = fixture.send(TaskData::None);
    expire(&mut fixture, task);
    fixture.now += Duration::from_secs(10);
    fixture.connection.handle_activity(fixture.now);
    fixture.pass(0).unwrap();
    assert_eq!(request(&mut fixture).function, Function::LogicalUnitReset);
    fixture.now += Duration::from_secs(10);
    fixture.connection.handle_activity(fixture.now);
    let error = fixture.pass(0).unwrap_err();
    assert_eq!(error, ConnectionError::TaskManagement(Function::LogicalUnitReset));
}

#[test]
fn a_late_answer_to_an_abort_is_no_violation() {
    let mut fixture = Fixture::new();
    let (task, _) = fixture.send(TaskData::None);
    let abort = expire(&mut fixture, task);
    fixture.now += Duration::from_secs(10);
    fixture.connection.handle_activity(fixture.now);
    fixture.pass(0).unwrap();
    let reset = request(&mut fixture);
    answer(&mut fixture, &abort, TaskManagementResponseCode::FunctionComplete).unwrap();
    answer(&mut fixture, &reset, TaskManagementResponseCode::FunctionComplete).unwrap();
    assert_eq!(fixture.completion(), (task, Err(TaskError::Aborted)));
}

#[test]
fn a_reset_that_was_asked_for_reports_how_it_went() {
    for (code, done) in [
        (TaskManagementResponseCode::FunctionComplete, true),
        (TaskManagementResponseCode::FunctionRejected, false),
    ] {
        let mut fixture = Fixture::new();
        let tag = fixture.connection.reset_unit(fixture.now, LUN).unwrap();
        let reset = request(&mut fixture);
        answer(&mut fixture, &reset, code).unwrap();
        assert_eq!(
            fixture.connection.poll_event(),
            Some(Event::UnitReset {
                request: tag,
                lun: LUN,
                done
            })
        );
    }
}

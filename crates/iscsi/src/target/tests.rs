//! The connection machine against an initiator that is written out PDU by PDU, on a virtual clock.

use super::*;
use crate::frame::FrameError;
use crate::params::{Parameters, SessionParameters, SessionType};
use crate::pdu::*;
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::time::Instant;

struct Rig {
    machine: TargetConnection,
    now: Instant,
    cmd_sn: u32,
}

fn parameters() -> Parameters {
    Parameters {
        initial_r2t: false,
        max_burst_length: 4096,
        first_burst_length: 2048,
        max_send_data_segment_length: 1024,
        ..Parameters::default()
    }
}

fn rig_with(parameters: Parameters, limits: Limits, session_type: SessionType) -> Rig {
    let session = SessionParameters {
        parameters,
        session_type,
        cmd_sn: SerialNumber32(u32::MAX), // so that every test sees numbers wrap
        exp_stat_sn: SerialNumber32(100),
        ..SessionParameters::default()
    };
    let now = Instant::now();
    Rig {
        machine: TargetConnection::new(session, Cid(7), limits, now),
        now,
        cmd_sn: u32::MAX,
    }
}

fn rig() -> Rig {
    rig_with(parameters(), Limits::default(), SessionType::Normal)
}

impl Rig {
    fn command(&mut self, tag: u32, expected_len: u32, write: bool) -> ScsiCommand {
        let cmd_sn = SerialNumber32(self.cmd_sn);
        self.cmd_sn = self.cmd_sn.wrapping_add(1);
        ScsiCommand {
            immediate: false,
            final_bit: true,
            read: !write && expected_len > 0,
            write,
            attribute: TaskAttribute::Simple,
            lun: LunField::default(),
            initiator_task_tag: InitiatorTaskTag(tag),
            expected_data_transfer_length: expected_len,
            cmd_sn,
            exp_stat_sn: SerialNumber32(0),
            cdb: [0; 16],
            extended_cdb: Bytes::new(),
            bidirectional_read_length: None,
            data: Bytes::new(),
        }
    }

    fn send(&mut self, pdu: impl Into<RawPdu>) -> Result<(), ConnectionError> {
        self.machine.handle_pdu(self.now, pdu.into())
    }

    /// Sends a command and gives what the driver gets.
    fn start(&mut self, pdu: ScsiCommand) -> Command {
        self.send(pdu).unwrap();
        match self.machine.poll_event() {
            Some(Event::Command(command)) => command,
            other => panic!("expected a command, got {other:?}"),
        }
    }

    fn received(&mut self) -> Vec<Pdu> {
        std::iter::from_fn(|| self.machine.poll_transmit())
            .map(|raw| Pdu::parse(raw).unwrap())
            .collect()
    }

    fn one(&mut self) -> Pdu {
        let mut all = self.received();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn data_out(
        &self,
        tag: u32,
        ttt: TargetTransferTag,
        data_sn: u32,
        offset: u32,
        len: usize,
        last: bool,
    ) -> DataOut {
        DataOut {
            final_bit: last,
            lun: LunField::default(),
            initiator_task_tag: InitiatorTaskTag(tag),
            target_transfer_tag: ttt,
            exp_stat_sn: SerialNumber32(0),
            data_sn: SerialNumber32(data_sn),
            buffer_offset: offset,
            data: Bytes::from(vec![offset as u8 + 1; len]),
        }
    }

    fn r2t(&mut self) -> R2t {
        match self.one() {
            Pdu::R2t(r2t) => r2t,
            other => panic!("expected an R2T, got {other:?}"),
        }
    }

    fn data(&mut self) -> (u32, usize, bool) {
        match self.machine.poll_event() {
            Some(Event::Data {
                offset,
                segments,
                last,
                ..
            }) => (offset, segments.iter().map(Bytes::len).sum(), last),
            other => panic!("expected data, got {other:?}"),
        }
    }
}

const NO_TAG: TargetTransferTag = TargetTransferTag::RESERVED;

#[test]
fn data_in_is_cut_to_segments_and_bursts_and_ends_with_its_status() {
    let mut rig = rig();
    let command = rig.command(1, 6000, false);
    let command = rig.start(command);
    assert!(
        rig.machine
            .data_in(command.task, Bytes::from(vec![5; 6000]), Some(6000))
    );
    let pdus = rig.received();
    let shape: Vec<(u32, usize, bool, bool)> = pdus
        .iter()
        .map(|pdu| match pdu {
            Pdu::DataIn(d) => (d.buffer_offset, d.data.len(), d.final_bit, d.status.is_some()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (0, 1024, false, false),
        (1024, 1024, false, false),
        (2048, 1024, false, false),
        (3072, 1024, true, false), // MaxBurstLength
        (4096, 1024, false, false),
        (5120, 880, true, true),
    ];
    assert_eq!(shape, expected);
    let Pdu::DataIn(last) = &pdus[5] else { panic!() };
    assert_eq!((last.data_sn.0, last.status.unwrap().stat_sn.0), (5, 100));
    assert_eq!(last.exp_cmd_sn, SerialNumber32(0));
    assert_eq!(last.max_cmd_sn, SerialNumber32(127));
    assert!(!rig.machine.is_live(command.task));
}

#[test]
fn residuals_of_every_mismatch() {
    let cases = [
        (512, 512, Residual::None),
        (200, 512, Residual::Overflow(312)),
        (10_000, 512, Residual::Underflow(9488)),
    ];
    for (expected_len, transfer_len, residual) in cases {
        let mut rig = rig();
        let command = rig.command(1, expected_len, false);
        let command = rig.start(command);
        rig.machine
            .data_in(command.task, Bytes::from(vec![0; 512]), Some(transfer_len));
        let sent = rig.received();
        let Some(Pdu::DataIn(last)) = sent.last() else {
            panic!("{sent:?}")
        };
        assert_eq!(last.status.unwrap().residual, residual);
        let total: usize = sent
            .iter()
            .map(|pdu| if let Pdu::DataIn(d) = pdu { d.data.len() } else { 0 })
            .sum();
        assert_eq!(total, 512.min(expected_len as usize));
    }
    let mut rig = rig();
    let command = rig.command(1, 0, false);
    let command = rig.start(command);
    rig.machine
        .data_in(command.task, Bytes::from(vec![0; 512]), Some(512));
    let Pdu::ScsiResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!(response.residual, Residual::Overflow(512));
}

#[test]
fn immediate_data_that_is_all_is_handed_over_at_once() {
    let mut rig = rig();
    let command = ScsiCommand {
        data: Bytes::from_static(&[9; 512]),
        ..rig.command(1, 512, true)
    };
    let command = rig.start(command);
    rig.machine.want_data(command.task, 512);
    assert_eq!(rig.data(), (0, 512, true));
    assert!(rig.received().is_empty());
    rig.machine.respond(command.task, Completion::good(512));
    let Pdu::ScsiResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!((response.stat_sn.0, response.residual), (100, Residual::None));
}

#[test]
fn unsolicited_data_then_r2ts_of_one_burst_each() {
    let mut rig = rig();
    let command = ScsiCommand {
        final_bit: false,
        data: Bytes::from_static(&[1; 1024]),
        ..rig.command(1, 8192, true)
    };
    let command = rig.start(command);
    rig.machine.want_data(command.task, 8192);
    assert!(
        rig.received().is_empty(),
        "no R2T while unsolicited data are on their way"
    );
    rig.send(rig.data_out(1, NO_TAG, 0, 1024, 1024, true)).unwrap();
    assert_eq!(rig.data(), (0, 2048, false));
    let r2t = rig.r2t();
    assert_eq!(
        (r2t.buffer_offset, r2t.desired_data_transfer_length, r2t.r2t_sn.0),
        (2048, 4096, 0)
    );
    rig.send(rig.data_out(1, r2t.target_transfer_tag, 0, 2048, 2048, false))
        .unwrap();
    assert_eq!(rig.machine.poll_event(), None);
    rig.send(rig.data_out(1, r2t.target_transfer_tag, 1, 4096, 2048, true))
        .unwrap();
    assert_eq!(rig.data(), (2048, 4096, false));
    let r2t = rig.r2t();
    assert_eq!(
        (r2t.buffer_offset, r2t.desired_data_transfer_length, r2t.r2t_sn.0),
        (6144, 2048, 1)
    );
    rig.send(rig.data_out(1, r2t.target_transfer_tag, 0, 6144, 2048, true))
        .unwrap();
    assert_eq!(rig.data(), (6144, 2048, true));
}

#[test]
fn only_what_the_command_wants_is_asked_for_and_handed_over() {
    let mut rig = rig();
    let command = ScsiCommand {
        data: Bytes::from_static(&[1; 2048]),
        ..rig.command(1, 9000, true)
    };
    let command = rig.start(command);
    rig.machine.want_data(command.task, 512);
    assert_eq!(rig.data(), (0, 512, true));
    rig.machine.respond(command.task, Completion::good(512));
    let Pdu::ScsiResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!(response.residual, Residual::Underflow(8488));
}

#[test]
fn an_answer_waits_for_the_end_of_unsolicited_data() {
    let mut rig = rig();
    let command = ScsiCommand {
        final_bit: false,
        ..rig.command(1, 2048, true)
    };
    let command = rig.start(command);
    rig.machine.respond(
        command.task,
        Completion {
            status: 2,
            sense: Bytes::from_static(&[0x70]),
            transfer_len: 0,
        },
    );
    assert!(rig.received().is_empty());
    rig.send(rig.data_out(1, NO_TAG, 0, 0, 1024, false)).unwrap();
    rig.send(rig.data_out(1, NO_TAG, 1, 1024, 1024, true)).unwrap();
    let Pdu::ScsiResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!((response.status, &response.sense[..]), (2, &[0x70][..]));
    assert_eq!(rig.machine.poll_event(), None);
}

#[test]
fn solicited_bytes_stay_within_their_budget() {
    let limits = Limits {
        solicited_bytes: 6000,
        ..Limits::default()
    };
    let mut rig = rig_with(parameters(), limits, SessionType::Normal);
    for tag in 1..=3 {
        let command = rig.command(tag, 4096, true);
        let command = rig.start(command);
        rig.machine.want_data(command.task, 4096);
    }
    let first = rig.r2t();
    assert_eq!(first.initiator_task_tag, InitiatorTaskTag(1));
    rig.send(rig.data_out(1, first.target_transfer_tag, 0, 0, 4096, true))
        .unwrap();
    assert_eq!(rig.r2t().initiator_task_tag, InitiatorTaskTag(2));
    // The second one is aborted: what it was to send does not count any more.
    rig.machine.abort_where(|_| true);
    assert_eq!(rig.machine.open_commands(), 0);
    let command = rig.command(4, 4096, true);
    let command = rig.start_after_data(command);
    rig.machine.want_data(command.task, 4096);
    assert_eq!(rig.r2t().initiator_task_tag, InitiatorTaskTag(4));
}

impl Rig {
    fn start_after_data(&mut self, pdu: ScsiCommand) -> Command {
        while self.machine.poll_event().is_some() {}
        self.start(pdu)
    }
}

#[test]
fn the_window_shuts_and_opens_and_what_is_outside_is_ignored() {
    let limits = Limits {
        command_window: 2,
        ..Limits::default()
    };
    let mut rig = rig_with(parameters(), limits, SessionType::Normal);
    let first = rig.command(1, 0, false);
    let first = rig.start(first);
    let second = rig.command(2, 0, false);
    rig.start(second);
    let third = rig.command(3, 0, false);
    rig.send(third.clone()).unwrap();
    assert_eq!(rig.machine.poll_event(), None, "beyond MaxCmdSN");
    rig.machine.respond(first.task, Completion::good(0));
    let Pdu::ScsiResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!((response.exp_cmd_sn.0, response.max_cmd_sn.0), (1, 1));
    rig.start(third);
    let repeated = ScsiCommand {
        cmd_sn: SerialNumber32(0),
        ..rig.command(4, 0, false)
    };
    rig.send(repeated).unwrap();
    assert_eq!(rig.machine.poll_event(), None, "below ExpCmdSN");
}

#[test]
fn immediate_commands_stand_outside_the_window_and_are_limited() {
    let limits = Limits {
        command_window: 1,
        immediate_commands: 1,
        ..Limits::default()
    };
    let mut rig = rig_with(parameters(), limits, SessionType::Normal);
    let first = rig.command(1, 0, false);
    rig.start(first);
    let immediate = ScsiCommand {
        immediate: true,
        ..rig.command(2, 0, false)
    };
    rig.start(immediate.clone());
    rig.send(ScsiCommand {
        initiator_task_tag: InitiatorTaskTag(3),
        ..immediate
    })
    .unwrap();
    let Pdu::Reject(reject) = rig.one() else { panic!() };
    assert_eq!(reject.reason, RejectReason::ImmediateCommandReject);
}

#[test]
fn a_gap_in_cmd_sn_and_forbidden_data_end_the_connection() {
    let mut rig = rig();
    let _lost = rig.command(1, 0, false);
    let next = rig.command(2, 0, false);
    assert!(matches!(
        rig.send(next),
        Err(ConnectionError::Protocol {
            section: "4.2.2.1",
            ..
        })
    ));

    let cases = [
        Parameters {
            immediate_data: false,
            ..parameters()
        },
        Parameters {
            first_burst_length: 512,
            ..parameters()
        },
    ];
    for parameters in cases {
        let mut rig = rig_with(parameters, Limits::default(), SessionType::Normal);
        let command = ScsiCommand {
            data: Bytes::from_static(&[1; 1024]),
            ..rig.command(1, 1024, true)
        };
        assert!(rig.send(command).is_err());
        assert!(matches!(rig.one(), Pdu::Reject(_)));
    }
}

#[test]
fn damaged_or_disordered_data_out_fails_its_command_only() {
    for case in 0..4 {
        let mut rig = rig();
        let command = rig.command(1, 2048, true);
        let command = rig.start(command);
        rig.machine.want_data(command.task, 2048);
        let r2t = rig.r2t();
        let ttt = r2t.target_transfer_tag;
        let (first, second) = (
            rig.data_out(1, ttt, 0, 0, 1024, false),
            rig.data_out(1, ttt, 1, 1024, 1024, true),
        );
        match case {
            0 => {
                rig.send(DataOut {
                    data_sn: SerialNumber32(27),
                    ..first
                })
                .unwrap();
                rig.send(second).unwrap();
            }
            1 => rig.send(second).unwrap(), // the first one never came
            2 => rig
                .send(DataOut {
                    final_bit: true,
                    ..first
                })
                .unwrap(), // less than was asked for
            _ => {
                let RawPdu { bhs, .. } = first.into_raw();
                rig.machine
                    .handle_frame_error(rig.now, FrameError::DataDigest { bhs })
                    .unwrap();
                let Pdu::Reject(reject) = rig.one() else { panic!() };
                assert_eq!(reject.reason, RejectReason::DataDigestError);
                rig.send(second).unwrap();
            }
        }
        assert_eq!(
            rig.machine.poll_event(),
            Some(Event::DataLost { task: command.task }),
            "case {case}"
        );
        // The budget is whole again.
        let next = rig.command(2, 4096, true);
        let next = rig.start(next);
        rig.machine.want_data(next.task, 4096);
        assert_eq!(rig.r2t().desired_data_transfer_length, 4096);
        assert_eq!(rig.machine.solicited, 4096);
    }
}

#[test]
fn a_digest_error_outside_data_out_ends_the_connection() {
    let mut rig = rig();
    let RawPdu { bhs, .. } = rig.command(1, 0, false).into_raw();
    assert!(
        rig.machine
            .handle_frame_error(rig.now, FrameError::DataDigest { bhs })
            .is_err()
    );
    assert!(matches!(rig.one(), Pdu::Reject(_)));
}

fn management(rig: &mut Rig, function: TaskManagementFunction, referenced: u32) -> TaskManagementRequest {
    TaskManagementRequest {
        immediate: true,
        function,
        lun: LunField::default(),
        initiator_task_tag: InitiatorTaskTag(900),
        referenced_task_tag: InitiatorTaskTag(referenced),
        cmd_sn: SerialNumber32(rig.cmd_sn),
        exp_stat_sn: SerialNumber32(0),
        ref_cmd_sn: SerialNumber32(0),
        exp_data_sn: SerialNumber32(0),
    }
}

#[test]
fn abort_task_takes_the_task_out_and_its_late_data_and_answer_are_dropped() {
    let mut rig = rig();
    let command = rig.command(1, 2048, true);
    let command = rig.start(command);
    rig.machine.want_data(command.task, 2048);
    let r2t = rig.r2t();
    let request = management(&mut rig, TaskManagementFunction::AbortTask, 1);
    rig.send(request.clone()).unwrap();
    let Some(Event::TaskManagement(event)) = rig.machine.poll_event() else {
        panic!()
    };
    assert_eq!(event.aborted, Some(command.task));
    rig.send(rig.data_out(1, r2t.target_transfer_tag, 0, 0, 2048, true))
        .unwrap();
    rig.machine.respond(command.task, Completion::good(0));
    assert!(rig.received().is_empty());
    rig.machine
        .respond_management(event.tag, TaskManagementResponseCode::FunctionComplete);
    assert!(matches!(rig.one(), Pdu::TaskManagementResponse(_)));
    // The tag is used again: the old task's id does not touch the new task.
    let again = rig.command(1, 0, false);
    let again = rig.start(again);
    rig.machine.respond(command.task, Completion::good(0));
    assert!(rig.received().is_empty() && rig.machine.is_live(again.task));
    rig.send(request).unwrap();
    let Some(Event::TaskManagement(event)) = rig.machine.poll_event() else {
        panic!()
    };
    assert_eq!(event.aborted, Some(again.task));
}

fn nop_out(rig: &Rig, tag: u32, data: &'static [u8]) -> NopOut {
    NopOut {
        immediate: true,
        lun: LunField::default(),
        initiator_task_tag: InitiatorTaskTag(tag),
        target_transfer_tag: NO_TAG,
        cmd_sn: SerialNumber32(rig.cmd_sn),
        exp_stat_sn: SerialNumber32(0),
        data: Bytes::from_static(data),
    }
}

#[test]
fn pings_are_echoed_and_dead_initiators_are_found() {
    let mut rig = rig();
    rig.send(nop_out(&rig, 5, b"ping")).unwrap();
    let Pdu::NopIn(nop) = rig.one() else { panic!() };
    assert_eq!(
        (nop.initiator_task_tag.0, &nop.data[..], nop.stat_sn.0),
        (5, &b"ping"[..], 100)
    );

    let ping_at = rig.machine.poll_timeout().unwrap();
    assert_eq!(ping_at, rig.now + Limits::default().ping_after);
    rig.machine.handle_timeout(rig.now).unwrap();
    assert!(rig.received().is_empty());
    rig.now = ping_at;
    rig.machine.handle_timeout(rig.now).unwrap();
    let Pdu::NopIn(ping) = rig.one() else { panic!() };
    assert!(!ping.target_transfer_tag.is_reserved() && ping.initiator_task_tag.is_reserved());
    assert_eq!(ping.stat_sn.0, 101, "a ping does not use up its StatSN");
    // An answer in time sets the clock back; none ends the connection.
    let answer = NopOut {
        target_transfer_tag: ping.target_transfer_tag,
        ..nop_out(&rig, u32::MAX, b"")
    };
    rig.send(answer).unwrap();
    rig.now = rig.machine.poll_timeout().unwrap();
    rig.machine.handle_timeout(rig.now).unwrap();
    assert!(matches!(rig.one(), Pdu::NopIn(_)));
    rig.now = rig.machine.poll_timeout().unwrap();
    assert!(matches!(
        rig.machine.handle_timeout(rig.now),
        Err(ConnectionError::Dead { .. })
    ));
}

#[test]
fn logout_ends_everything_and_a_foreign_connection_id_ends_nothing() {
    let mut rig = rig();
    let command = rig.command(1, 0, false);
    rig.start(command);
    let logout = |reason, cid| LogoutRequest {
        immediate: true,
        reason,
        initiator_task_tag: InitiatorTaskTag(8),
        cid: Cid(cid),
        cmd_sn: SerialNumber32(0),
        exp_stat_sn: SerialNumber32(0),
    };
    rig.send(logout(LogoutReason::CloseConnection, 9)).unwrap();
    let Pdu::LogoutResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!(response.response, LogoutResponseCode::CidNotFound);
    rig.send(logout(LogoutReason::CloseSession, 9)).unwrap();
    let Pdu::LogoutResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!(response.response, LogoutResponseCode::Success);
    assert_eq!(rig.machine.poll_event(), Some(Event::LoggedOut));
    assert_eq!(rig.machine.open_commands(), 0);
    let late = rig.command(2, 0, false);
    rig.send(late).unwrap();
    assert_eq!(rig.machine.poll_event(), None);
}

fn text(rig: &Rig, data: &'static [u8], ttt: TargetTransferTag) -> TextRequest {
    TextRequest {
        immediate: true,
        final_bit: true,
        continue_bit: false,
        lun: LunField::default(),
        initiator_task_tag: InitiatorTaskTag(3),
        target_transfer_tag: ttt,
        cmd_sn: SerialNumber32(rig.cmd_sn),
        exp_stat_sn: SerialNumber32(0),
        data: Bytes::from_static(data),
    }
}

#[test]
fn send_targets_goes_over_several_pdus_when_it_is_long() {
    let mut rig = rig_with(parameters(), Limits::default(), SessionType::Discovery);
    rig.send(text(&rig, b"SendTargets=All\0", NO_TAG)).unwrap();
    assert_eq!(
        rig.machine.poll_event(),
        Some(Event::SendTargets {
            value: "All".to_owned()
        })
    );
    let address: crate::text::TargetAddress = "127.0.0.1:3260,1".parse().unwrap();
    let targets: Vec<_> = (0..40)
        .map(|number| {
            (
                format!("iqn.2026-11.test:{number}").parse().unwrap(),
                vec![address.clone()],
            )
        })
        .collect();
    rig.machine.respond_send_targets(&targets);
    let mut all = Vec::new();
    loop {
        let Pdu::TextResponse(response) = rig.one() else {
            panic!()
        };
        all.extend_from_slice(&response.data);
        if response.final_bit {
            break;
        }
        assert!(response.continue_bit && !response.target_transfer_tag.is_reserved());
        rig.send(text(&rig, b"", response.target_transfer_tag)).unwrap();
    }
    assert_eq!(all.iter().filter(|&&b| b == 0).count(), 80);
    assert!(all.starts_with(b"TargetName=iqn.2026-11.test:0\0TargetAddress=127.0.0.1:3260,1\0"));
}

#[test]
fn a_discovery_session_takes_no_scsi_commands_and_unknown_keys_are_answered() {
    let mut rig = rig_with(parameters(), Limits::default(), SessionType::Discovery);
    rig.send(text(&rig, b"X-com.example.key=1\0", NO_TAG)).unwrap();
    let Pdu::TextResponse(response) = rig.one() else {
        panic!()
    };
    assert_eq!(&response.data[..], b"X-com.example.key=NotUnderstood\0");
    let command = rig.command(1, 0, false);
    assert!(rig.send(command).is_err());
}

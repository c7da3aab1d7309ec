//! An initiator that says anything after the login: our target keeps to its limits, hands data over in order and
//! without gaps, and never panics.

use crate::input::{Input, put};
use bytes::Bytes;
use longshore_iscsi::frame::FrameError;
use longshore_iscsi::params::{Parameters, SessionParameters};
use longshore_iscsi::pdu::{Cid, LunField, Opcode, Pdu, RawPdu, TaskManagementResponseCode};
use longshore_iscsi::serial::SerialNumber32;
use longshore_iscsi::target::{Completion, Event, Limits, TargetConnection, TaskId};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const WINDOW: u32 = 8;
const IMMEDIATE: u32 = 3;

const FROM_INITIATOR: [Opcode; 16] = [
    Opcode::ScsiCommand,
    Opcode::ScsiCommand,
    Opcode::ScsiCommand,
    Opcode::ScsiCommand,
    Opcode::DataOut,
    Opcode::ScsiCommand,
    Opcode::ScsiCommand,
    Opcode::DataOut,
    Opcode::DataOut,
    Opcode::DataOut,
    Opcode::NopOut,
    Opcode::TaskManagementRequest,
    Opcode::TextRequest,
    Opcode::SnackRequest,
    Opcode::LogoutRequest,
    Opcode::LoginRequest,
];

struct Session {
    target: TargetConnection,
    now: Instant,
    cmd_sn: u32,
    /// Commands that are kept open, and how much of their data has come.
    open: HashMap<TaskId, u32>,
    next_tag: u32,
    /// Tag, transfer tag, offset, length and next DataSN of the R2Ts that wait for data.
    asked: Vec<[u32; 5]>,
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let now = Instant::now();
    let parameters = Parameters {
        initial_r2t: choice & 1 != 0,
        immediate_data: choice & 2 != 0,
        max_burst_length: 2048,
        first_burst_length: 1024,
        max_send_data_segment_length: 512,
        ..Parameters::default()
    };
    let session = SessionParameters {
        parameters,
        cmd_sn: SerialNumber32(1),
        max_cmd_sn: SerialNumber32(WINDOW),
        exp_stat_sn: SerialNumber32(1),
        ..SessionParameters::default()
    };
    let limits = Limits {
        command_window: WINDOW,
        immediate_commands: IMMEDIATE,
        solicited_bytes: 5000,
        ..Limits::default()
    };
    let mut session = Session {
        target: TargetConnection::new(session, Cid(0), limits, now),
        now,
        cmd_sn: 1,
        open: HashMap::new(),
        next_tag: 0,
        asked: Vec::new(),
    };
    while !input.is_empty() {
        let alive = session.step(&mut input);
        session.poll(&mut input);
        if !alive {
            return;
        }
    }
}

impl Session {
    /// One thing happens; `false` when the connection is over.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.byte() % 16 {
            0 => {
                self.now += Duration::from_millis(input.number(9000) as u64);
                self.target.handle_timeout(self.now).is_ok()
            }
            1 if input.rarely() => {
                let bhs = self.pdu(input).bhs;
                self.target
                    .handle_frame_error(self.now, FrameError::DataDigest { bhs })
                    .is_ok()
            }
            2 => {
                // One of the commands that were kept ends now.
                if let Some(task) = self.open.keys().next().copied() {
                    self.open.remove(&task);
                    self.target.respond(task, Completion::good(0));
                }
                true
            }
            3 => {
                self.target.abort_where(|lun| lun == LunField::default());
                true
            }
            _ => {
                let raw = self.pdu(input);
                self.target.handle_pdu(self.now, raw).is_ok()
            }
        }
    }

    /// An initiator's PDU that is mostly legal here: the CmdSN that is due, a new tag, an answer to an R2T.
    fn pdu(&mut self, input: &mut Input<'_>) -> RawPdu {
        let mut raw = input.plausible_pdu(&FROM_INITIATOR);
        let is_out_of_place = match raw.opcode() {
            Some(Opcode::LogoutRequest | Opcode::LoginRequest) => true,
            Some(Opcode::DataOut) => self.asked.is_empty(),
            _ => false,
        };
        if is_out_of_place && !input.rarely() {
            raw = input.plausible_pdu(&[Opcode::ScsiCommand]);
        }
        if raw.opcode() == Some(Opcode::DataOut) {
            self.answer(input, &mut raw);
            return raw;
        }
        if raw.opcode() == Some(Opcode::ScsiCommand) && !input.rarely() {
            // What was agreed on about unsolicited data.
            let agreed = self.target.parameters();
            let longest = if agreed.immediate_data { 1024 } else { 0 };
            raw.data.truncate(longest);
            raw.bhs[1] |= u8::from(agreed.initial_r2t) << 7;
        }
        self.next_tag += 1;
        let tag = if input.rarely() {
            u32::from(input.byte() % 40)
        } else {
            self.next_tag
        };
        put(&mut raw, 16, tag);
        put(&mut raw, 24, self.cmd_sn);
        let is_numbered =
            !raw.is_immediate() && raw.opcode() != Some(Opcode::SnackRequest) && !input.rarely();
        self.cmd_sn += u32::from(is_numbered);
        raw
    }

    fn answer(&mut self, input: &mut Input<'_>, raw: &mut RawPdu) {
        if self.asked.is_empty() || input.rarely() {
            // Unsolicited, for the last command, or for none at all.
            put(raw, 16, self.next_tag);
            put(raw, 20, u32::MAX);
            return;
        }
        let at = input.number(self.asked.len());
        let [tag, transfer_tag, offset, len, data_sn] = self.asked[at];
        let excess = if input.rarely() {
            u32::from(input.byte())
        } else {
            0
        };
        let piece = len.min(raw.data.len() as u32);
        raw.data.truncate((piece + excess) as usize);
        raw.bhs[1] = if piece == len { 0x80 } else { 0 };
        let skipped = if input.rarely() {
            u32::from(input.byte())
        } else {
            0
        };
        for (field, number) in [
            (16, tag),
            (20, transfer_tag),
            (36, data_sn),
            (40, offset + skipped),
        ] {
            put(raw, field, number);
        }
        if piece == len {
            self.asked.remove(at);
        } else {
            self.asked[at] = [tag, transfer_tag, offset + piece, len - piece, data_sn + 1];
        }
    }

    fn poll(&mut self, input: &mut Input<'_>) {
        while let Some(event) = self.target.poll_event() {
            self.handle(input, event);
        }
        let mut sent = 0;
        while let Some(raw) = self.target.poll_transmit() {
            sent += 1;
            assert!(sent < 10_000, "PDUs without end");
            // The initiator may declare another length at any time.
            let longest = self.target.parameters().max_send_data_segment_length as usize;
            assert!(raw.data.len() <= longest, "longer than the initiator takes");
            if let Pdu::R2t(r2t) = Pdu::parse(raw).expect("our own PDUs are legal") {
                assert!(r2t.desired_data_transfer_length <= 2048, "{r2t}");
                let (tag, transfer_tag) = (r2t.initiator_task_tag.0, r2t.target_transfer_tag.0);
                self.asked.push([
                    tag,
                    transfer_tag,
                    r2t.buffer_offset,
                    r2t.desired_data_transfer_length,
                    0,
                ]);
            }
        }
        assert!(
            self.target.open_commands() <= (WINDOW + IMMEDIATE) as usize,
            "more commands than places"
        );
    }

    fn handle(&mut self, input: &mut Input<'_>, event: Event) {
        match event {
            Event::Command(command) => match (input.byte() % 4, command.read, command.write) {
                (0, _, _) => drop(self.open.insert(command.task, 0)),
                (_, _, true) if command.data_out_len() > 0 => {
                    self.open.insert(command.task, 0);
                    self.target
                        .want_data(command.task, command.data_out_len().min(6000));
                }
                (_, true, _) => {
                    let data = Bytes::from(vec![3; command.data_in_room().min(6000) as usize]);
                    self.target
                        .data_in(command.task, data, Some(u64::from(command.expected_len)));
                }
                _ => self.target.respond(command.task, Completion::good(0)),
            },
            Event::Data {
                task,
                offset,
                segments,
                last,
            } => {
                let Some(received) = self.open.get_mut(&task) else {
                    return;
                };
                assert_eq!(offset, *received, "data in order and without gaps");
                *received += segments.iter().map(|segment| segment.len() as u32).sum::<u32>();
                assert!(*received <= 6000, "more than was asked for");
                if last {
                    self.open.remove(&task);
                    self.target.respond(task, Completion::good(0));
                }
            }
            Event::DataLost { task } => {
                self.open.remove(&task);
                self.target.respond(
                    task,
                    Completion {
                        status: 2,
                        sense: Bytes::new(),
                        transfer_len: 0,
                    },
                );
            }
            Event::TaskManagement(request) => {
                self.target
                    .respond_management(request.tag, TaskManagementResponseCode::FunctionComplete);
            }
            Event::SendTargets { .. } => {
                let name = "iqn.2001-04.com.example:array".parse().expect("a legal name");
                self.target.respond_send_targets(&[(name, Vec::new())]);
            }
            Event::LoggedOut => {}
        }
    }
}

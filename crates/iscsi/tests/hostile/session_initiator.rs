//! A target that says anything after the login: our initiator ends each task at most once, sends no byte that a
//! command does not have, and never panics.

use crate::input::{Input, get, put};
use bytes::Bytes;
use longshore_iscsi::frame::FrameError;
use longshore_iscsi::initiator::{Connection, Event, ScsiTask, Settings, TaskData};
use longshore_iscsi::params::{Parameters, SessionParameters};
use longshore_iscsi::pdu::{InitiatorTaskTag, LunField, Opcode, Pdu, RawPdu, TaskAttribute};
use longshore_iscsi::serial::SerialNumber32;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const FROM_TARGET: [Opcode; 10] = [
    Opcode::NopIn,
    Opcode::ScsiResponse,
    Opcode::TaskManagementResponse,
    Opcode::TextResponse,
    Opcode::DataIn,
    Opcode::DataIn,
    Opcode::R2t,
    Opcode::R2t,
    Opcode::AsyncMessage,
    Opcode::Reject,
];

struct Session {
    initiator: Connection,
    now: Instant,
    /// Tags of requests that were sent, for the target to name.
    tags: Vec<u32>,
    /// Tasks without an end, with the length of their data.
    open: HashMap<InitiatorTaskTag, usize>,
    stat_sn: u32,
    data_sn: HashMap<u32, u32>,
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
        max_outstanding_r2t: 3,
        ..Parameters::default()
    };
    let session = SessionParameters {
        parameters,
        cmd_sn: SerialNumber32(1),
        max_cmd_sn: SerialNumber32(8),
        exp_stat_sn: SerialNumber32(1),
        ..SessionParameters::default()
    };
    let mut session = Session {
        initiator: Connection::new(now, session, Settings::default()),
        now,
        tags: Vec::new(),
        open: HashMap::new(),
        stat_sn: 1,
        data_sn: HashMap::new(),
    };
    while !input.is_empty() {
        let alive = session.step(&mut input);
        session.poll();
        if !alive {
            return;
        }
    }
}

impl Session {
    /// One thing happens; `false` when the connection is over.
    fn step(&mut self, input: &mut Input<'_>) -> bool {
        match input.byte() % 16 {
            0 => self.submit(TaskData::In(input.number(4096) as u32)),
            1 | 2 => self.submit(TaskData::Out(vec![1; input.number(6000)].into())),
            3 => {
                if let Some(tag) = self.pick(input) {
                    self.initiator.abort(self.now, InitiatorTaskTag(tag));
                }
            }
            4 => drop(self.initiator.text(Bytes::from_static(b"SendTargets=All\0"))),
            5 => {
                self.now += Duration::from_millis(input.number(3000) as u64);
                return self.initiator.handle_timeout(self.now).is_ok();
            }
            6 => {
                let bhs = self.pdu(input).bhs;
                return self
                    .initiator
                    .handle_frame_error(self.now, FrameError::DataDigest { bhs })
                    .is_ok();
            }
            7 => drop(self.initiator.reset_unit(self.now, LunField::default())),
            _ => {
                let raw = self.pdu(input);
                return self.initiator.handle_pdu(self.now, raw).is_ok();
            }
        }
        true
    }

    fn submit(&mut self, data: TaskData) {
        let len = match &data {
            TaskData::Out(bytes) => bytes.len(),
            TaskData::In(len) => *len as usize,
            TaskData::None => 0,
        };
        let deadline = Some(self.now + Duration::from_secs(4));
        let cdb = [0x2a; 16];
        let task = ScsiTask {
            lun: LunField::default(),
            cdb,
            data,
            attribute: TaskAttribute::Simple,
            deadline,
        };
        if let Ok(tag) = self.initiator.submit(task) {
            assert!(self.open.insert(tag, len).is_none(), "a tag that is in use");
        }
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<u32> {
        (!self.tags.is_empty()).then(|| self.tags[input.number(self.tags.len())])
    }

    /// A target's PDU that is mostly plausible: a tag that was sent, numbers that are due, a window that opens.
    fn pdu(&mut self, input: &mut Input<'_>) -> RawPdu {
        let mut raw = input.pdu(&FROM_TARGET);
        if let Some(tag) = self.pick(input) {
            put(&mut raw, 16, tag);
        }
        if input.byte() >= 8 {
            put(&mut raw, 24, self.stat_sn);
            put(&mut raw, 28, 1);
            put(&mut raw, 32, 40);
            let tag = get(&raw, 16);
            let numbered = matches!(raw.opcode(), Some(Opcode::DataIn | Opcode::R2t));
            if numbered {
                let next = self.data_sn.entry(tag).or_default();
                put(&mut raw, 36, *next);
                *next += 1;
            }
            let has_status = raw.opcode() != Some(Opcode::R2t)
                && (raw.opcode() != Some(Opcode::DataIn) || raw.bhs[1] & 1 != 0)
                && (raw.opcode() != Some(Opcode::NopIn) || tag != u32::MAX);
            self.stat_sn += u32::from(has_status);
        }
        raw
    }

    fn poll(&mut self) {
        while let Some(event) = self.initiator.poll_event() {
            if let Event::Completed { task, result } = event {
                let len = self.open.remove(&task).expect("a task ends once");
                if let Ok(completion) = result {
                    assert!(completion.data.len() <= len, "more data than was asked for");
                }
            }
        }
        let mut sent = 0;
        while let Some(raw) = self.initiator.poll_transmit() {
            sent += 1;
            assert!(sent < 10_000, "PDUs without end");
            assert!(raw.data.len() <= 512, "longer than the target takes");
            let pdu = Pdu::parse(raw).expect("our own PDUs are legal");
            match &pdu {
                Pdu::ScsiCommand(command) => self.remember(command.initiator_task_tag),
                Pdu::TextRequest(text) => self.remember(text.initiator_task_tag),
                Pdu::TaskManagementRequest(request) => self.remember(request.initiator_task_tag),
                Pdu::DataOut(data) => {
                    let end = data.buffer_offset as usize + data.data.len();
                    let len = self.open.get(&data.initiator_task_tag).copied();
                    assert!(
                        len.is_none_or(|len| end <= len),
                        "{pdu}: bytes that the command does not have"
                    );
                }
                _ => {}
            }
        }
        assert!(self.tags.len() < 100_000);
    }

    fn remember(&mut self, tag: InitiatorTaskTag) {
        self.data_sn.remove(&tag.0);
        if !self.tags.contains(&tag.0) {
            self.tags.push(tag.0);
        }
    }
}

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
    /// Tags of all requests that were sent, and what they were.
    tags: Vec<(Opcode, u32)>,
    /// Tasks without an end.
    open: HashMap<InitiatorTaskTag, Open>,
    stat_sn: u32,
}

/// A task as the target sees it.
#[derive(Clone, Copy)]
struct Open {
    len: u32,
    writes: bool,
    sent: bool,
    /// Where its next data begin.
    next: u32,
    /// DataSN or R2TSN that comes next.
    sn: u32,
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
            6 if input.rarely() => {
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
        let (len, writes) = match &data {
            TaskData::Out(bytes) => (bytes.len() as u32, true),
            TaskData::In(len) => (*len, false),
            TaskData::None => (0, false),
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
            let open = Open {
                len,
                writes,
                sent: false,
                next: 0,
                sn: 0,
            };
            assert!(self.open.insert(tag, open).is_none(), "a tag that is in use");
        }
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<u32> {
        (!self.tags.is_empty()).then(|| self.tags[input.number(self.tags.len())].1)
    }

    /// A target's PDU that is mostly legal here: a tag that waits for it, the data that are due, a window that opens.
    fn pdu(&mut self, input: &mut Input<'_>) -> RawPdu {
        let mut raw = input.plausible_pdu(&FROM_TARGET);
        if input.rarely() {
            if let Some(tag) = self.pick(input) {
                put(&mut raw, 16, tag);
            }
            return raw;
        }
        let fits = match raw.opcode() {
            Some(Opcode::DataIn) => self.mend_data_in(input, &mut raw),
            Some(Opcode::R2t) => self.mend_r2t(input, &mut raw),
            Some(Opcode::ScsiResponse) => self.mend_response(input, &mut raw),
            Some(Opcode::TextResponse) => self.mend_answer(&mut raw, Opcode::TextRequest),
            Some(Opcode::TaskManagementResponse) => self.mend_answer(&mut raw, Opcode::TaskManagementRequest),
            _ => false,
        };
        if !fits {
            raw = input.plausible_pdu(&[Opcode::NopIn, Opcode::NopIn, Opcode::AsyncMessage, Opcode::Reject]);
            put(&mut raw, 16, u32::MAX);
        }
        put(&mut raw, 24, self.stat_sn);
        put(&mut raw, 28, 1);
        put(&mut raw, 32, 40 + self.stat_sn);
        let has_status = match raw.opcode() {
            Some(Opcode::DataIn) => raw.bhs[1] & 1 != 0,
            Some(Opcode::R2t | Opcode::NopIn) => false,
            _ => true,
        };
        self.stat_sn += u32::from(has_status);
        raw
    }

    /// A task of this kind that the target has heard of.
    fn pick_open(&mut self, input: &mut Input<'_>, raw: &mut RawPdu, writes: bool) -> Option<&mut Open> {
        let mut known: Vec<_> = self
            .open
            .iter_mut()
            .filter(|(_, open)| open.sent && open.writes == writes)
            .collect();
        known.sort_unstable_by_key(|(tag, _)| tag.0);
        if known.is_empty() {
            return None;
        }
        let (tag, open) = known.swap_remove(input.number(known.len()));
        put(raw, 16, tag.0);
        Some(open)
    }

    /// The answer to a request that has none yet.
    fn mend_answer(&mut self, raw: &mut RawPdu, request: Opcode) -> bool {
        let Some(at) = self.tags.iter().position(|(opcode, _)| *opcode == request) else {
            return false;
        };
        put(raw, 16, self.tags.remove(at).1);
        if raw.bhs[1] == 0 || raw.bhs[1] == 0x40 {
            put(raw, 20, 7);
        }
        true
    }

    fn mend_data_in(&mut self, input: &mut Input<'_>, raw: &mut RawPdu) -> bool {
        let Some(open) = self.pick_open(input, raw, false) else {
            return false;
        };
        let excess = if input.rarely() { 100 } else { 0 };
        raw.data
            .truncate((open.len.saturating_sub(open.next) + excess) as usize);
        put(raw, 36, open.sn);
        put(raw, 40, open.next);
        open.sn += 1;
        open.next += raw.data.len() as u32;
        if open.next == open.len {
            raw.bhs[1] = 0x81;
        }
        true
    }

    fn mend_r2t(&mut self, input: &mut Input<'_>, raw: &mut RawPdu) -> bool {
        let Some(open) = self.pick_open(input, raw, true) else {
            return false;
        };
        if open.next >= open.len {
            return false;
        }
        let excess = if input.rarely() { 2048 } else { 0 };
        let len = get(raw, 44).min(2048).min(open.len - open.next + excess);
        put(raw, 36, open.sn);
        put(raw, 40, open.next);
        put(raw, 44, len);
        open.sn += 1;
        true
    }

    fn mend_response(&mut self, input: &mut Input<'_>, raw: &mut RawPdu) -> bool {
        let writes = input.byte() & 1 != 0;
        let Some(open) = self.pick_open(input, raw, writes) else {
            return false;
        };
        put(raw, 36, open.sn);
        true
    }

    fn poll(&mut self) {
        while let Some(event) = self.initiator.poll_event() {
            if let Event::Completed { task, result } = event {
                let open = self.open.remove(&task).expect("a task ends once");
                if let Ok(completion) = result {
                    assert!(
                        completion.data.len() <= open.len as usize,
                        "more data than was asked for"
                    );
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
                Pdu::ScsiCommand(command) => {
                    self.remember(&pdu, command.initiator_task_tag);
                    if let Some(open) = self.open.get_mut(&command.initiator_task_tag) {
                        (open.sent, open.next) = (true, open.next + command.data.len() as u32);
                    }
                }
                Pdu::TextRequest(text) => self.remember(&pdu, text.initiator_task_tag),
                Pdu::TaskManagementRequest(request) => self.remember(&pdu, request.initiator_task_tag),
                Pdu::DataOut(data) => {
                    let end = data.buffer_offset + data.data.len() as u32;
                    if let Some(open) = self.open.get_mut(&data.initiator_task_tag) {
                        assert!(end <= open.len, "{pdu}: bytes that the command does not have");
                        open.next = end;
                    }
                }
                _ => {}
            }
        }
        assert!(self.tags.len() < 100_000);
    }

    fn remember(&mut self, pdu: &Pdu, tag: InitiatorTaskTag) {
        self.tags.retain(|(_, known)| *known != tag.0);
        self.tags.push((pdu.opcode(), tag.0));
    }
}

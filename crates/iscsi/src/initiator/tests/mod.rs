//! The machine on a clock that the tests set, against PDUs made by hand.

mod commands;
mod data_in;
mod data_out;
mod management;
mod others;

use super::*;
use crate::params::Parameters;
use crate::pdu::{
    DataIn, DataInStatus, DataOut, Opcode, Pdu, R2t, RawPdu, Residual, ScsiCommand, ScsiResponse,
    ServiceResponse, TargetTransferTag, TaskAttribute,
};
use std::time::Duration;

pub(super) const LUN: LunField = LunField([0, 3, 0, 0, 0, 0, 0, 0]);
pub(super) const CHECK_CONDITION: u8 = 2;

use crate::pdu::LunField;

/// A connection and the target's half of its numbers.
pub(super) struct Fixture {
    pub(super) connection: Connection,
    pub(super) now: Instant,
    stat_sn: SerialNumber32,
    pub(super) exp_cmd_sn: SerialNumber32,
    pub(super) max_cmd_sn: SerialNumber32,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(Parameters {
            max_burst_length: 4096,
            first_burst_length: 2048,
            ..Parameters::default()
        })
    }

    pub(super) fn with(parameters: Parameters) -> Self {
        let session = SessionParameters {
            parameters,
            cmd_sn: SerialNumber32(10),
            max_cmd_sn: SerialNumber32(17),
            exp_stat_sn: SerialNumber32(100),
            ..SessionParameters::default()
        };
        let now = Instant::now();
        Fixture {
            connection: Connection::new(now, session, Settings::default()),
            now,
            stat_sn: SerialNumber32(100),
            exp_cmd_sn: SerialNumber32(10),
            max_cmd_sn: SerialNumber32(17),
        }
    }

    pub(super) fn submit(&mut self, data: TaskData) -> InitiatorTaskTag {
        let deadline = Some(self.now + Duration::from_secs(30));
        let task = ScsiTask {
            lun: LUN,
            cdb: [0x28; 16],
            data,
            attribute: TaskAttribute::Simple,
            deadline,
        };
        self.connection.submit(task).unwrap()
    }

    /// Submits so many commands without data.
    pub(super) fn fill(&mut self, count: usize) {
        for _ in 0..count {
            self.submit(TaskData::None);
        }
    }

    /// Submits and lets the command leave.
    pub(super) fn send(&mut self, data: TaskData) -> (InitiatorTaskTag, ScsiCommand) {
        let tag = self.submit(data);
        (tag, self.command())
    }

    pub(super) fn command(&mut self) -> ScsiCommand {
        ScsiCommand::parse(self.connection.poll_transmit().expect("a command is due")).unwrap()
    }

    pub(super) fn data_out(&mut self) -> DataOut {
        DataOut::parse(self.connection.poll_transmit().expect("Data-Out is due")).unwrap()
    }

    pub(super) fn transmit(&mut self) -> Option<Pdu> {
        self.connection
            .poll_transmit()
            .map(|raw| Pdu::parse(raw).unwrap())
    }

    pub(super) fn take(&mut self, raw: impl Into<RawPdu>) -> Result<(), ConnectionError> {
        self.connection.handle_pdu(self.now, raw.into())
    }

    /// The next StatSN, used up.
    pub(super) fn status_number(&mut self) -> SerialNumber32 {
        let number = self.stat_sn;
        self.stat_sn = number.next();
        number
    }

    pub(super) fn response(&mut self, tag: InitiatorTaskTag, status: u8) -> ScsiResponse {
        ScsiResponse {
            response: ServiceResponse::CommandCompleted,
            status,
            initiator_task_tag: tag,
            snack_tag: 0,
            stat_sn: self.status_number(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn,
            exp_data_sn: SerialNumber32(0),
            residual: Residual::None,
            bidirectional_read_residual: Residual::None,
            sense: Bytes::new(),
            response_data: Bytes::new(),
        }
    }

    pub(super) fn respond(&mut self, tag: InitiatorTaskTag, status: u8) -> Result<(), ConnectionError> {
        let response = self.response(tag, status);
        self.take(response)
    }

    pub(super) fn data_in(
        &mut self,
        tag: InitiatorTaskTag,
        data_sn: u32,
        offset: u32,
        data: &'static [u8],
    ) -> DataIn {
        DataIn {
            final_bit: true,
            acknowledge: false,
            status: None,
            lun: LunField::default(),
            initiator_task_tag: tag,
            target_transfer_tag: TargetTransferTag::RESERVED,
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn,
            data_sn: SerialNumber32(data_sn),
            buffer_offset: offset,
            data: Bytes::from_static(data),
        }
    }

    pub(super) fn with_status(&mut self, pdu: DataIn, residual: Residual) -> DataIn {
        let status = DataInStatus {
            status: 0,
            stat_sn: self.status_number(),
            residual,
        };
        DataIn {
            status: Some(status),
            ..pdu
        }
    }

    pub(super) fn r2t(&self, tag: InitiatorTaskTag, r2t_sn: u32, offset: u32, len: u32) -> R2t {
        R2t {
            lun: LUN,
            initiator_task_tag: tag,
            target_transfer_tag: TargetTransferTag(0x70 + r2t_sn),
            stat_sn: self.stat_sn,
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.max_cmd_sn,
            r2t_sn: SerialNumber32(r2t_sn),
            buffer_offset: offset,
            desired_data_transfer_length: len,
        }
    }

    pub(super) fn completion(&mut self) -> (InitiatorTaskTag, Result<Completion, TaskError>) {
        match self.connection.poll_event() {
            Some(Event::Completed { task, result }) => (task, result),
            other => panic!("a completion is due, not {other:?}"),
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) -> Result<(), ConnectionError> {
        self.now += Duration::from_secs(seconds);
        self.connection.handle_timeout(self.now)
    }
}

pub(super) fn out(len: usize) -> TaskData {
    TaskData::Out((0..len).map(|at| (at / 7) as u8).collect())
}

#[track_caller]
pub(super) fn violation(result: Result<(), ConnectionError>) -> Violation {
    match result {
        Err(ConnectionError::Violation(violation)) => violation,
        other => panic!("a violation is due, not {other:?}"),
    }
}

#[test]
fn a_pdu_of_an_initiator_is_refused() {
    let mut fixture = Fixture::new();
    let raw = RawPdu {
        bhs: [0; 48],
        ahs: Bytes::new(),
        data: Bytes::new(),
    };
    assert_eq!(
        violation(fixture.take(raw)),
        Violation::UnexpectedPdu(Opcode::NopOut)
    );
}

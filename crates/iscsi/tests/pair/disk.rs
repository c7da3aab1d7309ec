//! A small disk in memory: what the target's machine drives in these tests.

use bytes::Bytes;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::pdu::{TaskManagementFunction, TaskManagementResponseCode};
use longshore_iscsi::target::{Command, Completion, Event, TargetConnection, TaskId};
use longshore_iscsi::text::TargetAddress;
use std::collections::HashMap;

pub(crate) const BLOCK_LEN: usize = 512;
pub(crate) const READ_10: u8 = 0x28;
pub(crate) const WRITE_10: u8 = 0x2a;
/// A vendor's command that this disk never ends by itself.
pub(crate) const STUCK: u8 = 0xc0;
const CHECK_CONDITION: u8 = 2;
/// ABORTED COMMAND, PROTOCOL SERVICE CRC ERROR (47/05).
pub(crate) const SENSE_CRC: &[u8] = &[0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x47, 5, 0, 0, 0, 0];
/// ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE (20/00).
pub(crate) const SENSE_OPCODE: &[u8] = &[0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0];

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    /// Commands are kept in `held` and not carried out.
    pub(crate) hold: bool,
    pub(crate) held: Vec<Command>,
    /// What SendTargets answers.
    pub(crate) targets: Vec<(IscsiName, Vec<TargetAddress>)>,
    /// Most commands that were open at once.
    pub(crate) most_open: usize,
    pub(crate) management: Vec<TaskManagementFunction>,
    pub(crate) logged_out: bool,
    writes: HashMap<TaskId, usize>,
}

impl Disk {
    pub(crate) fn new(blocks: usize) -> Self {
        Self {
            bytes: vec![0; blocks * BLOCK_LEN],
            ..Self::default()
        }
    }

    pub(crate) fn handle(&mut self, target: &mut TargetConnection, event: Event) {
        self.most_open = self.most_open.max(target.open_commands());
        match event {
            Event::Command(command) if self.hold || command.cdb[0] == STUCK => self.held.push(command),
            Event::Command(command) => self.carry_out(target, command),
            Event::Data {
                task,
                offset,
                segments,
                last,
            } => self.write(target, task, offset, &segments, last),
            Event::DataLost { task } => target.respond(task, check(SENSE_CRC)),
            Event::TaskManagement(request) => {
                self.management.push(request.function);
                let response = match request.function {
                    TaskManagementFunction::AbortTask if request.aborted.is_some() => {
                        TaskManagementResponseCode::FunctionComplete
                    }
                    TaskManagementFunction::AbortTask => TaskManagementResponseCode::TaskDoesNotExist,
                    TaskManagementFunction::LogicalUnitReset => {
                        target.abort_where(|lun| lun == request.lun);
                        TaskManagementResponseCode::FunctionComplete
                    }
                    _ => TaskManagementResponseCode::FunctionNotSupported,
                };
                target.respond_management(request.tag, response);
            }
            Event::SendTargets { .. } => target.respond_send_targets(&self.targets),
            Event::LoggedOut => self.logged_out = true,
        }
    }

    /// Carries out what was held back.
    pub(crate) fn release(&mut self, target: &mut TargetConnection) {
        self.hold = false;
        for command in std::mem::take(&mut self.held) {
            match command.cdb[0] {
                STUCK => target.respond(command.task, Completion::good(0)),
                _ => self.carry_out(target, command),
            }
        }
    }

    fn carry_out(&mut self, target: &mut TargetConnection, command: Command) {
        let (start, len) = range(&command.cdb);
        match command.cdb[0] {
            READ_10 => {
                let data = Bytes::copy_from_slice(&self.bytes[start..start + len]);
                target.data_in(command.task, data, Some(len as u64));
            }
            WRITE_10 => {
                self.writes.insert(command.task, start);
                target.want_data(command.task, len as u32);
            }
            _ => target.respond(command.task, check(SENSE_OPCODE)),
        }
    }

    fn write(
        &mut self,
        target: &mut TargetConnection,
        task: TaskId,
        offset: u32,
        segments: &[Bytes],
        last: bool,
    ) {
        let start = self.writes[&task];
        let data = segments.concat();
        let at = start + offset as usize;
        self.bytes[at..at + data.len()].copy_from_slice(&data);
        if last {
            target.respond(task, Completion::good((offset as usize + data.len()) as u64));
        }
    }
}

fn check(sense: &'static [u8]) -> Completion {
    Completion {
        status: CHECK_CONDITION,
        sense: Bytes::from_static(sense),
        transfer_len: 0,
    }
}

/// First byte and length of READ(10) and WRITE(10).
fn range(cdb: &[u8; 16]) -> (usize, usize) {
    let lba = u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]) as usize;
    let blocks = usize::from(u16::from_be_bytes([cdb[7], cdb[8]]));
    (lba * BLOCK_LEN, blocks * BLOCK_LEN)
}

/// READ(10) or WRITE(10).
pub(crate) fn cdb(opcode: u8, lba: u32, blocks: usize) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode;
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&(blocks as u16).to_be_bytes());
    cdb
}

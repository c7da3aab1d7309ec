//! REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-5 6.35, 6.36).

use super::{Reply, Step};
use crate::Sense;
use crate::cdb::{Cdb, opcode as op};

/// A command that is supported: operation code, service action, and the bits of its CDB that are looked at.
struct Command {
    opcode: u8,
    service_action: Option<u16>,
    usage: &'static [u8],
}

const fn command(opcode: u8, usage: &'static [u8]) -> Command {
    Command {
        opcode,
        service_action: None,
        usage,
    }
}

const fn action(opcode: u8, service_action: u16, usage: &'static [u8]) -> Command {
    Command {
        opcode,
        service_action: Some(service_action),
        usage,
    }
}

const FF: u8 = 0xff;
const TRANSFER_10: [u8; 8] = [FF, FF, FF, FF, 0, FF, FF, 0];

/// Usage data of the ten-byte CDBs with LBA and transfer length in their usual places.
macro_rules! ten {
    ($opcode:expr, $flags:expr) => {
        command(
            $opcode,
            &[
                $opcode,
                $flags,
                TRANSFER_10[0],
                TRANSFER_10[1],
                TRANSFER_10[2],
                TRANSFER_10[3],
                TRANSFER_10[4],
                TRANSFER_10[5],
                TRANSFER_10[6],
                TRANSFER_10[7],
            ],
        )
    };
}

macro_rules! twelve {
    ($opcode:expr, $flags:expr) => {
        command($opcode, &[$opcode, $flags, FF, FF, FF, FF, FF, FF, FF, FF, 0, 0])
    };
}

macro_rules! sixteen {
    ($opcode:expr, $flags:expr) => {
        command(
            $opcode,
            &[
                $opcode, $flags, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, FF, 0, 0,
            ],
        )
    };
}

macro_rules! reserve_in {
    ($action:literal) => {
        action(
            op::PERSISTENT_RESERVE_IN,
            $action,
            &[op::PERSISTENT_RESERVE_IN, $action, 0, 0, 0, 0, 0, FF, FF, 0],
        )
    };
}

macro_rules! reserve_out {
    ($action:literal) => {
        action(
            op::PERSISTENT_RESERVE_OUT,
            $action,
            &[op::PERSISTENT_RESERVE_OUT, $action, FF, 0, 0, FF, FF, FF, FF, 0],
        )
    };
}

static COMMANDS: &[Command] = &[
    command(op::TEST_UNIT_READY, &[0, 0, 0, 0, 0, 0]),
    command(op::REQUEST_SENSE, &[op::REQUEST_SENSE, 1, 0, 0, FF, 0]),
    command(op::READ_6, &[op::READ_6, 0x1f, FF, FF, FF, 0]),
    command(op::WRITE_6, &[op::WRITE_6, 0x1f, FF, FF, FF, 0]),
    command(op::INQUIRY, &[op::INQUIRY, 1, FF, FF, FF, 0]),
    command(op::MODE_SELECT_6, &[op::MODE_SELECT_6, 0x11, 0, 0, FF, 0]),
    command(op::RESERVE_6, &[op::RESERVE_6, 0, 0, 0, 0, 0]),
    command(op::RELEASE_6, &[op::RELEASE_6, 0, 0, 0, 0, 0]),
    command(op::MODE_SENSE_6, &[op::MODE_SENSE_6, 0x08, FF, FF, FF, 0]),
    command(op::START_STOP_UNIT, &[op::START_STOP_UNIT, 1, 0, 0, 0xf7, 0]),
    command(
        op::PREVENT_ALLOW_MEDIUM_REMOVAL,
        &[op::PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 3, 0],
    ),
    command(
        op::READ_CAPACITY_10,
        &[op::READ_CAPACITY_10, 0, FF, FF, FF, FF, 0, 0, 1, 0],
    ),
    ten!(op::READ_10, 0x18),
    ten!(op::WRITE_10, 0x18),
    ten!(op::WRITE_AND_VERIFY_10, 0x16),
    ten!(op::VERIFY_10, 0x16),
    ten!(op::PRE_FETCH_10, 0x02),
    ten!(op::SYNCHRONIZE_CACHE_10, 0x02),
    ten!(op::WRITE_SAME_10, 0x08),
    command(op::UNMAP, &[op::UNMAP, 0, 0, 0, 0, 0, 0, FF, FF, 0]),
    command(
        op::MODE_SELECT_10,
        &[op::MODE_SELECT_10, 0x11, 0, 0, 0, 0, 0, FF, FF, 0],
    ),
    command(
        op::MODE_SENSE_10,
        &[op::MODE_SENSE_10, 0x08, FF, FF, 0, 0, 0, FF, FF, 0],
    ),
    reserve_in!(0),
    reserve_in!(1),
    reserve_in!(2),
    reserve_in!(3),
    reserve_out!(0),
    reserve_out!(1),
    reserve_out!(2),
    reserve_out!(3),
    reserve_out!(4),
    reserve_out!(5),
    reserve_out!(6),
    sixteen!(op::READ_16, 0x18),
    command(
        op::COMPARE_AND_WRITE,
        &[
            op::COMPARE_AND_WRITE,
            0x18,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            0,
            0,
            0,
            FF,
            0,
            0,
        ],
    ),
    sixteen!(op::WRITE_16, 0x18),
    sixteen!(op::WRITE_AND_VERIFY_16, 0x16),
    sixteen!(op::VERIFY_16, 0x16),
    sixteen!(op::PRE_FETCH_16, 0x02),
    sixteen!(op::SYNCHRONIZE_CACHE_16, 0x02),
    sixteen!(op::WRITE_SAME_16, 0x09),
    action(
        op::SERVICE_ACTION_IN_16,
        op::READ_CAPACITY_16 as u16,
        &[
            op::SERVICE_ACTION_IN_16,
            op::READ_CAPACITY_16,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            FF,
            FF,
            FF,
            FF,
            0,
            0,
        ],
    ),
    action(
        op::SERVICE_ACTION_IN_16,
        op::GET_LBA_STATUS as u16,
        &[
            op::SERVICE_ACTION_IN_16,
            op::GET_LBA_STATUS,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            0,
            0,
        ],
    ),
    command(
        op::REPORT_LUNS,
        &[op::REPORT_LUNS, 0, FF, 0, 0, 0, FF, FF, FF, FF, 0, 0],
    ),
    action(
        op::MAINTENANCE_IN,
        op::REPORT_SUPPORTED_OPERATION_CODES as u16,
        &[
            op::MAINTENANCE_IN,
            op::REPORT_SUPPORTED_OPERATION_CODES,
            0x87,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            FF,
            0,
            0,
        ],
    ),
    action(
        op::MAINTENANCE_IN,
        op::REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS as u16,
        &[
            op::MAINTENANCE_IN,
            op::REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS,
            0x80,
            0,
            0,
            0,
            FF,
            FF,
            FF,
            FF,
            0,
            0,
        ],
    ),
    twelve!(op::READ_12, 0x18),
    twelve!(op::WRITE_12, 0x18),
    twelve!(op::WRITE_AND_VERIFY_12, 0x16),
    twelve!(op::VERIFY_12, 0x16),
];

/// A command timeouts descriptor that says nothing (SPC-5 6.35.4).
const NO_TIMEOUTS: [u8; 12] = [0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) fn report(cdb: &Cdb) -> Step {
    let &Cdb::ReportSupportedOperationCodes {
        timeouts,
        options,
        opcode,
        service_action,
        allocation_length,
    } = cdb
    else {
        return Sense::invalid_field_in_cdb(0).into();
    };
    let mut of_opcode = COMMANDS.iter().filter(|command| command.opcode == opcode);
    let has_actions = of_opcode.clone().any(|command| command.service_action.is_some());
    let with_action = || {
        COMMANDS
            .iter()
            .find(|c| c.opcode == opcode && c.service_action == Some(service_action))
    };
    let data = match options {
        0 => all(timeouts),
        1 if has_actions => return Sense::invalid_field_in_cdb(2).into(),
        1 => one(of_opcode.next(), timeouts),
        2 if !has_actions => return Sense::invalid_field_in_cdb(2).into(),
        2 => one(with_action(), timeouts),
        3 if has_actions => one(with_action(), timeouts),
        3 => one(of_opcode.next().filter(|_| service_action == 0), timeouts),
        _ => return Sense::invalid_field_in_cdb(2).into(),
    };
    Step::Reply(Reply::data(data, allocation_length))
}

fn all(timeouts: bool) -> Vec<u8> {
    let mut data = vec![0; 4];
    for command in COMMANDS {
        let [high, low] = command.service_action.unwrap_or(0).to_be_bytes();
        let flags = u8::from(timeouts) << 1 | u8::from(command.service_action.is_some());
        data.extend_from_slice(&[
            command.opcode,
            0,
            high,
            low,
            0,
            flags,
            0,
            command.usage.len() as u8,
        ]);
        if timeouts {
            data.extend_from_slice(&NO_TIMEOUTS);
        }
    }
    let len = (data.len() - 4) as u32;
    data[..4].copy_from_slice(&len.to_be_bytes());
    data
}

fn one(command: Option<&Command>, timeouts: bool) -> Vec<u8> {
    let Some(command) = command else {
        return vec![0, 1, 0, 0];
    }; // SUPPORT 001b: not supported
    let mut data = vec![0, u8::from(timeouts) << 7 | 3, 0, command.usage.len() as u8];
    data.extend_from_slice(command.usage);
    if timeouts {
        data.extend_from_slice(&NO_TIMEOUTS);
    }
    data
}

/// ABORT TASK, ABORT TASK SET, CLEAR TASK SET and LOGICAL UNIT RESET; in the second byte nothing.
pub(super) fn report_task_management(extended: bool, allocation_length: u32) -> Step {
    if allocation_length < 4 {
        return Sense::invalid_field_in_cdb(6).into();
    }
    let mut data = vec![0b1101_1000, 0, 0, 0];
    if extended {
        data[3] = 12;
        data.resize(16, 0);
    }
    Step::Reply(Reply::data(data, allocation_length))
}

/// The commands for the test that the table and the dispatch agree.
#[cfg(test)]
pub(super) fn usages() -> impl Iterator<Item = &'static [u8]> {
    COMMANDS.iter().map(|command| command.usage)
}

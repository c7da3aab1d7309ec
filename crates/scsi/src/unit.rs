//! The device server of a direct-access block device (SAM-5 4.6.19): it takes a CDB and gives a finished reply, or says
//! which parameter list or which I/O it needs. It does no I/O itself.
//!
//! One [`LogicalUnit`] serves all I_T nexuses. How a caller drives it:
//!
//! - events in: [`attach`](LogicalUnit::attach), [`nexus_lost`](LogicalUnit::nexus_lost),
//!   [`detach`](LogicalUnit::detach), [`reset`](LogicalUnit::reset), [`raise`](LogicalUnit::raise),
//!   [`resize`](LogicalUnit::resize);
//! - commands in: [`execute`](LogicalUnit::execute), and with the parameter list that it asked for
//!   [`resume`](LogicalUnit::resume);
//! - out come [`Step`]s. A [`Step::Io`] is carried out by the caller, who answers the initiator with GOOD status or
//!   with [`IoFailure::sense`].

mod attention;
mod block;
mod inquiry;
mod io;
mod mode;
mod opcodes;
mod reservation;
#[cfg(test)]
mod tests;

pub use io::{Io, IoFailure, LbaExtent, lba_status};

use std::collections::HashMap;

use crate::capacity::Capacity;
use crate::cdb::{Cdb, CdbError};
use crate::vpd::Designator;
use crate::{Lun, Sense, Status};
use attention::Nexus;
use reservation::Reservations;

/// An I_T nexus, by a number that its caller gives it and never gives to another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NexusId(pub u64);

/// What a logical unit is.
#[derive(Clone, Debug)]
pub struct UnitConfig {
    /// T10 VENDOR IDENTIFICATION, at most 8 characters.
    pub vendor: String,
    /// PRODUCT IDENTIFICATION, at most 16.
    pub product: String,
    /// PRODUCT REVISION LEVEL, at most 4.
    pub revision: String,
    /// Product serial number of VPD page 80h.
    pub serial: String,
    /// Designators of VPD page 83h that name the logical unit; the caller adds those of its ports.
    pub designators: Vec<Designator>,
    /// Size and blocks of the medium.
    pub capacity: Capacity,
    /// The medium can only be read.
    pub read_only: bool,
    /// Most bytes of one READ, WRITE and the like.
    pub max_transfer_bytes: u32,
}

/// A finished answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Status of the command.
    pub status: Status,
    /// Data-In, already cut to the allocation length.
    pub data: Vec<u8>,
    /// Sense data that belong to CHECK CONDITION.
    pub sense: Option<Sense>,
}

impl Reply {
    /// GOOD without data.
    #[must_use]
    pub const fn good() -> Self {
        Self {
            status: Status::GOOD,
            data: Vec::new(),
            sense: None,
        }
    }

    /// A status without data and sense.
    #[must_use]
    pub const fn status(status: Status) -> Self {
        Self {
            status,
            data: Vec::new(),
            sense: None,
        }
    }

    /// CHECK CONDITION.
    #[must_use]
    pub const fn check(sense: Sense) -> Self {
        Self {
            status: Status::CHECK_CONDITION,
            data: Vec::new(),
            sense: Some(sense),
        }
    }

    /// GOOD with data, cut to the allocation length of the CDB.
    #[must_use]
    pub fn data(mut data: Vec<u8>, allocation_length: u32) -> Self {
        data.truncate(allocation_length as usize);
        Self {
            status: Status::GOOD,
            data,
            sense: None,
        }
    }
}

/// What happens next with a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The command has ended.
    Reply(Reply),
    /// The command needs its parameter list: get `len` bytes of Data-Out and call [`LogicalUnit::resume`].
    Parameters {
        /// How many bytes.
        len: u32,
        /// An initiator that has more or less to send is mistaken about the command: answer with
        /// [`wrong_data_out`] at once, before its data are looked at.
        exact: bool,
        /// The command, to be given back.
        pending: Pending,
    },
    /// The command needs I/O; the caller carries it out and answers.
    Io(Io),
}

impl From<Sense> for Step {
    fn from(sense: Sense) -> Self {
        Step::Reply(Reply::check(sense))
    }
}

/// A command that waits for its parameter list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending(Cdb);

/// One logical unit with everything that its nexuses share.
#[derive(Debug)]
pub struct LogicalUnit {
    config: UnitConfig,
    nexuses: HashMap<NexusId, Nexus>,
    reservations: Reservations,
    write_cache: bool,
    software_write_protect: bool,
    stopped: bool,
}

impl LogicalUnit {
    /// A logical unit as it is after a start: no nexus, no reservation, write cache on.
    #[must_use]
    pub fn new(config: UnitConfig) -> Self {
        Self {
            config,
            nexuses: HashMap::new(),
            reservations: Reservations::default(),
            write_cache: true,
            software_write_protect: false,
            stopped: false,
        }
    }

    /// What this unit is.
    #[must_use]
    pub fn config(&self) -> &UnitConfig {
        &self.config
    }

    /// Whether the medium cannot be written, by its nature or by the SWP bit of the control page.
    #[must_use]
    pub fn is_write_protected(&self) -> bool {
        self.config.read_only || self.software_write_protect
    }

    /// Carries out a command of `nexus` as far as it goes without I/O. `luns` is what REPORT LUNS returns.
    pub fn execute(&mut self, nexus: NexusId, cdb: &[u8], luns: &[Lun]) -> Step {
        let cdb = match Cdb::parse(cdb) {
            Ok(cdb) => cdb,
            Err(error) => return self.refuse(nexus, error),
        };
        if let Some(reply) = self.precondition(nexus, &cdb) {
            return Step::Reply(reply);
        }
        match cdb {
            Cdb::TestUnitReady | Cdb::PreventAllowMediumRemoval { .. } => Step::Reply(Reply::good()),
            Cdb::RequestSense {
                descriptor,
                allocation_length,
            } => self.request_sense(nexus, descriptor, allocation_length),
            Cdb::Inquiry {
                evpd,
                page_code,
                allocation_length,
            } => inquiry::answer(self, evpd, page_code, allocation_length),
            Cdb::ReportLuns {
                select_report,
                allocation_length,
            } => self.report_luns(nexus, select_report, allocation_length, luns),
            Cdb::ModeSense { .. } => mode::sense(self, &cdb),
            Cdb::StartStopUnit {
                power_condition,
                load_eject,
                start,
                ..
            } => self.start_stop(power_condition, load_eject, start),
            Cdb::Reserve6 => self.reservations.reserve(nexus),
            Cdb::Release6 => self.reservations.release(nexus),
            Cdb::PersistentReserveIn {
                service_action,
                allocation_length,
            } => reservation::persistent_in(self, service_action, allocation_length),
            Cdb::ReportSupportedOperationCodes { .. } => opcodes::report(&cdb),
            Cdb::ReportSupportedTaskManagementFunctions {
                extended,
                allocation_length,
            } => opcodes::report_task_management(extended, allocation_length),
            Cdb::ModeSelect {
                parameter_list_length,
                ..
            } => parameters(cdb, parameter_list_length.into()),
            Cdb::PersistentReserveOut {
                parameter_list_length,
                ..
            } => reservation::check_out(&cdb, parameter_list_length),
            _ => block::execute(self, &cdb),
        }
    }

    /// Goes on with a command, now that its parameter list is here. `data` may be shorter than what was asked for where
    /// the initiator sent less.
    pub fn resume(&mut self, nexus: NexusId, pending: Pending, data: &[u8]) -> Step {
        match pending.0 {
            Cdb::ModeSelect { .. } => mode::select(self, nexus, &pending.0, data),
            Cdb::PersistentReserveOut { .. } => reservation::persistent_out(self, nexus, &pending.0, data),
            _ => block::resume(self, &pending.0, data),
        }
    }

    /// A CDB that is not known: a unit attention goes first, as for every command (SAM-5 5.14).
    fn refuse(&mut self, nexus: NexusId, error: CdbError) -> Step {
        if let Some(sense) = self.take_attention(nexus) {
            return sense.into();
        }
        match error {
            CdbError::UnknownOpcode(_) | CdbError::UnknownServiceAction { .. } => {
                Sense::illegal_request(crate::sense::Asc::INVALID_COMMAND_OPERATION_CODE).into()
            }
            CdbError::TooShort { len, .. } => Sense::invalid_field_in_cdb(len as u16).into(),
            CdbError::Naca { byte } => Sense::invalid_field_in_cdb(byte).into(),
        }
    }

    /// What ends a command before it is looked at: a unit attention, then a reservation of another nexus.
    fn precondition(&mut self, nexus: NexusId, cdb: &Cdb) -> Option<Reply> {
        let unaffected = matches!(
            cdb,
            Cdb::Inquiry { .. } | Cdb::ReportLuns { .. } | Cdb::RequestSense { .. }
        );
        if unaffected {
            return None;
        }
        if let Some(sense) = self.take_attention(nexus) {
            return Some(Reply::check(sense));
        }
        self.reservations
            .conflict(nexus, cdb)
            .then(|| Reply::status(Status::RESERVATION_CONFLICT))
    }

    fn report_luns(
        &mut self,
        nexus: NexusId,
        select_report: u8,
        allocation_length: u32,
        luns: &[Lun],
    ) -> Step {
        if allocation_length < 16 {
            return Sense::invalid_field_in_cdb(6).into();
        }
        let luns: &[Lun] = match select_report {
            0x00 | 0x02 => luns,
            0x01 => &[],
            _ => return Sense::invalid_field_in_cdb(2).into(),
        };
        self.forget_attention(nexus, crate::sense::Asc::REPORTED_LUNS_DATA_HAS_CHANGED);
        Step::Reply(Reply::data(crate::report_luns::emit(luns), allocation_length))
    }

    /// START STOP UNIT (SBC-4 5.31): the state is kept, and a stopped unit is not ready.
    fn start_stop(&mut self, power_condition: u8, load_eject: bool, start: bool) -> Step {
        if load_eject {
            return Sense::invalid_field_in_cdb(4).into(); // the medium is not removable
        }
        if power_condition != 0 {
            return Step::Reply(Reply::good()); // idle and standby: nothing spins here
        }
        self.stopped = !start;
        if start {
            Step::Reply(Reply::good())
        } else {
            Step::Io(Io::Flush)
        }
    }

    /// The size changed: raises 2A/09 for every nexus. A size that stays the same raises nothing.
    pub fn resize(&mut self, blocks: u64) {
        if self.config.capacity.blocks != blocks {
            self.config.capacity.blocks = blocks;
            self.raise(crate::sense::Asc::CAPACITY_DATA_HAS_CHANGED, None);
        }
    }
}

/// The answer to a command whose Data-Out has not the length that its CDB asks for.
#[must_use]
pub fn wrong_data_out() -> Reply {
    Reply::check(Sense::illegal_request(crate::sense::Asc::INVALID_FIELD_IN_CDB))
}

fn parameters(cdb: Cdb, len: u32) -> Step {
    Step::Parameters {
        len,
        exact: false,
        pending: Pending(cdb),
    }
}

fn exact_parameters(cdb: Cdb, len: u32) -> Step {
    Step::Parameters {
        len,
        exact: true,
        pending: Pending(cdb),
    }
}

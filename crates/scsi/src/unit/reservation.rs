//! Reservations: RESERVE(6) and RELEASE(6) of SPC-2, and persistent reservations (SPC-4 5.13, 6.15, 6.16).
//!
//! Persistent reservations live as long as the logical unit object: they survive the loss of a nexus, resets and
//! logouts, and not a restart (PTPL_C is 0, and APTPL is refused).

use std::collections::BTreeMap;

use super::{Io, LogicalUnit, NexusId, Reply, Step, parameters};
use crate::bytes::u64_at;
use crate::cdb::Cdb;
use crate::sense::Asc;
use crate::{Sense, Status};

/// More registrations than this are refused with 55/04.
const MAX_REGISTRATIONS: usize = 1024;

/// PERSISTENT RESERVATION TYPE (SPC-4 table 66).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    WriteExclusive = 1,
    ExclusiveAccess = 3,
    WriteExclusiveRegistrantsOnly = 5,
    ExclusiveAccessRegistrantsOnly = 6,
    WriteExclusiveAllRegistrants = 7,
    ExclusiveAccessAllRegistrants = 8,
}

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        use Kind::*;
        [
            WriteExclusive,
            ExclusiveAccess,
            WriteExclusiveRegistrantsOnly,
            ExclusiveAccessRegistrantsOnly,
            WriteExclusiveAllRegistrants,
            ExclusiveAccessAllRegistrants,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == code)
    }

    fn all_registrants(self) -> bool {
        self as u8 >= 7
    }

    fn registrants_may_write(self) -> bool {
        self as u8 >= 5
    }

    fn others_may_read(self) -> bool {
        matches!(
            self,
            Kind::WriteExclusive | Kind::WriteExclusiveRegistrantsOnly | Kind::WriteExclusiveAllRegistrants
        )
    }
}

/// Who has reserved the unit.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    /// The nexus that holds the SPC-2 reservation.
    spc2: Option<NexusId>,
    registrations: BTreeMap<NexusId, u64>,
    /// The holder (of an all-registrants type: whoever made it) and its type.
    holder: Option<(NexusId, Kind)>,
    generation: u32,
}

/// What a command needs from the medium, for the tables of conflicts (SPC-4 table 50, SBC-3 table 13).
#[derive(PartialEq, Eq)]
enum Access {
    Always,
    Read,
    Write,
}

fn access(cdb: &Cdb) -> Access {
    match cdb {
        Cdb::TestUnitReady
        | Cdb::ReadCapacity10 { .. }
        | Cdb::ReadCapacity16 { .. }
        | Cdb::PersistentReserveIn { .. }
        | Cdb::PersistentReserveOut { .. }
        | Cdb::ReportSupportedOperationCodes { .. }
        | Cdb::ReportSupportedTaskManagementFunctions { .. }
        | Cdb::PreventAllowMediumRemoval { prevent: 0 }
        | Cdb::StartStopUnit {
            start: true,
            power_condition: 0,
            ..
        } => Access::Always,
        Cdb::Read(_) | Cdb::Verify(_) | Cdb::PreFetch { .. } | Cdb::GetLbaStatus { .. } => Access::Read,
        _ => Access::Write,
    }
}

impl Reservations {
    /// Whether the command of `nexus` conflicts with a reservation.
    pub(super) fn conflict(&self, nexus: NexusId, cdb: &Cdb) -> bool {
        if self.spc2.is_some_and(|holder| holder != nexus) {
            return !matches!(cdb, Cdb::Release6 | Cdb::PreventAllowMediumRemoval { prevent: 0 });
        }
        if matches!(cdb, Cdb::Reserve6 | Cdb::Release6) {
            return !self.registrations.is_empty(); // SPC-4 5.13.3: the two kinds do not mix
        }
        let Some((holder, kind)) = self.holder else {
            return false;
        };
        if holder == nexus || (kind.registrants_may_write() && self.registrations.contains_key(&nexus)) {
            return false;
        }
        match access(cdb) {
            Access::Always => false,
            Access::Read => !kind.others_may_read(),
            Access::Write => true,
        }
    }

    pub(super) fn reserve(&mut self, nexus: NexusId) -> Step {
        self.spc2 = Some(nexus);
        Step::Reply(Reply::good())
    }

    /// A release by a nexus that holds nothing is no error (SPC-2 7.16.1).
    pub(super) fn release(&mut self, nexus: NexusId) -> Step {
        self.release_held(nexus);
        Step::Reply(Reply::good())
    }

    pub(super) fn release_held(&mut self, nexus: NexusId) {
        if self.spc2 == Some(nexus) {
            self.spc2 = None;
        }
    }

    pub(super) fn reset(&mut self) {
        self.spc2 = None;
    }

    pub(super) fn is_registered(&self, nexus: NexusId) -> bool {
        self.registrations.contains_key(&nexus)
    }

    fn reservation_descriptor(&self, holder: NexusId, kind: Kind) -> Vec<u8> {
        let key = if kind.all_registrants() {
            0
        } else {
            self.registrations.get(&holder).copied().unwrap_or(0)
        };
        let mut bytes = key.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, kind as u8, 0, 0]);
        bytes
    }

    /// Removes a registration and the reservation that hangs on it; gives the kind of a reservation that was released.
    fn unregister(&mut self, nexus: NexusId) -> Option<Kind> {
        self.registrations.remove(&nexus)?;
        let (holder, kind) = self.holder?;
        let released = if kind.all_registrants() {
            self.registrations.is_empty()
        } else {
            holder == nexus
        };
        if released {
            self.holder = None;
            return Some(kind);
        }
        if holder == nexus {
            // All registrants hold it; the one that made it is gone.
            self.holder = self.registrations.keys().next().map(|&other| (other, kind));
        }
        None
    }
}

/// PERSISTENT RESERVE IN: READ KEYS, READ RESERVATION, REPORT CAPABILITIES, READ FULL STATUS.
pub(super) fn persistent_in(unit: &LogicalUnit, service_action: u8, allocation_length: u16) -> Step {
    let reservations = &unit.reservations;
    let registrations = &reservations.registrations;
    let body: Vec<u8> = match service_action {
        0 => registrations.values().flat_map(|key| key.to_be_bytes()).collect(),
        1 => reservations
            .holder
            .map(|(holder, kind)| reservations.reservation_descriptor(holder, kind))
            .unwrap_or_default(),
        2 => {
            let capabilities = vec![0, 8, 0, 0x80, 0xea, 0x01, 0, 0];
            return Step::Reply(Reply::data(capabilities, allocation_length.into()));
        }
        3 => registrations
            .iter()
            .flat_map(|(&nexus, &key)| full_status(unit, nexus, key))
            .collect(),
        _ => return Sense::invalid_field_in_cdb(1).into(),
    };
    let mut data = reservations.generation.to_be_bytes().to_vec();
    data.extend_from_slice(&(body.len() as u32).to_be_bytes());
    data.extend_from_slice(&body);
    Step::Reply(Reply::data(data, allocation_length.into()))
}

/// A full status descriptor (SPC-4 6.15.5) with the TransportID of an iSCSI initiator port (SPC-4 7.6.4.6).
fn full_status(unit: &LogicalUnit, nexus: NexusId, key: u64) -> Vec<u8> {
    let held = holds(&unit.reservations, nexus);
    let mut name = unit.port_of(nexus).as_bytes().to_vec();
    name.resize((name.len() / 4 + 1).max(5) * 4, 0);
    let mut bytes = key.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[
        0,
        0,
        0,
        0,
        u8::from(held.is_some()),
        held.map_or(0, |kind| kind as u8),
        0,
        0,
        0,
        0,
    ]);
    bytes.extend_from_slice(&1u16.to_be_bytes()); // relative target port identifier
    bytes.extend_from_slice(&((name.len() + 4) as u32).to_be_bytes());
    bytes.extend_from_slice(&[0x45, 0]); // initiator port, iSCSI
    bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&name);
    bytes
}

/// What PERSISTENT RESERVE OUT may ask for, before its parameter list comes.
pub(super) fn check_out(cdb: &Cdb, len: u32) -> Step {
    match *cdb {
        Cdb::PersistentReserveOut {
            service_action: 0..=6,
            ..
        } if len != 24 => Sense::illegal_request(Asc::PARAMETER_LIST_LENGTH_ERROR).into(),
        Cdb::PersistentReserveOut {
            service_action: 0..=6,
            ..
        } => parameters(*cdb, len),
        _ => Sense::invalid_field_in_cdb(1).into(),
    }
}

fn conflict() -> Step {
    Step::Reply(Reply::status(Status::RESERVATION_CONFLICT))
}

/// PERSISTENT RESERVE OUT with its parameter list.
pub(super) fn persistent_out(unit: &mut LogicalUnit, nexus: NexusId, cdb: &Cdb, data: &[u8]) -> Step {
    let &Cdb::PersistentReserveOut {
        service_action,
        scope,
        kind,
        ..
    } = cdb
    else {
        return Sense::invalid_field_in_cdb(0).into();
    };
    let (Some(key), Some(action_key), Some(&flags)) = (u64_at(data, 0), u64_at(data, 8), data.get(20)) else {
        return Sense::illegal_request(Asc::PARAMETER_LIST_LENGTH_ERROR).into();
    };
    let registering = matches!(service_action, 0 | 6);
    if flags & 0x0d != 0 {
        return Sense::invalid_field_in_parameters(20).into(); // SPEC_I_PT, ALL_TG_PT, APTPL
    }
    let registered = unit.reservations.registrations.get(&nexus).copied();
    if !registering && registered != Some(key) {
        return conflict();
    }
    let kind = Kind::from_code(kind);
    let takes_kind = matches!(service_action, 1 | 2 | 4 | 5);
    if takes_kind && (scope != 0 || kind.is_none()) {
        return Sense::invalid_field_in_cdb(2).into();
    }
    match (service_action, kind) {
        (0, _) if registered.unwrap_or(0) != key => conflict(),
        (0 | 6, _) => register(unit, nexus, action_key),
        (1, Some(kind)) => reserve(unit, nexus, kind),
        (2, Some(kind)) => release(unit, nexus, kind),
        (3, _) => clear(unit, nexus),
        (_, Some(kind)) => preempt(unit, nexus, kind, action_key, service_action == 5),
        _ => Sense::invalid_field_in_cdb(1).into(),
    }
}

fn register(unit: &mut LogicalUnit, nexus: NexusId, key: u64) -> Step {
    let reservations = &mut unit.reservations;
    let known = reservations.is_registered(nexus);
    if key == 0 {
        if known {
            let released = reservations.unregister(nexus);
            reservations.generation = reservations.generation.wrapping_add(1);
            if released.is_some_and(|kind| kind.registrants_may_write() && !kind.all_registrants()) {
                raise_for_registrants(unit, Asc::RESERVATIONS_RELEASED, nexus);
            }
        }
        return Step::Reply(Reply::good());
    }
    if !known && reservations.registrations.len() >= MAX_REGISTRATIONS {
        return Sense::illegal_request(Asc::INSUFFICIENT_REGISTRATION_RESOURCES).into();
    }
    reservations.registrations.insert(nexus, key);
    reservations.generation = reservations.generation.wrapping_add(1);
    Step::Reply(Reply::good())
}

fn holds(reservations: &Reservations, nexus: NexusId) -> Option<Kind> {
    let (holder, kind) = reservations.holder?;
    (holder == nexus || kind.all_registrants()).then_some(kind)
}

fn reserve(unit: &mut LogicalUnit, nexus: NexusId, kind: Kind) -> Step {
    let reservations = &mut unit.reservations;
    match (reservations.holder, holds(reservations, nexus)) {
        (None, _) => reservations.holder = Some((nexus, kind)),
        (Some(_), Some(held)) if held == kind => {}
        _ => return conflict(),
    }
    Step::Reply(Reply::good())
}

fn release(unit: &mut LogicalUnit, nexus: NexusId, kind: Kind) -> Step {
    match holds(&unit.reservations, nexus) {
        None => {}
        Some(held) if held != kind => {
            return Sense::illegal_request(Asc::INVALID_RELEASE_OF_PERSISTENT_RESERVATION).into();
        }
        Some(held) => {
            unit.reservations.holder = None;
            if held.registrants_may_write() {
                raise_for_registrants(unit, Asc::RESERVATIONS_RELEASED, nexus);
            }
        }
    }
    Step::Reply(Reply::good())
}

fn clear(unit: &mut LogicalUnit, nexus: NexusId) -> Step {
    raise_for_registrants(unit, Asc::RESERVATIONS_PREEMPTED, nexus);
    unit.reservations.registrations.clear();
    unit.reservations.holder = None;
    unit.reservations.generation = unit.reservations.generation.wrapping_add(1);
    Step::Reply(Reply::good())
}

/// PREEMPT and PREEMPT AND ABORT (SPC-4 5.13.11.4, .5).
fn preempt(unit: &mut LogicalUnit, nexus: NexusId, kind: Kind, victim_key: u64, abort: bool) -> Step {
    let reservations = &mut unit.reservations;
    let held_by_all = reservations
        .holder
        .is_some_and(|(_, held)| held.all_registrants());
    let holder_key = reservations
        .holder
        .and_then(|(holder, _)| reservations.registrations.get(&holder).copied());
    let takes_over = if held_by_all {
        victim_key == 0
    } else {
        holder_key == Some(victim_key)
    };
    if victim_key == 0 && !held_by_all {
        return Sense::invalid_field_in_parameters(8).into();
    }
    let victims: Vec<NexusId> = reservations
        .registrations
        .iter()
        .filter(|&(&other, &key)| other != nexus && (key == victim_key || (held_by_all && victim_key == 0)))
        .map(|(&other, _)| other)
        .collect();
    let own_key_matches = reservations.registrations.get(&nexus) == Some(&victim_key);
    if victims.is_empty() && !takes_over && !own_key_matches {
        return conflict();
    }
    let old_kind = reservations.holder.map(|(_, kind)| kind);
    for victim in &victims {
        reservations.unregister(*victim);
    }
    if takes_over {
        reservations.holder = Some((nexus, kind));
    } else if own_key_matches {
        reservations.unregister(nexus);
    }
    reservations.generation = reservations.generation.wrapping_add(1);
    for victim in &victims {
        unit.raise_for(*victim, Asc::REGISTRATIONS_PREEMPTED);
    }
    if takes_over && old_kind != Some(kind) {
        raise_for_registrants(unit, Asc::RESERVATIONS_RELEASED, nexus);
    }
    if !abort {
        return Step::Reply(Reply::good());
    }
    victims.iter().for_each(|victim| unit.abort_commands_of(*victim));
    Step::Io(Io::AbortTasks { nexuses: victims })
}

fn raise_for_registrants(unit: &mut LogicalUnit, code: Asc, except: NexusId) {
    let others: Vec<NexusId> = unit
        .reservations
        .registrations
        .keys()
        .copied()
        .filter(|&n| n != except)
        .collect();
    for nexus in others {
        unit.raise_for(nexus, code);
    }
}

impl LogicalUnit {
    /// Whether `nexus` has a persistent registration: its number must not be given to another nexus then.
    #[must_use]
    pub fn is_registered(&self, nexus: NexusId) -> bool {
        self.reservations.is_registered(nexus)
    }
}

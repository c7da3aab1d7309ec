//! Commands: from the CDB to the answer, or to the job that answers.

use crate::buffers::LARGE_LEN;
use crate::connection::{Connection, Wire};
use crate::disk::ReadNow;
use crate::faults::ReadFault;
use crate::lun::Lun;
use crate::sync::{lock, read};
use crate::target::Session;
use bytes::Bytes;
use longshore_iscsi::target::{Command, Completion, TaskId};
use longshore_scsi::inquiry::{NO_DEVICE, StandardInquiry};
use longshore_scsi::sense::{Asc, SenseKey};
use longshore_scsi::unit::{Io, IoFailure, Pending, Reply, Step, wrong_data_out};
use longshore_scsi::{Lun as LunBytes, Sense, Status};
use std::io;
use std::sync::Arc;

/// A command that was accepted by its logical unit.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) command: Command,
    pub(crate) lun: Arc<Lun>,
    /// The unit's epoch for this nexus when the command came in.
    pub(crate) epoch: u64,
}

/// A command whose Data-Out is on its way.
pub(crate) enum Incoming {
    /// A parameter list.
    Parameters {
        open: Open,
        pending: Pending,
        data: Vec<u8>,
    },
    /// Data to write.
    Write {
        open: Open,
        offset: u64,
        len: u32,
        fua: bool,
    },
    /// Data to compare.
    Compare { open: Open, offset: u64, len: u32 },
}

/// The sense data as they travel in a SCSI Response.
pub(crate) fn completion(reply: &Reply, transfer_len: u64) -> Completion {
    let sense = reply
        .sense
        .map_or_else(Bytes::new, |sense| Bytes::copy_from_slice(&sense.to_fixed()));
    Completion {
        status: reply.status.0,
        sense,
        transfer_len,
    }
}

/// An I/O that failed, as an answer.
pub(crate) fn failed(failure: IoFailure) -> Reply {
    Reply::check(failure.sense())
}

impl Open {
    /// Whether the command was aborted since it came in: by a reset, or by another nexus.
    pub(crate) fn is_aborted(&self, session: &Session) -> bool {
        lock(&self.lun.unit).epoch(session.nexus) != self.epoch
    }
}

impl Connection {
    /// Takes a new command.
    pub(crate) fn command(self: &Arc<Self>, wire: &mut Wire, command: Command) -> io::Result<()> {
        let Some((target, session)) = &self.place else {
            return Ok(());
        };
        if command.read && command.write {
            let reply = Reply::check(Sense::illegal_request(Asc::INVALID_FIELD_IN_CDB));
            self.reply(wire, &command, reply);
            return Ok(());
        }
        let opcode = command.cdb[0];
        let is_report_luns = opcode == longshore_scsi::cdb::opcode::REPORT_LUNS;
        let luns = if is_report_luns {
            target.lun_list()
        } else {
            Vec::new()
        };
        let number = LunBytes::from_bytes(command.lun.0).number();
        let Some(lun) = number.and_then(|number| target.lun(number)) else {
            self.reply(wire, &command, without_lun(&command.cdb, &luns));
            return Ok(());
        };
        let Some(_permit) = session.begin_io() else {
            return Ok(());
        };
        let (step, epoch) = {
            let mut unit = lock(&lun.unit);
            let step = unit.execute(session.nexus, &command.cdb, &luns);
            (step, unit.epoch(session.nexus))
        };
        if is_report_luns {
            target
                .each_unit(|unit| unit.forget_attention(session.nexus, Asc::REPORTED_LUNS_DATA_HAS_CHANGED));
        }
        self.step(wire, Open { command, lun, epoch }, step, 0)
    }

    /// Goes on with a command of which so many bytes of Data-Out have been used.
    fn step(self: &Arc<Self>, wire: &mut Wire, open: Open, step: Step, used: u64) -> io::Result<()> {
        let task = open.command.task;
        match step {
            Step::Reply(reply) => self.reply(wire, &open.command, reply),
            Step::Parameters { len, exact, .. } if exact && open.command.data_out_len() != len => {
                self.reply(wire, &open.command, wrong_data_out());
            }
            Step::Parameters { len, pending, .. } => {
                let want = len.min(open.command.data_out_len());
                if want == 0 {
                    return self.resume(wire, open, pending, &[]);
                }
                let data = Vec::new();
                wire.incoming
                    .insert(task, Incoming::Parameters { open, pending, data });
                wire.machine.want_data(task, want);
            }
            Step::Io(Io::Read { offset, len }) => return self.read(wire, open, offset, len),
            Step::Io(io @ (Io::Write { .. } | Io::Verify { compare: true, .. })) => {
                self.expect_data(wire, open, &io)
            }
            Step::Io(io) => self.start_job(wire, open, io, used),
        }
        Ok(())
    }

    fn resume(
        self: &Arc<Self>,
        wire: &mut Wire,
        open: Open,
        pending: Pending,
        data: &[u8],
    ) -> io::Result<()> {
        let Some((_, session)) = &self.place else {
            return Ok(());
        };
        let Some(_permit) = session.begin_io() else {
            return Ok(());
        };
        if open.is_aborted(session) {
            self.reply(wire, &open.command, Reply::status(Status::TASK_ABORTED));
            return Ok(());
        }
        let step = lock(&open.lun.unit).resume(session.nexus, pending, data);
        let transferred = data.len() as u64;
        match step {
            // The parameter list counts as transferred.
            Step::Reply(reply) if reply.data.is_empty() => {
                wire.machine
                    .respond(open.command.task, completion(&reply, transferred));
                Ok(())
            }
            step => self.step(wire, open, step, transferred),
        }
    }

    /// Answers, with Data-In if there is some.
    pub(crate) fn reply(&self, wire: &mut Wire, command: &Command, mut reply: Reply) {
        let data = std::mem::take(&mut reply.data);
        let len = data.len() as u64;
        if data.is_empty() || reply.status != Status::GOOD {
            wire.machine.respond(command.task, completion(&reply, len));
        } else {
            wire.machine.data_in(command.task, Bytes::from(data), Some(len));
        }
    }

    fn expect_data(&self, wire: &mut Wire, open: Open, io: &Io) {
        let task = open.command.task;
        let want = io.data_out_len().min(open.command.data_out_len());
        let (incoming, len) = match *io {
            Io::Write { offset, len, fua } => (
                Incoming::Write {
                    open,
                    offset,
                    len,
                    fua,
                },
                len,
            ),
            Io::Verify { offset, len, .. } => (Incoming::Compare { open, offset, len }, len),
            _ => return,
        };
        if want == 0 {
            // Nothing to write, or an initiator that expects to send nothing: the residual tells it.
            wire.machine.respond(task, Completion::good(len.into()));
        } else {
            wire.incoming.insert(task, incoming);
            wire.machine.want_data(task, want);
        }
    }

    /// Data-Out has come.
    pub(crate) fn data(
        self: &Arc<Self>,
        wire: &mut Wire,
        task: TaskId,
        at: u32,
        segments: Vec<Bytes>,
        last: bool,
    ) -> io::Result<()> {
        let Some((_, session)) = &self.place else {
            return Ok(());
        };
        let Some(_permit) = session.begin_io() else {
            return Ok(());
        };
        let reply = match wire.incoming.get_mut(&task) {
            None => return Ok(()),
            Some(Incoming::Parameters { data, .. }) => {
                segments
                    .iter()
                    .for_each(|segment| data.extend_from_slice(segment));
                None
            }
            Some(Incoming::Write { open, offset, .. }) => {
                write_segments(open, session, *offset + u64::from(at), &segments)
            }
            Some(Incoming::Compare { open, offset, .. }) => compare_segments(open, *offset, at, &segments),
        };
        if let Some(reply) = reply {
            wire.incoming.remove(&task);
            wire.machine.respond(task, completion(&reply, 0));
            return Ok(());
        }
        if !last {
            return Ok(());
        }
        match wire.incoming.remove(&task) {
            Some(Incoming::Parameters { open, pending, data }) => self.resume(wire, open, pending, &data),
            Some(Incoming::Write {
                open, len, fua: true, ..
            }) => {
                self.start_flush_of_write(wire, open, len);
                Ok(())
            }
            Some(Incoming::Write { len, .. } | Incoming::Compare { len, .. }) => {
                wire.machine.respond(task, Completion::good(len.into()));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Data-Out was damaged on its way (RFC 7143 7.8).
    pub(crate) fn data_lost(&self, wire: &mut Wire, task: TaskId) {
        wire.incoming.remove(&task);
        let sense = Sense::new(SenseKey::AbortedCommand, Asc::PROTOCOL_SERVICE_CRC_ERROR);
        wire.machine.respond(task, completion(&Reply::check(sense), 0));
    }

    /// Reads as far as no disk has to be waited for; a job does the rest.
    fn read(self: &Arc<Self>, wire: &mut Wire, open: Open, offset: u64, len: u32) -> io::Result<()> {
        let task = open.command.task;
        let Some((len, transfer_len)) = self.readable(wire, &open, offset, len) else {
            return Ok(());
        };
        if len == 0 {
            wire.machine.respond(task, Completion::good(transfer_len));
            return Ok(());
        }
        let mut done = 0;
        while done < len {
            let mut buffer = self.shared.buffers.take((len - done) as usize);
            let at = offset + u64::from(done);
            let result = {
                let _gate = read(&open.lun.gate);
                open.lun.disk.read_now(buffer.as_mut_slice(), at)
            };
            match result {
                Ok(ReadNow::Done) => {}
                Ok(ReadNow::WouldBlock) => {
                    self.start_read(wire, open, offset, done, (len, transfer_len));
                    return Ok(());
                }
                Err(error) => {
                    let reply = failed(open.lun.read_failure(&error, at));
                    wire.machine.respond(task, completion(&reply, done.into()));
                    return Ok(());
                }
            }
            done += (len - done).min(LARGE_LEN as u32);
            wire.machine
                .data_in(task, buffer.freeze(), (done == len).then_some(transfer_len));
            wire.flush_if_full(&self.stream)?;
        }
        Ok(())
    }

    /// How much of a read is sent, and how much the command had to transfer. `None`: the command was answered.
    fn readable(&self, wire: &mut Wire, open: &Open, offset: u64, len: u32) -> Option<(u32, u64)> {
        let lbas = open.lun.lba(offset)..open.lun.lba(offset + u64::from(len));
        let room = open.command.data_in_room();
        match open.lun.faults.hit(lbas) {
            None => Some((len.min(room), len.into())),
            Some((lba, ReadFault::Short)) => {
                let len = (lba * u64::from(open.lun.block_size_bytes) - offset) as u32;
                Some((len.min(room), len.into()))
            }
            Some((lba, ReadFault::MediumError)) => {
                let reply = failed(IoFailure::Read { lba });
                wire.machine.respond(open.command.task, completion(&reply, 0));
                None
            }
        }
    }
}

/// Writes; an answer only if it fails.
fn write_segments(open: &Open, session: &Session, offset: u64, segments: &[Bytes]) -> Option<Reply> {
    let _gate = read(&open.lun.gate);
    if open.is_aborted(session) {
        return Some(Reply::status(Status::TASK_ABORTED));
    }
    let written = open.lun.disk.write(segments, offset);
    written
        .err()
        .map(|error| failed(open.lun.write_failure(&error, offset)))
}

/// Compares; an answer only if it fails.
fn compare_segments(open: &Open, offset: u64, at: u32, segments: &[Bytes]) -> Option<Reply> {
    let _gate = read(&open.lun.gate);
    match open.lun.disk.compare(segments, offset + u64::from(at)) {
        Ok(None) => None,
        Ok(Some(place)) => Some(failed(IoFailure::Miscompare {
            at: u64::from(at) + place,
        })),
        Err(error) => Some(failed(open.lun.read_failure(&error, offset))),
    }
}

/// What a LUN answers that nothing is behind (SPC-5 6.7.2, SAM-5 5.11).
fn without_lun(cdb: &[u8; 16], luns: &[LunBytes]) -> Reply {
    use longshore_scsi::cdb::{Cdb, opcode};
    let sense = Sense::illegal_request(Asc::LOGICAL_UNIT_NOT_SUPPORTED);
    match (cdb[0], Cdb::parse(cdb)) {
        (
            opcode::INQUIRY,
            Ok(Cdb::Inquiry {
                evpd: false,
                allocation_length,
                ..
            }),
        ) => {
            let inquiry = StandardInquiry {
                peripheral: NO_DEVICE,
                removable: false,
                version: 6,
                command_queueing: false,
                target_port_group_support: 0,
                third_party_copy: false,
                protect: false,
                vendor: String::new(),
                product: String::new(),
                revision: String::new(),
                version_descriptors: Vec::new(),
            };
            Reply::data(inquiry.to_bytes().to_vec(), allocation_length.into())
        }
        (
            _,
            Ok(Cdb::ReportLuns {
                select_report: 0 | 2,
                allocation_length,
            }),
        ) if allocation_length >= 16 => {
            Reply::data(longshore_scsi::report_luns::emit(luns), allocation_length)
        }
        (
            _,
            Ok(Cdb::RequestSense {
                descriptor,
                allocation_length,
            }),
        ) => {
            let data = if descriptor {
                sense.to_descriptor()
            } else {
                sense.to_fixed().to_vec()
            };
            Reply::data(data, allocation_length.into())
        }
        _ => Reply::check(sense),
    }
}

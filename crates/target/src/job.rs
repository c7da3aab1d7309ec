//! I/O that may take long, on threads of the pool.

use crate::connection::{Connection, Wire};
use crate::execute::{Open, completion, failed};
use crate::lun::Lun;
use crate::sync::{lock, read, write};
use crate::target::Session;
use bytes::Bytes;
use longshore_scsi::Status;
use longshore_scsi::unit::{Io, IoFailure, LbaExtent, Reply, lba_status};
use std::sync::Arc;

/// How much VERIFY reads at once.
const VERIFY_LEN: usize = 256 << 10;

impl Connection {
    /// Lets a job carry out `io`, which has used so many bytes of Data-Out.
    pub(crate) fn start_job(self: &Arc<Self>, wire: &mut Wire, open: Open, io: Io, used: u64) {
        self.submit(wire, open, move |open, session| perform(open, session, &io), used);
    }

    /// The data of a write with FUA are written; a job brings them to stable storage.
    pub(crate) fn start_flush_of_write(self: &Arc<Self>, wire: &mut Wire, open: Open, len: u32) {
        self.submit(wire, open, |open, _| flush(&open.lun), len.into());
    }

    fn submit(
        self: &Arc<Self>,
        wire: &mut Wire,
        open: Open,
        work: impl FnOnce(&Open, &Session) -> Reply + Send + 'static,
        transfer_len: u64,
    ) {
        let task = open.command.task;
        lock(&self.jobs).insert(task);
        self.spawn(wire, move |connection| {
            let Some(reply) = connection.begin(&open, work) else {
                return;
            };
            let mut wire = lock(&connection.wire);
            if reply.status == Status::GOOD && !reply.data.is_empty() {
                connection.reply(&mut wire, &open.command, reply);
            } else {
                let transferred = if reply.status == Status::GOOD {
                    transfer_len
                } else {
                    0
                };
                wire.machine.respond(task, completion(&reply, transferred));
            }
            connection.send_from_job(&mut wire);
        });
    }

    /// Carries out a job, unless its command was aborted before it began. `None`: there is nobody to answer.
    fn begin(&self, open: &Open, work: impl FnOnce(&Open, &Session) -> Reply) -> Option<Reply> {
        let (_, session) = self.place.as_ref()?;
        let _permit = session.begin_io()?;
        if !lock(&self.jobs).remove(&open.command.task) {
            return None;
        }
        Some(work(open, session))
    }

    pub(crate) fn send_from_job(&self, wire: &mut Wire) {
        if wire.flush(&self.stream).is_err() {
            // The connection's own thread learns of it from its next read.
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Reads from `done` on where it may take long, and sends piece by piece. `lens` are the length that is sent and
    /// the length that the command had to transfer.
    pub(crate) fn start_read(
        self: &Arc<Self>,
        wire: &mut Wire,
        open: Open,
        offset: u64,
        done: u32,
        lens: (u32, u64),
    ) {
        lock(&self.jobs).insert(open.command.task);
        self.spawn(wire, move |connection| {
            connection.read_job(&open, offset, done, lens)
        });
    }

    fn read_job(&self, open: &Open, offset: u64, mut done: u32, (len, transfer_len): (u32, u64)) {
        let Some((_, session)) = &self.place else { return };
        let task = open.command.task;
        if !lock(&self.jobs).remove(&task) {
            return;
        }
        while done < len {
            let Some(_permit) = session.begin_io() else { return };
            let mut buffer = self.shared.buffers.take((len - done) as usize);
            let at = offset + u64::from(done);
            let result = {
                let _gate = read(&open.lun.gate);
                if open.is_aborted(session) {
                    Err(Reply::status(Status::TASK_ABORTED))
                } else {
                    let read = open.lun.disk.read(buffer.as_mut_slice(), at);
                    read.map_err(|error| failed(open.lun.read_failure(&error, at)))
                }
            };
            let mut wire = lock(&self.wire);
            match result {
                Ok(()) => {
                    done += buffer.as_ref().len() as u32;
                    if !wire
                        .machine
                        .data_in(task, buffer.freeze(), (done == len).then_some(transfer_len))
                    {
                        return;
                    }
                }
                Err(reply) => {
                    wire.machine.respond(task, completion(&reply, done.into()));
                    done = len;
                }
            }
            self.send_from_job(&mut wire);
        }
    }
}

/// Carries out an I/O that has all its data.
fn perform(open: &Open, session: &Session, io: &Io) -> Reply {
    let lun = &open.lun;
    if let Io::AbortTasks { .. } = io {
        drop(write(&lun.gate)); // whatever the preempted nexuses had begun has ended
        return Reply::good();
    }
    if let Io::CompareAndWrite {
        offset,
        expected,
        new,
        fua,
    } = io
    {
        let _alone = write(&lun.gate);
        if open.is_aborted(session) {
            return Reply::status(Status::TASK_ABORTED);
        }
        return compare_and_write(lun, *offset, expected, new, *fua);
    }
    if let Io::Flush = io {
        return flush(lun); // it may take long, and changes nothing that anybody has to wait for
    }
    let _gate = read(&lun.gate);
    if open.is_aborted(session) {
        return Reply::status(Status::TASK_ABORTED);
    }
    match io {
        Io::WriteSame {
            offset,
            len,
            block,
            unmap: _,
            fua,
        } => write_same(lun, *offset, *len, block, *fua),
        Io::Unmap { ranges } => {
            let failure = ranges
                .iter()
                .find_map(|&(offset, len)| lun.disk.zero(offset, len).err().map(|e| (e, offset)));
            failure.map_or_else(Reply::good, |(error, offset)| {
                failed(lun.write_failure(&error, offset))
            })
        }
        Io::Verify { offset, len, .. } => verify(lun, *offset, *len),
        Io::LbaStatus {
            offset,
            max_extents,
            allocation_length,
        } => Reply::data(
            lba_status(&extents(lun, *offset, *max_extents)),
            *allocation_length,
        ),
        Io::Read { .. }
        | Io::Write { .. }
        | Io::CompareAndWrite { .. }
        | Io::AbortTasks { .. }
        | Io::Flush => failed(IoFailure::Unsupported),
    }
}

fn flush(lun: &Lun) -> Reply {
    lun.disk
        .flush()
        .map_or_else(|error| failed(lun.write_failure(&error, 0)), |()| Reply::good())
}

fn write_same(lun: &Lun, offset: u64, len: u64, block: &[u8], fua: bool) -> Reply {
    // Zeros are released whether or not UNMAP is set: they read the same, and take no space.
    let zeros = block.iter().all(|&byte| byte == 0);
    let written = if zeros {
        lun.disk.zero(offset, len)
    } else {
        lun.disk.fill(offset, len, block)
    };
    match written {
        Err(error) => failed(lun.write_failure(&error, offset)),
        Ok(()) if fua => flush(lun),
        Ok(()) => Reply::good(),
    }
}

fn compare_and_write(lun: &Lun, offset: u64, expected: &[u8], new: &[u8], fua: bool) -> Reply {
    match lun.disk.compare(&[Bytes::copy_from_slice(expected)], offset) {
        Err(error) => failed(lun.read_failure(&error, offset)),
        Ok(Some(at)) => failed(IoFailure::Miscompare { at }),
        Ok(None) => match lun.disk.write(&[Bytes::copy_from_slice(new)], offset) {
            Err(error) => failed(lun.write_failure(&error, offset)),
            Ok(()) if fua => flush(lun),
            Ok(()) => Reply::good(),
        },
    }
}

fn verify(lun: &Lun, offset: u64, len: u32) -> Reply {
    let lbas = lun.lba(offset)..lun.lba(offset + u64::from(len));
    if let Some((lba, _)) = lun.faults.hit(lbas) {
        return failed(IoFailure::Read { lba });
    }
    let mut buffer = vec![0; VERIFY_LEN.min(len as usize)];
    let mut done = 0;
    while done < u64::from(len) {
        let piece = buffer.len().min((u64::from(len) - done) as usize);
        if let Err(error) = lun.disk.read(&mut buffer[..piece], offset + done) {
            return failed(lun.read_failure(&error, offset + done));
        }
        done += piece as u64;
    }
    Reply::good()
}

/// Runs of mapped and unmapped blocks; a block that is mapped in part counts as mapped.
fn extents(lun: &Lun, offset: u64, max: u32) -> Vec<LbaExtent> {
    let size_bytes = lock(&lun.unit).config().capacity.size_bytes();
    let block = u64::from(lun.block_size_bytes);
    let mut extents: Vec<LbaExtent> = Vec::new();
    let mut at = offset;
    while at < size_bytes && extents.len() < max as usize {
        let (end, mapped) = lun.disk.extent(at, size_bytes);
        let end = if mapped {
            end.div_ceil(block) * block
        } else {
            end / block * block
        };
        if end <= at {
            // A hole that is shorter than a block.
            at = push_extent(&mut extents, at, at + block, block, true);
        } else {
            at = push_extent(&mut extents, at, end.min(size_bytes), block, mapped);
        }
    }
    extents
}

/// Adds a run, or lengthens the last one, as far as 32 bits count; gives where it ends.
fn push_extent(extents: &mut Vec<LbaExtent>, at: u64, end: u64, block: u64, mapped: bool) -> u64 {
    if let Some(last) = extents.last_mut().filter(|last| last.mapped == mapped) {
        let room = u64::from(u32::MAX - last.blocks);
        let blocks = ((end - at) / block).min(room);
        if blocks > 0 {
            last.blocks += blocks as u32;
            return at + blocks * block;
        }
    }
    let blocks = ((end - at) / block).min(u32::MAX.into());
    extents.push(LbaExtent {
        lba: at / block,
        blocks: blocks as u32,
        mapped,
    });
    at + blocks * block
}

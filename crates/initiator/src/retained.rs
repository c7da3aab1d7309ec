//! Writes that the target acknowledged but may still hold in a volatile cache, kept until it has them on stable
//! storage. If it loses its cache they are sent again, so that the next flush need neither fail nor lie.

use std::collections::VecDeque;

use longshore_scsi::cdb::Cdb;

use crate::command::{Command, Data};

/// What an entry costs beyond its data.
const ENTRY_BYTES: usize = 256;

/// The retained writes of one unit, in the order in which they were completed.
#[derive(Debug)]
pub(crate) struct Retained {
    writes: VecDeque<Command>,
    bytes: usize,
    bytes_max: usize,
    /// How many were taken in since the beginning; the number of the next one.
    taken: u64,
}

impl Retained {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Retained {
            writes: VecDeque::new(),
            bytes: 0,
            bytes_max,
            taken: 0,
        }
    }

    fn cost(command: &Command) -> usize {
        match &command.data {
            Data::Out(data) => data.len() + ENTRY_BYTES,
            Data::None | Data::In(_) => ENTRY_BYTES,
        }
    }

    /// Keeps a completed write.
    pub(crate) fn push(&mut self, command: Command) {
        self.bytes += Self::cost(&command);
        self.taken += 1;
        self.writes.push_back(command);
    }

    /// Marks the present moment: a flush that is sent now covers what was taken in until now.
    pub(crate) fn mark(&self) -> u64 {
        self.taken
    }

    /// A flush that was sent at `mark` succeeded.
    pub(crate) fn release(&mut self, mark: u64) {
        let first = self.taken - self.writes.len() as u64;
        for _ in first..mark.min(self.taken) {
            if let Some(write) = self.writes.pop_front() {
                self.bytes -= Self::cost(&write);
            }
        }
        if self.writes.is_empty() {
            self.writes = VecDeque::new();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Time to flush, so that the bound is not met.
    pub(crate) fn wants_flush(&self) -> bool {
        self.bytes > self.bytes_max / 2
    }

    /// No more writes until a flush has succeeded.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// What has to be sent again, in order.
    pub(crate) fn snapshot(&self) -> Vec<Command> {
        self.writes.iter().cloned().collect()
    }

    /// Whether the command is one that is kept: it changes blocks and does not force them to stable storage itself.
    pub(crate) fn concerns(cdb: &Cdb) -> bool {
        match cdb {
            Cdb::Write(transfer) => !transfer.fua,
            Cdb::WriteSame { .. } | Cdb::Unmap { .. } => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use longshore_scsi::lun::Lun;

    fn write(lba: u64, len: usize) -> Command {
        let data = Data::Out(Bytes::from(vec![0; len]));
        Command {
            lun: Lun::default(),
            cdb: Cdb::write(lba, 1, false),
            data,
        }
    }

    #[test]
    fn a_flush_releases_only_what_was_complete_when_it_was_sent() {
        let mut retained = Retained::new(1 << 20);
        retained.push(write(1, 512));
        retained.push(write(2, 512));
        let mark = retained.mark();
        retained.push(write(3, 512));
        retained.release(mark);
        assert_eq!(retained.snapshot(), [write(3, 512)]);
        retained.release(mark);
        assert_eq!(retained.snapshot().len(), 1, "an old mark releases nothing more");
        retained.release(retained.mark());
        assert!(retained.is_empty());
        assert_eq!(retained.bytes, 0);
    }

    #[test]
    fn it_asks_for_a_flush_before_it_is_full() {
        let mut retained = Retained::new(100_000);
        assert!(!retained.wants_flush());
        retained.push(write(0, 60_000));
        assert!(retained.wants_flush() && !retained.is_full());
        retained.push(write(0, 60_000));
        assert!(retained.is_full());
    }

    #[test]
    fn a_write_that_forces_unit_access_is_not_kept() {
        assert!(Retained::concerns(&Cdb::write(0, 1, false)));
        assert!(!Retained::concerns(&Cdb::write(0, 1, true)));
        assert!(!Retained::concerns(&Cdb::read(0, 1)));
    }
}

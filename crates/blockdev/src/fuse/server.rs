//! Serves one connection from one storage: every request becomes a future in the device's own task.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::io::Errno;
use tokio::sync::watch;

use super::abi;
use super::connection::{Connection, Incoming};
use super::request::{Operation, Request};
use crate::pool::Pool;
use crate::share::Share;
use crate::storage::{Storage, StorageError};

/// Most requests of one device under way: the kernel's `max_background` and as many that are not counted by it.
const MAX_IN_FLIGHT: usize = 512;
/// How many requests one device reads before others get their turn.
const BATCH: usize = 16;
/// What a request without data counts in the budget.
const SMALL: usize = 512;

const FALLOC_FL_KEEP_SIZE: u32 = 1;
const FALLOC_FL_PUNCH_HOLE: u32 = 2;
const FALLOC_FL_ZERO_RANGE: u32 = 16;

/// What a server is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Serve.
    Serve,
    /// Answer everything with EIO, also what is under way.
    Fail,
}

/// What a server tells.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Size of the file in bytes.
    pub(crate) size_bytes: AtomicU64,
    pub(crate) in_flight: AtomicU32,
    pub(crate) io_errors: AtomicU64,
    pub(crate) requests: AtomicU64,
}

/// One device's server.
pub(crate) struct Server<S> {
    pub(crate) connection: Arc<Connection>,
    pub(crate) storage: Arc<S>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) control: watch::Receiver<Control>,
    pub(crate) pool: Pool,
    pub(crate) share: Share,
    pub(crate) block_size_bytes: u32,
    pub(crate) read_only: bool,
    /// For traces.
    pub(crate) name: String,
}

/// A finished request.
struct Done {
    unique: u64,
    bytes: usize,
}

/// What becomes of a request.
enum Next<F> {
    Answered,
    Wait { unique: u64, bytes: usize, work: F },
    Gone,
}

impl<S: Storage> Server<S> {
    /// Serves until the file system is gone.
    ///
    /// # Errors
    /// When /dev/fuse or the pool fails; the connection is useless then.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut in_flight = FuturesUnordered::new();
        // What is under way, to be answered with EIO when the device is given up.
        let mut uniques: Vec<u64> = Vec::new();
        let connection = self.connection.clone();
        let mut control = self.control.clone();
        loop {
            let may_read = self.share.may_take() && in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                changed = control.changed() => {
                    if changed.is_err() || *control.borrow() == Control::Fail {
                        in_flight.clear();
                        uniques.drain(..).for_each(|unique| self.fail(unique, "given up", &"the device is given up"));
                        return self.refuse_everything().await;
                    }
                }
                Some(Done { unique, bytes }) = in_flight.next(), if !in_flight.is_empty() => {
                    self.share.give_back(bytes);
                    if let Some(at) = uniques.iter().position(|known| *known == unique) {
                        uniques.swap_remove(at);
                    }
                    self.counters.in_flight.store(uniques.len() as u32, Ordering::Relaxed);
                }
                guard = connection.readable(), if may_read => {
                    let mut guard = guard?;
                    for _ in 0..BATCH {
                        match self.read_one()? {
                            None => {
                                guard.clear_ready();
                                break;
                            }
                            Some(Next::Answered) => {}
                            Some(Next::Gone) => return Ok(()),
                            Some(Next::Wait { unique, bytes, work }) => {
                                self.share.take(bytes);
                                uniques.push(unique);
                                in_flight.push(work);
                            }
                        }
                        if !self.share.may_take() || in_flight.len() >= MAX_IN_FLIGHT {
                            break;
                        }
                    }
                    self.counters.in_flight.store(uniques.len() as u32, Ordering::Relaxed);
                }
            }
        }
    }

    fn read_one(&self) -> io::Result<Option<Next<impl Future<Output = Done> + Send + use<S>>>> {
        match self.connection.read(&self.pool)? {
            Incoming::Empty => Ok(None),
            Incoming::Gone => Ok(Some(Next::Gone)),
            Incoming::Request(request) => {
                self.counters.requests.fetch_add(1, Ordering::Relaxed);
                Ok(Some(self.accept(request)))
            }
        }
    }

    /// Answers what needs no storage at once, and makes a future of the rest.
    fn accept(&self, request: Request) -> Next<impl Future<Output = Done> + Send + use<S>> {
        let Request { unique, operation } = request;
        let size = self.counters.size_bytes.load(Ordering::Relaxed);
        let (bytes, range) = match &operation {
            Operation::Read { offset, len } => (*len as usize, Some((*offset, u64::from(*len)))),
            Operation::Write { offset, data } => (data.len(), Some((*offset, data.len() as u64))),
            Operation::Allocate { offset, len, .. } => (0, Some((*offset, *len))),
            Operation::Fsync => (0, None),
            _ => return self.answer_locally(unique, &operation, size),
        };
        if let Some((offset, len)) = range
            && offset.checked_add(len).is_none_or(|end| end > size)
        {
            self.fail(
                unique,
                "access",
                &format!("{len} bytes at {offset} lie beyond the device's {size}"),
            );
            return Next::Answered;
        }
        if self.read_only && matches!(operation, Operation::Write { .. } | Operation::Allocate { .. }) {
            self.connection.reply_error(unique, Errno::ROFS);
            return Next::Answered;
        }
        let job = Job {
            unique,
            connection: self.connection.clone(),
            storage: self.storage.clone(),
            counters: self.counters.clone(),
            name: self.name.clone(),
        };
        let bytes = bytes.max(SMALL);
        let work = async move {
            job.perform(operation).await;
            Done { unique, bytes }
        };
        Next::Wait { unique, bytes, work }
    }

    fn answer_locally<F>(&self, unique: u64, operation: &Operation, size: u64) -> Next<F> {
        match operation {
            Operation::GetAttr => self.connection.reply(
                unique,
                &abi::attr_out(size, self.block_size_bytes, self.read_only),
            ),
            Operation::Open => self.connection.reply(unique, &abi::open_out()),
            Operation::StatFs => self
                .connection
                .reply(unique, &abi::statfs_out(size, self.block_size_bytes)),
            Operation::Release => self.connection.reply(unique, &[]),
            Operation::Destroy => {
                self.connection.reply(unique, &[]);
                return Next::Gone;
            }
            Operation::Unanswered => {}
            Operation::Forbidden => self.connection.reply_error(unique, Errno::PERM),
            Operation::Malformed { opcode } => {
                self.fail(unique, "parse", &format!("request {opcode} is malformed"))
            }
            _ => self.connection.reply_error(unique, Errno::NOSYS),
        }
        Next::Answered
    }

    /// The end of a device that is given up: every request fails until the file system is gone.
    async fn refuse_everything(&mut self) -> io::Result<()> {
        self.counters.in_flight.store(0, Ordering::Relaxed);
        loop {
            let mut guard = self.connection.readable().await?;
            let request = match self.connection.read(&self.pool)? {
                Incoming::Empty => {
                    guard.clear_ready();
                    continue;
                }
                Incoming::Gone => return Ok(()),
                Incoming::Request(request) => request,
            };
            let size = self.counters.size_bytes.load(Ordering::Relaxed);
            match request.operation {
                Operation::Read { .. }
                | Operation::Write { .. }
                | Operation::Allocate { .. }
                | Operation::Fsync => {
                    self.fail(request.unique, "access", &"the device is given up");
                }
                other => {
                    if let Next::Gone = self.answer_locally::<()>(request.unique, &other, size) {
                        return Ok(());
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn fail(&self, unique: u64, what: &str, why: &dyn std::fmt::Display) {
        trace_error(&self.counters, &self.name, what, why);
        self.connection.reply_error(unique, Errno::IO);
    }
}

/// One request on its way through the storage.
struct Job<S> {
    unique: u64,
    connection: Arc<Connection>,
    storage: Arc<S>,
    counters: Arc<Counters>,
    name: String,
}

impl<S: Storage> Job<S> {
    async fn perform(self, operation: Operation) {
        let result = match operation {
            Operation::Read { offset, len } => return self.read(offset, len).await,
            Operation::Write { offset, data } => {
                let body = abi::write_out(data.len() as u32);
                match self.storage.write(offset, data).await {
                    Ok(()) => return self.connection.reply(self.unique, &body),
                    Err(error) => Err((error, "write")),
                }
            }
            Operation::Fsync => self.storage.flush().await.map_err(|error| (error, "flush")),
            Operation::Allocate { offset, len, mode } => self
                .allocate(offset, len, mode)
                .await
                .map_err(|error| (error, "fallocate")),
            _ => Err((StorageError::Unsupported, "access")),
        };
        match result {
            Ok(()) => self.connection.reply(self.unique, &[]),
            Err((error, what)) => self.fail(&error, what),
        }
    }

    async fn read(&self, offset: u64, len: u32) {
        match self.storage.read(offset, len).await {
            Ok(pieces) => {
                let got: usize = pieces.iter().map(bytes::Bytes::len).sum();
                if got == len as usize {
                    self.connection.reply_data(self.unique, &pieces);
                } else {
                    let text = format!("the storage gave {got} bytes instead of {len} at {offset}");
                    self.fail(&StorageError::failed(text), "read");
                }
            }
            Err(error) => self.fail(&error, "read"),
        }
    }

    /// Loop sends holes for discards and for zeroes; both read as zeros afterwards.
    async fn allocate(&self, offset: u64, len: u64, mode: u32) -> Result<(), StorageError> {
        const HOLE: u32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        const ZEROES: u32 = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
        match mode {
            HOLE => self.storage.discard(offset, len).await,
            ZEROES | FALLOC_FL_ZERO_RANGE => self.storage.write_zeroes(offset, len).await,
            _ => Err(StorageError::Unsupported),
        }
    }

    fn fail(&self, error: &StorageError, what: &str) {
        let errno = match error {
            StorageError::Unsupported => Errno::OPNOTSUPP,
            StorageError::ReadOnly => Errno::ROFS,
            StorageError::NoSpace => Errno::NOSPC,
            StorageError::Failed(_) => Errno::IO,
        };
        if !matches!(error, StorageError::Unsupported) {
            trace_error(&self.counters, &self.name, what, error);
        }
        self.connection.reply_error(self.unique, errno);
    }
}

/// Counts and traces a failure: the first few, then every thousandth, so that a dead device does not flood the log.
fn trace_error(counters: &Counters, device: &str, what: &str, why: &dyn std::fmt::Display) {
    let count = counters.io_errors.fetch_add(1, Ordering::Relaxed) + 1;
    if count <= 8 || count % 1000 == 0 {
        tracing::warn!(device, what, count, "I/O error: {why}");
    }
}

//! One /dev/fuse descriptor: requests in, answers out, never blocking.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::abi;
use super::request::{Operation, Request, is_write};
use crate::pool::Pool;

/// The end of the file system is told as an error condition alone (fs/fuse/dev.c, `fuse_dev_poll`).
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);
/// Most pieces that one `writev` takes (IOV_MAX), less the header's.
const MAX_PIECES: usize = 1023;
/// Arguments beyond the header of requests other than writes are kept up to here; only INIT's matter.
const MAX_ARGUMENTS: usize = 256;

/// What the kernel and the first server agreed on; a successor goes on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Negotiated {
    /// The kernel's minor version.
    pub(crate) kernel_minor: u32,
    /// The kernel can send unanswered requests again (6.9 and later).
    pub(crate) resend: bool,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Connection {
    fd: AsyncFd<OwnedFd>,
}

/// What a read brought.
#[derive(Debug)]
pub(super) enum Incoming {
    Request(Request),
    /// Nothing there.
    Empty,
    /// The file system is gone: unmounted or aborted.
    Gone,
}

impl Connection {
    /// Takes a non-blocking descriptor of /dev/fuse.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the `AsyncFd` owns the descriptor, which therefore stays open and the same until it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(fd, INTEREST) };
        Ok(Self {
            fd: fd.map_err(io::Error::from)?,
        })
    }

    pub(super) async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.fd.ready(INTEREST).await
    }

    /// Reads one request. Write data stays in the pool's pages, where the kernel put it.
    pub(super) fn read(&self, pool: &Pool) -> io::Result<Incoming> {
        let mut header = [0; abi::WRITE_HEADER];
        loop {
            let (data, outcome) = pool.fill(|window| {
                let mut slices = [IoSliceMut::new(&mut header), IoSliceMut::new(window)];
                match rustix::io::readv(self.fd.get_ref(), &mut slices) {
                    Ok(len) => {
                        let rest = len.saturating_sub(abi::WRITE_HEADER);
                        if is_write(&header) {
                            return (rest, Ok((len, Bytes::new())));
                        }
                        (
                            0,
                            Ok((len, Bytes::copy_from_slice(&window[..rest.min(MAX_ARGUMENTS)]))),
                        )
                    }
                    Err(error) => (0, Err(error)),
                }
            })?;
            match outcome {
                Ok((len, arguments)) => {
                    let header = &header[..len.min(abi::WRITE_HEADER)];
                    let data = if is_write(header) { data } else { arguments };
                    return Ok(Incoming::Request(Request::parse(header, data)));
                }
                Err(Errno::AGAIN) => return Ok(Incoming::Empty),
                Err(Errno::NODEV) => return Ok(Incoming::Gone),
                // ENOENT: the request was given up while it was read.
                Err(Errno::INTR | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for INIT and answers it.
    pub(crate) async fn handshake(&self, pool: &Pool) -> io::Result<Negotiated> {
        loop {
            let mut guard = self.fd.ready(INTEREST).await?;
            match self.read(pool)? {
                Incoming::Empty => guard.clear_ready(),
                Incoming::Gone => {
                    return Err(io::Error::new(
                        io::ErrorKind::NotConnected,
                        "the FUSE mount is gone before INIT",
                    ));
                }
                Incoming::Request(Request {
                    unique,
                    operation:
                        Operation::Init {
                            major,
                            minor,
                            max_readahead,
                            flags,
                            flags2,
                        },
                }) => {
                    return self.answer_init(unique, (major, minor), max_readahead, flags, flags2);
                }
                Incoming::Request(other) => {
                    return Err(io::Error::other(format!("the kernel sent {other:?} before INIT")));
                }
            }
        }
    }

    fn answer_init(
        &self,
        unique: u64,
        version: (u32, u32),
        max_readahead: u32,
        flags: u32,
        flags2: u32,
    ) -> io::Result<Negotiated> {
        let (major, minor) = version;
        if major != abi::FUSE_KERNEL_VERSION || minor < abi::OLDEST_MINOR_VERSION {
            self.reply_error(unique, Errno::PROTO);
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "the kernel speaks FUSE {major}.{minor}; 7.{} is needed",
                    abi::OLDEST_MINOR_VERSION
                ),
            ));
        }
        let wanted = abi::FUSE_ASYNC_READ
            | abi::FUSE_BIG_WRITES
            | abi::FUSE_ASYNC_DIO
            | abi::FUSE_MAX_PAGES
            | abi::FUSE_INIT_EXT;
        let extended = flags & abi::FUSE_INIT_EXT != 0;
        let agreed2 = if extended {
            flags2 & abi::FUSE_HAS_RESEND_FLAGS2
        } else {
            0
        };
        let body = abi::init_out(
            abi::FUSE_KERNEL_MINOR_VERSION,
            max_readahead,
            flags & wanted,
            agreed2,
        );
        self.send(unique, 0, &[IoSlice::new(&body)])
            .map_err(io::Error::from)?;
        Ok(Negotiated {
            kernel_minor: minor,
            resend: agreed2 != 0,
        })
    }

    pub(super) fn reply(&self, unique: u64, body: &[u8]) {
        self.answer(unique, 0, &[IoSlice::new(body)]);
    }

    pub(super) fn reply_error(&self, unique: u64, error: Errno) {
        self.answer(unique, -error.raw_os_error(), &[]);
    }

    /// Answers with data from where it lies.
    pub(super) fn reply_data(&self, unique: u64, pieces: &[Bytes]) {
        if pieces.len() > MAX_PIECES {
            let joined: Vec<u8> = pieces.concat();
            return self.reply(unique, &joined);
        }
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.answer(unique, 0, &slices);
    }

    fn answer(&self, unique: u64, error: i32, body: &[IoSlice<'_>]) {
        match self.send(unique, error, body) {
            Ok(()) => {}
            // ENOENT: nobody waits for it any more. ENODEV: the file system is gone, as the next read will tell.
            Err(Errno::NOENT | Errno::NODEV) => {}
            Err(errno) => {
                tracing::error!(unique, %errno, "the kernel did not take the answer to a FUSE request; answering EIO");
                if let Err(errno) = self.send(unique, -Errno::IO.raw_os_error(), &[]) {
                    tracing::error!(unique, %errno, "nor EIO");
                }
            }
        }
    }

    fn send(&self, unique: u64, error: i32, body: &[IoSlice<'_>]) -> Result<(), Errno> {
        let len = body.iter().map(|slice| slice.len()).sum();
        let header = abi::out_header(len, error, unique);
        let mut slices = Vec::with_capacity(body.len() + 1);
        slices.push(IoSlice::new(&header));
        slices.extend_from_slice(body);
        loop {
            match rustix::io::writev(self.fd.get_ref(), &slices) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the kernel to send again what the former server took and did not answer. That server must be dead: its
    /// answers would be refused, and its work done twice.
    pub(crate) fn resend(&self) -> io::Result<()> {
        Ok(self.send(0, abi::FUSE_NOTIFY_RESEND, &[])?)
    }

    /// Makes the kernel forget the file's attributes (its size).
    pub(crate) fn forget_attributes(&self) -> io::Result<()> {
        Ok(self.send(
            0,
            abi::FUSE_NOTIFY_INVAL_INODE,
            &[IoSlice::new(&abi::inval_attributes())],
        )?)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

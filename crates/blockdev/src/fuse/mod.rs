//! A FUSE server of one regular file: the file is the root of a mount that is attached nowhere.

mod abi;
mod connection;
mod mount;
mod request;
mod server;

pub(crate) use connection::{Connection, Negotiated};
pub(crate) use mount::mount_detached;
pub(crate) use server::{Control, Counters, Server};

/// Largest write in one request, in bytes; also the largest read (256 pages).
pub(crate) const MAX_WRITE: usize = 1 << 20;

//! Why a server does not start, or a logical unit cannot be changed.

use longshore_iscsi::chap::CredentialsError;
use longshore_iscsi::name::NameError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The server was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is configured cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A logical unit cannot be served.
    #[error("target {target}: {source}")]
    Lun {
        /// The target's name.
        target: String,
        /// Why.
        #[source]
        source: LunError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address, or port 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// A configuration that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is nothing to listen on.
    #[error("no address to listen on is given")]
    NoPortal,
    /// Two targets have one name.
    #[error("two targets are named {0}; give each its own name")]
    SameName(String),
    /// A name breaks the grammar of iSCSI names.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A CHAP account cannot be used.
    #[error(transparent)]
    Chap(#[from] CredentialsError),
}

/// A logical unit cannot be served or changed.
#[derive(Debug, thiserror::Error)]
pub enum LunError {
    /// The number is out of range.
    #[error("LUN {0} is too large: LUNs go from 0 to 16383")]
    Number(u16),
    /// The number is taken.
    #[error("LUN {0} is there already; give the new one another number, or replace it")]
    Taken(u16),
    /// There is no such logical unit.
    #[error("there is no LUN {0}")]
    Missing(u16),
    /// Two logical units have one WWID: initiators would take them for one disk and mix up their data.
    #[error(
        "LUN {number} ({path}) has the WWID {wwid}, which {other} has already. If the file was copied with its sidecar, \
         remove the copy's sidecar {path}.longshore, so that the copy gets a WWID of its own; if both are the same \
         file, serve it once"
    )]
    SameWwid {
        /// The LUN's number.
        number: u16,
        /// Its file.
        path: String,
        /// The WWID.
        wwid: String,
        /// Who has it.
        other: String,
    },
    /// The file behind it cannot be used.
    #[error("LUN {number}: {source}")]
    Disk {
        /// The LUN's number.
        number: u16,
        /// Why.
        #[source]
        source: DiskError,
    },
}

/// A file that cannot be used as a disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A system call failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file is not there, and no size is given to create it with.
    #[error("{} does not exist; give its size to have it created", .0.display())]
    Missing(PathBuf),
    /// Somebody else serves the file.
    #[error("{} is in use by another target; two servers of one file would destroy its data", .0.display())]
    InUse(PathBuf),
    /// The size is no whole number of blocks, or nothing.
    #[error("{}: a size of {size_bytes} bytes is no whole number of blocks of {block_size_bytes} bytes", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// Length of a block.
        block_size_bytes: u32,
    },
    /// The block length is neither 512 nor 4096.
    #[error("blocks of {0} bytes are not possible: choose 512 or 4096")]
    BlockSize(u32),
    /// The sidecar does not hold what it should.
    #[error(
        "the sidecar {} is damaged: {reason}. Restore it, so that the disk keeps its WWID; without it the disk becomes \
         another one to its initiators",
        path.display()
    )]
    Sidecar {
        /// The sidecar.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The sidecar cannot be written.
    #[error(
        "cannot write the sidecar {}: {source}; make its directory writable, or give the LUN a WWID in the configuration",
        path.display()
    )]
    SidecarWrite {
        /// The sidecar.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A WWID in the configuration that cannot be one.
    #[error("{0:?} is no WWID for a LUN: expected naa.6 and 31 further hexadecimal digits")]
    Wwid(String),
    /// A read-only disk cannot change its size.
    #[error("{} is read-only, its size cannot be changed", .0.display())]
    ReadOnly(PathBuf),
}

/// Not every thread had ended at the deadline.
#[derive(Debug, thiserror::Error)]
#[error("{threads} threads of the target had not ended at the deadline; an I/O of theirs hangs")]
pub struct StopError {
    /// How many.
    pub threads: usize,
}

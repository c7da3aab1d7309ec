//! What an exporter is: it makes a block device of a storage.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::descriptors::{DescriptorStore, Kept};
use crate::fuse_loop::Device;
use crate::storage::Storage;

/// How a device is to be made.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Names the device among all of this host, also in the kernel; 1 to 40 bytes of `[a-z0-9-]`.
    pub name: String,
    /// The device refuses writes (as it does when the storage is read-only).
    pub read_only: bool,
    /// Until when the device must be there.
    pub deadline: Instant,
}

/// Makes block devices of storages. nbd and ublk are further implementations.
pub trait Exporter {
    /// Makes a device. It is kept by `store` before this returns.
    fn export<S: Storage, D: DescriptorStore>(
        &self,
        storage: Arc<S>,
        options: ExportOptions,
        store: &D,
    ) -> impl Future<Output = Result<Device, ExportError>>;

    /// Goes on serving a device whose former server is dead. The storage must be the same as before, proved.
    ///
    /// # Errors
    /// The device stays kept by its store then.
    fn resume<S: Storage>(&self, storage: Arc<S>, kept: Kept) -> Result<Device, ExportError>;
}

/// Why a device could not be made, resumed, resized or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Not possible with this storage or these options.
    #[error("cannot make a block device of this: {0}")]
    Invalid(String),
    /// The host refused.
    #[error("cannot {what}: {source}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The descriptors could not be kept.
    #[error("cannot hand the device's descriptors over for safe keeping: {0}")]
    Store(io::Error),
    /// Somebody uses the device.
    #[error("{device} is in use")]
    Busy {
        /// Its node.
        device: String,
    },
    /// The device could not be flushed.
    #[error("cannot flush {device}: {source}")]
    Flush {
        /// Its node.
        device: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel cannot hand unanswered requests to a successor.
    #[error(
        "this kernel cannot send unanswered requests again (Linux 6.9 and later can); the device must be given up"
    )]
    NoResend,
}

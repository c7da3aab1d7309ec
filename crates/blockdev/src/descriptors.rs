//! A device's descriptors: what keeps them for a successor, and in which order they are numbered.
//!
//! When a process dies, the kernel drops its descriptors from the highest number to the lowest (fs/file.c queues them,
//! `task_work_run` takes the last first). A loop device's last close may wait for writes that nobody would answer, so
//! descriptors of /dev/fuse, whose last close ends all waiting, are numbered above all others.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::exporter::ExportError;
use crate::fuse::Negotiated;
use crate::fuse_loop;

/// Everything besides the descriptors that a successor needs to serve a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The device's name in its exporter; also the loop device's marker.
    pub name: String,
    /// Number of the loop device.
    pub loop_number: u32,
    /// Size in bytes when the record was written.
    pub size_bytes: u64,
    /// Logical block size in bytes.
    pub block_size_bytes: u32,
    /// The device refuses writes.
    pub read_only: bool,
    /// What the kernel and the first server agreed on.
    pub(crate) negotiated: Negotiated,
}

/// Number of descriptors of a device.
pub const DESCRIPTORS: usize = 3;

/// A device's descriptors, lent to a [`DescriptorStore`].
#[derive(Debug)]
pub struct Handover<'a> {
    /// What a successor must know.
    pub record: &'a Record,
    /// /dev/fuse, the backing file, the loop device.
    pub descriptors: [BorrowedFd<'a>; DESCRIPTORS],
}

/// A device that a store kept.
#[derive(Debug)]
pub struct Kept {
    /// What is known about it.
    pub record: Record,
    pub(crate) fuse: OwnedFd,
    pub(crate) file: OwnedFd,
    pub(crate) loop_device: OwnedFd,
}

impl Kept {
    /// Puts together what a store gave back, descriptors in the order of [`Handover::descriptors`].
    ///
    /// # Errors
    /// When their number is wrong, or none is left for the one of /dev/fuse.
    pub fn new(record: Record, descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let count = descriptors.len();
        let [fuse, file, loop_device] = <[OwnedFd; DESCRIPTORS]>::try_from(descriptors).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has {count} descriptors instead of {DESCRIPTORS}", record.name),
            )
        })?;
        Ok(Self {
            record,
            fuse: lift(fuse)?,
            file,
            loop_device,
        })
    }
}

impl Kept {
    /// Whether a successor can serve the device: the kernel can send unanswered requests again (6.9 and later).
    pub fn is_resumable(&self) -> bool {
        self.record.negotiated.resend
    }

    /// Gives the device up without serving it: what the kernel holds back for it fails. Only when nobody uses it.
    ///
    /// # Errors
    /// [`ExportError::Busy`] and others; the device comes back then, unless it was given up half-way.
    pub async fn give_up<D: DescriptorStore>(
        self,
        store: &D,
        deadline: Instant,
    ) -> Result<(), (Option<Box<Self>>, ExportError)> {
        match fuse_loop::claim(&self.record, deadline).await {
            Ok(true) => {}
            Ok(false) => {
                let device = format!("/dev/loop{}", self.record.loop_number);
                return Err((Some(Box::new(self)), ExportError::Busy { device }));
            }
            Err(error) => return Err((Some(Box::new(self)), error)),
        }
        if let Err(error) = store.release(&self.record.name).await {
            return Err((Some(Box::new(self)), ExportError::Store(error)));
        }
        let Self {
            record,
            fuse,
            file,
            loop_device,
        } = self;
        // The last descriptor of /dev/fuse: from here on nothing waits, and the rest can be closed.
        drop(fuse);
        fuse_loop::dispose(&record, file, loop_device, deadline)
            .await
            .map_err(|error| (None, error))
    }
}

/// Keeps the descriptors of devices so that they outlive this process.
pub trait DescriptorStore: Send + Sync {
    /// Keeps a device, or replaces what is kept under its name. When this returns, it is safe.
    fn keep(&self, device: &Handover<'_>) -> impl Future<Output = io::Result<()>> + Send;

    /// Closes what is kept under this name. When this returns, it is closed.
    fn release(&self, name: &str) -> impl Future<Output = io::Result<()>> + Send;
}

/// Moves a descriptor of /dev/fuse above all others.
///
/// # Errors
/// When there is no number left.
pub fn lift(fd: OwnedFd) -> io::Result<OwnedFd> {
    let lifted = rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), fuse_base())?;
    Ok(lifted)
}

/// The lowest number of a descriptor of /dev/fuse: raises the soft limit to the hard one first, so that both parts
/// have room for thousands of devices.
pub(crate) fn fuse_base() -> i32 {
    static BASE: OnceLock<i32> = OnceLock::new();
    *BASE.get_or_init(|| {
        // More would only cost memory for the kernel's table of descriptors.
        const ENOUGH: u64 = 1 << 14;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
        let soft = current.unwrap_or(ENOUGH);
        if soft < wanted {
            // Where this fails, the limit in force is used below.
            let _ = setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: Some(wanted),
                    maximum,
                },
            );
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(ENOUGH).min(ENOUGH);
        i32::try_from(limit / 4 * 3).unwrap_or(768)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_fuse_descriptor_is_numbered_above_all_others() {
        let (one, other) = rustix::pipe::pipe().unwrap();
        let one = lift(one).unwrap();
        assert!(one.as_raw_fd() >= fuse_base());
        assert!(other.as_raw_fd() < fuse_base());
    }
}

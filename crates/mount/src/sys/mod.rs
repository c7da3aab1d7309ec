//! The only unsafe module of this crate: a child process for calls that may hang, and what rustix lacks.
//!
//! # Why a child process and not a thread
//!
//! A mount, an umount or a look-up can wait in the kernel without a limit, and a wait on a disk cannot be
//! interrupted by any signal. A thread that is stuck so can be left behind, but the process that it belongs to
//! can then not end: its parent waits until the disk answers. A child process can be left behind without that:
//! it is killed at the deadline, it ends as soon as the kernel lets go, and what it made is dissolved with its
//! descriptors, for a detached mount exists only as long as a descriptor of it. `setns` to a mount namespace also
//! asks for a single-threaded process, which a child is (F32, F41).

#![allow(unsafe_code)]

mod attributes;
mod btrfs;
mod child;
mod jobs;

pub(crate) use attributes::{make_private, set_attributes};
pub(crate) use btrfs::filesystem_id;
pub(crate) use child::ChildError;
pub(crate) use jobs::{Job, Step, run};

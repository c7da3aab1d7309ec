//! Detached mounts, their placement in any mount namespace, mountinfo, and safe target directories.
//!
//! The way of a mount: [`mount_filesystem`] makes a [`DetachedMount`] (nobody can see it yet), or
//! [`DetachedMount::clone_of`] takes a bind mount of one that is placed; [`TargetDirectory`] proves that a
//! directory may be mounted over; [`DetachedMount::place`] moves the mount there, in whichever mount namespace
//! that is, and looks the result up in that namespace's mountinfo before it says that it is done.
//! The way back is [`unmount_all_layers`], which reads mountinfo only and never the mounted file system.
//!
//! Every call that may hang in the kernel runs in a child process with the caller's deadline: see [`sys`].

pub mod device;
pub mod health;
pub mod holders;
pub mod mountinfo;
pub mod namespace;
pub mod options;
pub mod sys;
pub mod target;

mod detached;
mod filesystem;
mod kmsg;
mod place;
mod unmount;

pub use detached::{CloneError, DetachedMount};
pub use device::DeviceNumber;
pub use filesystem::{DuplicateUuid, MountError, MountRequest, mount_filesystem};
pub use mountinfo::{MountEntry, MountInfo};
pub use namespace::MountNamespace;
pub use options::{MountOptions, OptionDefaults, OptionError};
pub use place::{PlaceError, PlacedMount};
pub use target::{Created, TargetDirectory, TargetError, TargetRoot};
pub use unmount::{UnmountError, UnmountOptions, Unmounted, unmount_all_layers};

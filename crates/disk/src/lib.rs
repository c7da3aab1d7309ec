//! What is on a block device: the probe, the format gate, mkfs, fsck, grow.
//!
//! [`probe()`] says what a device holds and never guesses: "blank" is a proof, "unknown" is everything that could not
//! be read. [`gate::format`] is the only way to a new file system. [`fsck::check`] and [`grow::grow`] act on a
//! file system that was probed before. [`tools`] alone runs external commands.

#![forbid(unsafe_code)]

pub mod device;
pub mod fs;
pub mod fsck;
pub mod gate;
pub mod grow;
pub mod probe;
pub mod tools;

mod mkfs;

pub use device::{Device, DeviceError, ReadAt};
pub use fs::{FileSystem, FsState, FsType, FsUuid};
pub use gate::{
    FormatError, FormatPolicy, FormatRecord, FormatRequest, Formatted, Refusal, VerifiedIdentity, format,
    may_format,
};
pub use probe::{Content, Other, ProbeError, probe, probe_path};
pub use tools::{ToolError, Tools};

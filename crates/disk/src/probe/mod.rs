//! The probe: what a device holds, read from the device itself, with no helper (F1).
//!
//! First every known super block's own place is looked at (`signatures.rs`, `raid.rs`, and one file for
//! each file system that volumes use). One file system and nothing beside it is [`Content::FileSystem`]. Any other signature, or two at
//! once, is [`Content::Other`]. When there is none, every byte of [`places`] is read: all of them zero is
//! [`Content::Blank`], one that is not is `Other` again, named by the backup super blocks that stand there, if any.
//! A read that fails, comes short or is late is [`Content::Unknown`], whatever was found before it.

pub mod places;

mod btrfs;
mod bytes;
mod ext;
mod raid;
mod reader;
mod remains;
mod signatures;
mod xfs;

use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use crate::device::{Device, DeviceError, ReadAt};
use crate::fs::FileSystem;
use reader::Reader;

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Every byte of [`places`] was read successfully and is zero.
    Blank,
    /// One file system that volumes can use, and no other signature beside it.
    FileSystem(FileSystem),
    /// Anything else: another file system, a partition table, a member of something, several at once, plain data.
    Other(Other),
    /// Not known, because the device could not be read. Never to be taken for blank.
    Unknown(ProbeError),
}

/// Something that is not a volume's file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Its name, as a phrase: "a LUKS2 header", "data without a known signature".
    pub name: String,
    /// Byte offset of what gave it away.
    pub at: u64,
    /// What else was found, with its offset.
    pub also: Vec<(String, u64)>,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {})", self.name, self.at)?;
        for (name, at) in &self.also {
            write!(f, " and {name} (at byte {at})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("nothing (every probed byte is zero)"),
            Self::FileSystem(found) => found.fmt(f),
            Self::Other(other) => other.fmt(f),
            Self::Unknown(error) => write!(f, "unknown content: {error}"),
        }
    }
}

/// Why the content is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// A read failed.
    #[error("reading {len} bytes at byte {offset} failed: {reason}")]
    Read {
        /// Byte offset.
        offset: u64,
        /// How many bytes were asked for.
        len: usize,
        /// Why.
        reason: String,
    },
    /// A read gave fewer bytes than the device has there.
    #[error("reading {wanted} bytes at byte {offset} gave only {got}")]
    Short {
        /// Byte offset.
        offset: u64,
        /// How many bytes were asked for.
        wanted: usize,
        /// How many came.
        got: usize,
    },
    /// The probe was not done before its deadline.
    #[error("the device did not answer before the deadline")]
    Deadline,
    /// The device has no bytes.
    #[error("the device has a size of 0 bytes")]
    Empty,
    /// It could not be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// No thread could be made to read it.
    #[error("cannot start the probe: {0}")]
    Start(String),
}

/// Something that was found at its own place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    FileSystem(FileSystem),
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    what: Finding,
    at: u64,
}

impl Found {
    fn named(name: impl Into<String>, at: u64) -> Self {
        Self {
            what: Finding::Named(name.into()),
            at,
        }
    }

    fn name(&self) -> String {
        match &self.what {
            Finding::FileSystem(fs) => format!("{} {fs}", article(fs)),
            Finding::Named(name) => name.clone(),
        }
    }
}

fn article(fs: &FileSystem) -> &'static str {
    if fs.fs_type.name().starts_with(['a', 'e', 'i', 'o', 'x']) {
        "an"
    } else {
        "a"
    }
}

/// Probes `source`, which has `size_bytes` bytes.
///
/// `deadline` is looked at between reads; a read that hangs is the caller's matter, see [`probe_path`].
pub fn probe(source: &dyn ReadAt, size_bytes: u64, deadline: Instant) -> Content {
    match try_probe(source, size_bytes, deadline) {
        Ok(content) => content,
        Err(error) => Content::Unknown(error),
    }
}

fn try_probe(source: &dyn ReadAt, size_bytes: u64, deadline: Instant) -> Result<Content, ProbeError> {
    if size_bytes == 0 {
        return Err(ProbeError::Empty);
    }
    let mut reader = Reader::new(source, size_bytes, deadline);
    let found = find_all(&mut reader)?;
    if !found.is_empty() {
        return Ok(conclude(found, size_bytes));
    }
    match reader.first_nonzero(&places::places(size_bytes))? {
        None => Ok(Content::Blank),
        Some(at) => {
            let mut remains = remains::name(&mut reader)?;
            let (name, at) = match remains.is_empty() {
                true => ("data without a known signature".to_owned(), at),
                false => remains.remove(0),
            };
            Ok(Content::Other(Other {
                name,
                at,
                also: remains,
            }))
        }
    }
}

fn find_all(reader: &mut Reader<'_>) -> Result<Vec<Found>, ProbeError> {
    let mut found = Vec::new();
    found.extend(ext::find(reader)?);
    found.extend(xfs::find(reader)?);
    found.extend(btrfs::find(reader)?);
    signatures::find(reader, &mut found)?;
    raid::find(reader, &mut found)?;
    Ok(found)
}

/// One file system, or what stands in its way.
///
/// A signature inside the area that the only file system claims, near the device's end, is that file system's data (a
/// file may hold an image of a disk). One in the head, or beyond the file system's end, is not.
fn conclude(mut found: Vec<Found>, size_bytes: u64) -> Content {
    let file_systems: Vec<FileSystem> = found
        .iter()
        .filter_map(|f| match &f.what {
            Finding::FileSystem(fs) => Some(fs.clone()),
            Finding::Named(_) => None,
        })
        .collect();
    if let [fs] = file_systems.as_slice() {
        let tail = size_bytes
            .saturating_sub(places::TAIL_BYTES)
            .max(places::HEAD_BYTES);
        found.retain(|f| matches!(f.what, Finding::FileSystem(_)) || f.at < tail || f.at >= fs.size_bytes);
    }
    let mut names: Vec<(String, u64)> = Vec::new();
    for one in &found {
        if !names.iter().any(|(name, _)| *name == one.name()) {
            names.push((one.name(), one.at));
        }
    }
    match (found.as_slice(), file_systems.as_slice()) {
        ([_], [fs]) => {
            let mut fs = fs.clone();
            fs.state.exceeds_device = fs.size_bytes > size_bytes;
            Content::FileSystem(fs)
        }
        _ => {
            let (name, at) = names.remove(0);
            Content::Other(Other {
                name,
                at,
                also: names,
            })
        }
    }
}

/// Opens and probes the device at `path`, in a thread that is left behind at the deadline.
///
/// A thread that hangs in a read ends when the device answers or fails; the process can end only after it.
/// Not meant for a device that is mounted read-write: its super block may be seen half-way through a change, which
/// gives a wrong checksum and so [`Content::Other`].
pub fn probe_path(path: &Path, deadline: Instant) -> Content {
    let path = path.to_owned();
    match in_thread(deadline, move || {
        let device = Device::open(&path)?;
        Ok(probe(&device, device.size_bytes(), deadline))
    }) {
        Ok(content) => content,
        Err(error) => Content::Unknown(error),
    }
}

/// Runs `work` in a thread; [`ProbeError::Deadline`] when it is late.
pub(crate) fn in_thread<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> Result<T, ProbeError> + Send + 'static,
) -> Result<T, ProbeError> {
    let (send, receive) = mpsc::sync_channel(1);
    let job = move || {
        // Nobody listens any more when the deadline has passed.
        let _ = send.send(work());
    };
    std::thread::Builder::new()
        .name("probe".into())
        .spawn(job)
        .map_err(|e| ProbeError::Start(e.to_string()))?;
    match receive.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(ProbeError::Deadline),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(ProbeError::Start("the probe's thread died".into())),
    }
}

#[cfg(test)]
mod tests;

//! The journal: what the kernel cannot tell. Who asked for what, which step was about to be taken, and what a LUN
//! was known to be. Never a secret.

mod envelope;
mod record;
mod store;
#[cfg(test)]
mod tests;

pub use record::{
    BlockUse, DeviceRecord, FormatMark, LunRecord, PendingStep, PublicationRecord, StagingRecord,
    VolumeRecord,
};
pub use store::{Journal, Place};

use std::path::PathBuf;

/// Why the journal could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("cannot {what} the journal file {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A record is damaged. It is never taken for an absent one.
    #[error(
        "the journal record {path} is damaged ({reason}); nothing was done. Look at the volume with `longshore show`; when nothing of it is mounted or attached, `longshore forget` puts the record aside"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record was written by a newer version.
    #[error(
        "the journal record {path} is of version {found}, this program reads up to {known}; use the newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its major version.
        found: u32,
        /// The greatest that is known here.
        known: u32,
    },
}

//! `VolumeError`: everything that can go wrong with a volume, and the one `ErrorKind` that front ends map.

use crate::backend::BackendError;
use crate::host::HostError;
use crate::journal::JournalError;
use crate::lock::Holder;
use crate::model::{FieldDifference, VolumeId};
use crate::progress::Step;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why an operation on a volume failed. Every text says what was tried, on what, why it failed and what to do; none
/// holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// A field of the specification breaks its grammar.
    #[error("{field} is not valid: {reason}")]
    InvalidField {
        /// The field, in Kubernetes' spelling.
        field: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No such volume on this node.
    #[error("there is no volume {id} on this node; `longshore ls` lists what there is")]
    UnknownVolume {
        /// What was asked for.
        id: VolumeId,
    },
    /// Nothing of ours is published there.
    #[error("no volume is published at {target}")]
    NotPublished {
        /// The directory.
        target: PathBuf,
    },
    /// The volume (or another one on the same LUN) is in use with other parameters.
    #[error("volume {id} cannot be used as asked: its LUN is in use by {user}, and {}; take that down first, or ask for the same", list(.differences))]
    Conflict {
        /// The volume that was asked for.
        id: VolumeId,
        /// The volume that uses the LUN (the same one, perhaps).
        user: VolumeId,
        /// What differs.
        differences: Vec<FieldDifference>,
    },
    /// Somebody still uses it, so it cannot be taken down.
    #[error("volume {id} is in use: {by}; {remedy}")]
    InUse {
        /// The volume.
        id: VolumeId,
        /// Who uses it.
        by: String,
        /// What to do first.
        remedy: String,
    },
    /// Another volume, or something foreign, is at the target directory.
    #[error("{target} is taken: {by}")]
    TargetTaken {
        /// The directory.
        target: PathBuf,
        /// By whom.
        by: String,
    },
    /// The target directory cannot be one (a symbolic link, not empty, a mount, absent).
    #[error("{target} cannot be a volume's directory: {reason}")]
    TargetUnusable {
        /// The directory.
        target: PathBuf,
        /// Why.
        reason: String,
    },
    /// Publish without a stage.
    #[error("volume {id} is not staged on this node; stage it before it is published")]
    NotStaged {
        /// The volume.
        id: VolumeId,
    },
    /// It is not the disk, or not the file system, that it was or should be (F3).
    #[error(
        "volume {id}: the {what} is {found}, but {expected_by} says {expected}; nothing was mounted or written. If this change is meant, {remedy}"
    )]
    IdentityChanged {
        /// The volume.
        id: VolumeId,
        /// "WWID" or "file system UUID".
        what: &'static str,
        /// What was found.
        found: Box<str>,
        /// What should have been.
        expected: String,
        /// Who says so.
        expected_by: &'static str,
        /// How to accept it.
        remedy: Box<str>,
    },
    /// The backend found another disk than expected, and did not make a device of it (F3).
    #[error(
        "volume {id}: it is another disk: {reason}; {expected_by} says {expected}. Nothing was mounted or written. If this change is meant, {remedy}"
    )]
    OtherDisk {
        /// The volume.
        id: VolumeId,
        /// What the backend found.
        reason: String,
        /// What should have been.
        expected: String,
        /// Who says so.
        expected_by: &'static str,
        /// How to accept it.
        remedy: String,
    },
    /// The format gate said no.
    #[error("volume {id}: {device} was not formatted: {reason}")]
    FormatRefused {
        /// The volume.
        id: VolumeId,
        /// The device.
        device: String,
        /// Why, and how to allow it if it can be.
        reason: String,
    },
    /// Something else than asked for is on the device.
    #[error("volume {id}: {device} holds {found}, not {wanted}; it was left as it is")]
    WrongContent {
        /// The volume.
        id: VolumeId,
        /// The device.
        device: String,
        /// What is there.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// What is on the device could not be read, so nothing was done to it (F1).
    #[error(
        "volume {id}: what is on {device} could not be read ({reason}); unknown is not blank, so it was left as it is"
    )]
    ContentUnknown {
        /// The volume.
        id: VolumeId,
        /// The device.
        device: String,
        /// Why.
        reason: String,
    },
    /// The LUN is write-protected and was asked for read-write.
    #[error("volume {id}: {reason}; ask for it read-only")]
    ReadOnlyDevice {
        /// The volume.
        id: VolumeId,
        /// Who says that it is read-only.
        reason: String,
    },
    /// The mount is dead (aborted, its device gone) and somebody still uses it (F9).
    #[error(
        "volume {id}: its mount at {path} is dead ({reason}) and {users}; take those down, then it is mounted anew"
    )]
    DeadMount {
        /// The volume.
        id: VolumeId,
        /// The staging directory.
        path: PathBuf,
        /// What happened.
        reason: String,
        /// Who uses it.
        users: String,
    },
    /// After an operation the kernel does not show what it should (F7, F8).
    #[error("volume {id}: {path} was checked after the step and {found}; {remedy}")]
    NotAsExpected {
        /// The volume.
        id: VolumeId,
        /// Where.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// Another call works on it, for longer than this caller can wait (F37).
    #[error("{what} is being worked on by {}; waited {:.1} s", holder_text(.holder), .waited.as_secs_f64())]
    Locked {
        /// The volume, LUN or directory.
        what: String,
        /// Who holds it, as far as known.
        holder: Option<Holder>,
        /// How long this call waited.
        waited: Duration,
    },
    /// The caller's deadline passed before a step.
    #[error(
        "volume {id}: the time allowed was over before the step {step}; what was done is recorded, and the same call goes on from there"
    )]
    DeadlinePassed {
        /// The volume.
        id: VolumeId,
        /// The step that was not begun.
        step: Step,
    },
    /// The backend failed.
    #[error("volume {id}: {step}: {source}")]
    Backend {
        /// The volume.
        id: VolumeId,
        /// While doing what.
        step: Step,
        /// Why.
        source: BackendError,
    },
    /// Disk or mount work failed.
    #[error("volume {id}: {step}: {source}")]
    Host {
        /// The volume.
        id: VolumeId,
        /// While doing what.
        step: Step,
        /// Why.
        source: HostError,
    },
    /// The machine could not be looked at.
    #[error(transparent)]
    Machine(HostError),
    /// The journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A directory or file of the engine's own could not be used.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Tear-down went on after an error; these are all of them.
    #[error(transparent)]
    Several(#[from] ErrorList),
}

/// What kind of failure it is: the one thing that front ends map, to exit codes and gRPC codes, in one place each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is malformed (CSI: INVALID_ARGUMENT).
    Invalid,
    /// What was named does not exist (NOT_FOUND).
    NotFound,
    /// The volume exists with other parameters (ALREADY_EXISTS).
    Conflict,
    /// Somebody uses it, or a precondition does not hold (FAILED_PRECONDITION).
    InUse,
    /// Refused to protect data: identity, content, the format gate (FAILED_PRECONDITION).
    Refused,
    /// The target refused the credentials (UNAUTHENTICATED).
    Authentication,
    /// The storage cannot be reached now (UNAVAILABLE).
    Unreachable,
    /// The caller's time was over (DEADLINE_EXCEEDED).
    Deadline,
    /// Another call works on it (ABORTED).
    Busy,
    /// This host lacks something (FAILED_PRECONDITION).
    Unsupported,
    /// The journal is damaged or from a newer version (DATA_LOSS).
    Journal,
    /// A local failure (INTERNAL).
    Internal,
}

impl VolumeError {
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            VolumeError::InvalidField { .. } | VolumeError::TargetUnusable { .. } => ErrorKind::Invalid,
            VolumeError::UnknownVolume { .. } | VolumeError::NotPublished { .. } => ErrorKind::NotFound,
            VolumeError::Conflict { .. } | VolumeError::TargetTaken { .. } => ErrorKind::Conflict,
            VolumeError::InUse { .. } | VolumeError::NotStaged { .. } | VolumeError::DeadMount { .. } => {
                ErrorKind::InUse
            }
            VolumeError::IdentityChanged { .. }
            | VolumeError::OtherDisk { .. }
            | VolumeError::FormatRefused { .. }
            | VolumeError::WrongContent { .. }
            | VolumeError::ContentUnknown { .. }
            | VolumeError::ReadOnlyDevice { .. } => ErrorKind::Refused,
            VolumeError::Locked { .. } => ErrorKind::Busy,
            VolumeError::DeadlinePassed { .. } => ErrorKind::Deadline,
            VolumeError::Backend { source, .. } => source.kind,
            VolumeError::Host { source, .. } | VolumeError::Machine(source) => source.kind,
            VolumeError::Journal(_) => ErrorKind::Journal,
            VolumeError::NotAsExpected { .. } | VolumeError::Io { .. } => ErrorKind::Internal,
            VolumeError::Several(list) => list.kind(),
        }
    }

    /// Shorthand for a field's error.
    pub(crate) fn field(field: impl Into<String>, reason: impl fmt::Display) -> Self {
        VolumeError::InvalidField {
            field: field.into(),
            reason: reason.to_string(),
        }
    }
}

/// Errors of a tear-down that went on: never empty.
#[derive(Debug, Default)]
pub struct ErrorList(Vec<VolumeError>);

impl ErrorList {
    /// Notes an error and goes on.
    pub(crate) fn note<T>(&mut self, result: Result<T, VolumeError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(error);
                None
            }
        }
    }

    /// `Ok` when nothing was noted; the error itself when it is the only one.
    pub(crate) fn finish(mut self) -> Result<(), VolumeError> {
        match self.0.len() {
            0 => Ok(()),
            1 => self.0.pop().map_or(Ok(()), Err),
            _ => Err(VolumeError::Several(self)),
        }
    }

    /// A failure, and what went wrong when its traces were removed.
    pub(crate) fn with_cleanup(failure: VolumeError, cleanup: Result<(), VolumeError>) -> VolumeError {
        match cleanup {
            Ok(()) => failure,
            Err(another) => VolumeError::Several(ErrorList(vec![failure, another])),
        }
    }

    /// All of them, in the order in which they happened.
    pub fn errors(&self) -> &[VolumeError] {
        &self.0
    }

    /// The first one's kind: the later ones are often its consequence.
    fn kind(&self) -> ErrorKind {
        self.0.first().map_or(ErrorKind::Internal, VolumeError::kind)
    }
}

impl std::error::Error for ErrorList {}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("; and then: "))
    }
}

fn list(differences: &[FieldDifference]) -> String {
    differences
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn holder_text(holder: &Option<Holder>) -> String {
    holder
        .as_ref()
        .map_or_else(|| "another call".to_owned(), ToString::to_string)
}

//! What a backend is: it turns a source into a block device with a proven identity, and takes it away again.
//!
//! A new backend is one module that implements [`Backend`], one variant of [`Source`], and one line in
//! [`Backends`]. Front ends and the engine reach it through the registry only.

pub mod iscsi;

use crate::error::ErrorKind;
use crate::model::{Condition, LunKey, Outcome, RecordedSource, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Names an attached device for its backend: the target's name and the WWID. Equal WWIDs of different targets are
/// different devices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceKey {
    /// The target's name (for other backends: whatever the identity is relative to).
    pub target: String,
    /// Canonical text of the WWID.
    pub wwid: String,
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.wwid, self.target)
    }
}

/// A device number, as `stat` and mountinfo print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What to attach.
#[derive(Debug)]
pub struct AttachRequest<'a> {
    /// Where it is, with its secrets.
    pub source: &'a Source,
    /// The block device is to refuse writes.
    pub read_only: bool,
    /// The WWID that it must have.
    pub expect_wwid: Option<&'a str>,
    /// Which data path serves it.
    pub data_path: crate::model::DataPath,
    /// The volume that asks, for people.
    pub owner: &'a str,
}

/// An attached device, as its backend sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name for the backend.
    pub key: DeviceKey,
    /// The LUN that it is.
    pub lun: LunKey,
    /// The device node.
    pub path: PathBuf,
    /// Its number.
    pub number: DeviceNumber,
    /// It refuses writes.
    pub read_only: bool,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// Vendor, product and serial number, for people.
    pub description: String,
    /// How its session fares, for people ("up at 192.0.2.1:3260").
    pub session: String,
    /// What is wrong with it; empty when all is well.
    pub conditions: Vec<Condition>,
}

/// An answer to [`Backend::attach`].
#[derive(Debug, Clone)]
pub struct Attached {
    /// The device.
    pub device: Device,
    /// Whether this call made it.
    pub outcome: Outcome,
    /// The backend's own steps and how long they took.
    pub steps: Vec<(String, Duration)>,
}

/// Turns a source into a block device with a proven identity.
///
/// Every method is idempotent, and gives up at the caller's deadline. A device that is absent is no error for
/// `detach` (`AlreadySo`) and for `find` (`None`).
pub trait Backend: Send + Sync {
    /// Attaches the device, or finds it attached. The WWID in the answer was read from the device through the
    /// session that serves it.
    ///
    /// # Errors
    /// Also when the device is attached already with another access.
    fn attach(&self, request: &AttachRequest<'_>, deadline: Instant) -> Result<Attached, BackendError>;

    /// The device of a source, if it is attached. Starts nothing and touches no remote side.
    ///
    /// # Errors
    /// When the backend cannot tell.
    fn find(&self, source: &RecordedSource, deadline: Instant) -> Result<Option<Device>, BackendError>;

    /// Reads the identity again, live.
    ///
    /// # Errors
    /// Also when the identity is not the key's any more.
    fn verify(&self, key: &DeviceKey, deadline: Instant) -> Result<Device, BackendError>;

    /// Reads the capacity again and gives the block device its new size.
    ///
    /// # Errors
    /// When there is no such device, or the target does not answer.
    fn rescan(&self, key: &DeviceKey, deadline: Instant) -> Result<Device, BackendError>;

    /// Takes the device away after proving, by an exclusive open, that nobody uses it; ends the session with its
    /// last device.
    ///
    /// # Errors
    /// `InUse` when somebody has it open. `force` gives up what the target does not let us flush; it never takes away
    /// a device that somebody uses.
    fn detach(&self, key: &DeviceKey, force: bool, deadline: Instant) -> Result<Outcome, BackendError>;

    /// Ends whatever waits on the device with an I/O error, for ever: for a device that the caller attached, that
    /// nothing uses yet, and whose target stopped answering. An absent device is done.
    ///
    /// # Errors
    /// When the backend does not answer.
    fn fail(&self, key: &DeviceKey, deadline: Instant) -> Result<Outcome, BackendError>;

    /// Every device that is attached. Starts nothing.
    ///
    /// # Errors
    /// When the backend cannot tell.
    fn list(&self, deadline: Instant) -> Result<Vec<Device>, BackendError>;
}

/// Why a backend failed; the text says what was tried, on what, why it failed and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// The kind.
    pub kind: ErrorKind,
    /// The text.
    pub message: String,
    /// What the engine has to tell apart.
    pub cause: Cause,
}

/// Causes of a backend's failure that the engine answers in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// None of these.
    #[default]
    Other,
    /// The LUN is another disk than expected; the text names both.
    WrongIdentity,
    /// The LUN is write-protected and was asked for read-write.
    WriteProtected,
}

impl BackendError {
    /// An error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        BackendError {
            kind,
            message: message.into(),
            cause: Cause::Other,
        }
    }

    /// The same with its cause.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        BackendError { cause, ..self }
    }
}

/// The registry: which backend serves which kind of source.
#[derive(Default)]
pub struct Backends(BTreeMap<&'static str, Box<dyn Backend>>);

impl Backends {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the backend of a scheme ([`Source::scheme`]).
    #[must_use]
    pub fn with(mut self, scheme: &'static str, backend: Box<dyn Backend>) -> Self {
        self.0.insert(scheme, backend);
        self
    }

    /// The backend of a scheme.
    ///
    /// # Errors
    /// `Unsupported` when none was registered.
    pub fn get(&self, scheme: &str) -> Result<&dyn Backend, BackendError> {
        self.0.get(scheme).map(|boxed| &**boxed).ok_or_else(|| {
            BackendError::new(
                ErrorKind::Unsupported,
                format!("this build has no backend for {scheme} volumes"),
            )
        })
    }

    /// All backends.
    pub(crate) fn all(&self) -> impl Iterator<Item = &dyn Backend> {
        self.0.values().map(|boxed| &**boxed)
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How this node presents itself to iSCSI targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitiatorIdentity {
    /// InitiatorName, when a volume names none of its own.
    pub initiator_name: String,
    /// ISID (RFC 7143 §11.12.5), persisted.
    pub isid: [u8; 6],
}

//! Errors as they travel to a client.

use serde::{Deserialize, Serialize};

/// Why a request failed. `message` says what was tried, on what, why it failed and what to do; it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
    /// With [`ErrorKind::Busy`]: who holds the device, as far as it could be found out.
    #[serde(default)]
    pub holders: Vec<Holder>,
}

impl RemoteError {
    /// An error without holders.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            holders: Vec::new(),
        }
    }
}

/// Somebody who uses a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process, when one was found.
    pub pid: Option<u32>,
    /// `mounted at /mnt in the mount namespace of process 17 (bash)`, `used by dm-0`, …
    pub description: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request itself is wrong (grammar of a name, an empty list, a value out of range).
    InvalidRequest,
    /// The other side speaks another major version.
    IncompatibleVersion,
    /// The caller may not do this.
    PermissionDenied,
    /// A host name does not resolve.
    ResolveFailed,
    /// No portal could be reached.
    Unreachable,
    /// CHAP failed, in either direction.
    AuthenticationFailed,
    /// The target refused this initiator.
    AuthorizationFailed,
    /// The portal does not know the target.
    TargetNotFound,
    /// The login failed for another reason.
    LoginFailed,
    /// The target has no such logical unit.
    LunNotFound,
    /// The LUN's WWID is not the expected one.
    WwidMismatch,
    /// The LUN has no WWID that could prove its identity.
    IdentityUnproven,
    /// Read-write was asked for a write-protected LUN.
    ReadOnlyMedium,
    /// The device exists already, but is not what was asked for.
    Conflict,
    /// Somebody uses the device.
    Busy,
    /// The deadline passed.
    DeadlineExceeded,
    /// There is no such device.
    NotFound,
    /// The device could not be flushed.
    FlushFailed,
    /// Not possible here, or not known to this version.
    Unsupported,
    /// This host lacks something (FUSE, loop devices, a right).
    Host,
    /// The data plane is ending.
    ShuttingDown,
    /// A failure that has no kind of its own.
    #[serde(other)]
    Other,
}

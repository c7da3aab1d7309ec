//! How devices and sessions are described on the wire.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Names a logical unit: the target's name and the WWID. Equal WWIDs of different targets are different devices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceKey {
    /// The target's name.
    pub iqn: String,
    /// Canonical text of the WWID (`naa.…`, `eui.…`, …).
    pub wwid: String,
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.iqn, self.wwid)
    }
}

/// Whether a call changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The call did it.
    Changed,
    /// It was so before the call.
    AlreadySo,
}

/// A block device that serves a logical unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedDevice {
    /// The device's name in this protocol.
    pub key: DeviceKey,
    /// Number of the logical unit.
    pub lun: u16,
    /// The block device's node, `/dev/loopN`.
    pub device: PathBuf,
    /// Its device number.
    pub major: u32,
    /// Its device number.
    pub minor: u32,
    /// Canonical text of the WWID, proved through the session that serves the device.
    pub wwid: String,
    /// T10 vendor identification.
    pub vendor: String,
    /// Product identification.
    pub product: String,
    /// Product revision level.
    #[serde(default)]
    pub revision: String,
    /// Unit serial number, where the unit has one.
    pub serial: Option<String>,
    /// Capacity in bytes.
    pub size_bytes: u64,
    /// Logical block size in bytes; also the block device's.
    pub block_size_bytes: u32,
    /// The block device refuses writes.
    pub read_only: bool,
    /// The session that serves it.
    pub session: SessionSummary,
    /// What was done and how long each step took. Empty when the outcome is `AlreadySo`.
    pub steps: Vec<Step>,
    /// Whether this call made the device.
    pub outcome: Outcome,
}

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was done, in a few words.
    pub name: String,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Full feature phase.
    Up,
    /// The connection is lost; I/O waits while it is made again.
    Reconnecting,
    /// Over, and not coming back.
    Closed,
    /// Known only to a newer version.
    #[serde(other)]
    Unknown,
}

/// A session as far as a client needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// Its state.
    pub state: SessionState,
    /// The portal in use, as it was asked for.
    pub portal: Option<String>,
    /// The address in use.
    pub address: Option<String>,
    /// Target session identifying handle (RFC 7143 §11.12.6).
    pub tsih: Option<u16>,
    /// How often the session had to be made again.
    pub reconnects: u64,
    /// Seconds since the state changed last.
    pub since_s: u64,
    /// Why the connection was lost last.
    pub last_error: Option<String>,
}

/// A device with all that is known about how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// The device. `steps` is empty and `outcome` is `AlreadySo`.
    pub device: AttachedDevice,
    /// Who asked for it first.
    pub owner: String,
    /// When it was attached, in milliseconds since the epoch.
    pub attached_at_unix_ms: u64,
    /// How often a successor took it over.
    pub takeovers: u32,
    /// Requests of the kernel that are not answered yet.
    pub requests_in_flight: u32,
    /// Requests that were answered with an error.
    pub io_errors: u64,
    /// What is wrong; empty when all is well.
    pub conditions: Vec<Condition>,
}

/// Something that is wrong with a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What, for programs.
    pub kind: ConditionKind,
    /// What, for people, with what to do.
    pub text: String,
}

/// What can be wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// The session is down; I/O waits.
    SessionDown,
    /// The LUN's WWID is no longer what it was; every I/O fails.
    Fenced,
    /// Another initiator seems to use our name and ISID: the session is ended again and again right after login.
    InitiatorNameClash,
    /// The session is over; every I/O fails.
    SessionClosed,
    /// A successor could not take the device over; the text says why.
    TakeoverFailed,
    /// `hold` is not connected: if the data plane dies now, I/O fails instead of pausing.
    NotHeld,
    /// Requests were answered with an error.
    IoErrors,
    /// Known only to a newer version.
    #[serde(other)]
    Unknown,
}

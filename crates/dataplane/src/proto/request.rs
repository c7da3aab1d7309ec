//! What a client asks and what the data plane answers.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{AttachedDevice, DeviceKey, DeviceStatus, Outcome, RemoteError};

/// First message of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Must be equal on both sides.
    pub major: u16,
    /// May differ: the newer side is understood by the older one as far as both know.
    pub minor: u16,
    /// Name and version of the program, for error texts only.
    pub software: String,
}

/// One request. `id` comes back in the answer; a connection may have several requests under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClientMessage {
    /// Chosen by the client; equal in the answer.
    pub id: u64,
    /// How long the client is willing to wait, from the arrival of this message.
    pub timeout_ms: u64,
    /// What is asked.
    pub request: Request,
}

/// The answer to the request with the same `id`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerMessage {
    /// The request's id.
    pub id: u64,
    /// The answer.
    pub reply: Reply,
}

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
pub enum Request {
    /// Opens the conversation; nothing else is answered before it.
    Hello(Hello),
    /// Logs in where necessary, proves the LUN's identity and makes a block device of it.
    Attach(Box<AttachRequest>),
    /// Proves that nobody uses the device, flushes it and takes it away; logs out with the last one.
    Detach {
        /// The device.
        device: DeviceKey,
        /// Do not wait for a flush that the target does not answer: what was not written yet is **lost**. The proof
        /// that nobody uses the device is required all the same.
        force: bool,
    },
    /// Answers everything on the device with EIO from now on, also what waits for the target: for a device that its
    /// caller attached and that nothing uses yet. `Detach` takes it away afterwards.
    Fail {
        /// The device.
        device: DeviceKey,
    },
    /// All devices.
    List,
    /// One device.
    Show {
        /// The device.
        device: DeviceKey,
    },
    /// Reads the WWID again through the session that serves the device.
    Verify {
        /// The device.
        device: DeviceKey,
    },
    /// Reads the capacity again and grows or shrinks the block device accordingly.
    Rescan {
        /// The device.
        device: DeviceKey,
    },
    /// Asks a portal which targets it knows.
    Discover(Box<DiscoverRequest>),
    /// What the data plane's process could set up on this host (memory lock, OOM score, …), for `doctor`.
    Host,
    /// Ends the data plane now. Refused as long as devices exist.
    Shutdown,
    /// Known only to a newer version; never sent.
    #[serde(skip)]
    Unknown,
}

/// A LUN that is to become a block device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Where it is.
    pub source: IscsiSource,
    /// The block device refuses writes. `false` for a LUN that is write protected is an error.
    pub read_only: bool,
    /// Canonical text of the WWID that the LUN must have; `None`: take it as it is and report it.
    #[serde(default)]
    pub expect_wwid: Option<String>,
    /// Which data path serves it.
    #[serde(default)]
    pub data_path: DataPath,
    /// Who asked (a volume id, a pod), for people; not interpreted.
    pub owner: String,
}

/// An iSCSI logical unit and how to log in to its target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IscsiSource {
    /// `HOST`, `HOST:PORT`, `IPv4[:PORT]`, `[IPv6][:PORT]`; the first that answers is used.
    pub portals: Vec<String>,
    /// The target's name (iqn, eui or naa form).
    pub iqn: String,
    /// Number of the logical unit.
    pub lun: u16,
    /// Interface or source address to bind to.
    #[serde(default)]
    pub interface: Option<String>,
    /// This node's initiator name.
    pub initiator_name: String,
    /// This node's ISID for the target (RFC 7143 §11.12.5); must stay the same over restarts.
    pub isid: [u8; 6],
    /// The initiator proves itself with this.
    #[serde(default)]
    pub chap: Option<Chap>,
    /// The target must prove itself with this.
    #[serde(default)]
    pub mutual_chap: Option<Chap>,
}

/// A CHAP name and secret. The secret is in memory and on the local socket only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Chap {
    /// CHAP_N.
    pub user: String,
    /// The shared secret; never in Debug output.
    #[serde(with = "super::secret")]
    pub secret: SecretString,
}

/// Which data path serves a device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataPath {
    /// The best that this host offers.
    #[default]
    Auto,
    /// Our initiator in user space.
    User,
}

/// A SendTargets discovery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DiscoverRequest {
    /// `HOST[:PORT]`.
    pub portal: String,
    /// Interface or source address to bind to.
    #[serde(default)]
    pub interface: Option<String>,
    /// This node's initiator name.
    pub initiator_name: String,
    /// The initiator proves itself with this.
    #[serde(default)]
    pub chap: Option<Chap>,
    /// The target must prove itself with this.
    #[serde(default)]
    pub mutual_chap: Option<Chap>,
}

/// One target of a discovery's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveredTarget {
    /// The target's name.
    pub iqn: String,
    /// Its portals, `ADDRESS:PORT,TARGET-PORTAL-GROUP-TAG`.
    pub portals: Vec<String>,
}

/// What the data plane's process found on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// The data plane's process.
    pub pid: u32,
    /// The process of `hold`, when it is connected.
    pub hold_pid: Option<u32>,
    /// Name and version of the running program.
    pub software: String,
    /// Each thing that was tried.
    pub facts: Vec<Fact>,
}

/// One thing that was tried on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Short name (`mlockall`, `io_flusher`, `oom_score_adj`, `cgroup`, …).
    pub name: String,
    /// Whether it is as wished.
    pub ok: bool,
    /// What was done, or why it could not be and what that means.
    pub detail: String,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "result", content = "value", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Attach`].
    Attached(Box<AttachedDevice>),
    /// To [`Request::Detach`]; `AlreadySo` when there is no such device.
    Detached(Outcome),
    /// To [`Request::Fail`]; `AlreadySo` when nothing is served there.
    Failed(Outcome),
    /// To [`Request::List`].
    Devices(Vec<DeviceStatus>),
    /// To [`Request::Show`], [`Request::Verify`] and [`Request::Rescan`].
    Device(Box<DeviceStatus>),
    /// To [`Request::Discover`].
    Targets(Vec<DiscoveredTarget>),
    /// To [`Request::Host`].
    Host(HostReport),
    /// To [`Request::Shutdown`].
    ShuttingDown,
    /// To any request that failed.
    Error(RemoteError),
}

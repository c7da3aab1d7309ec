//! The messages between a client and the data plane, version 1.
//!
//! One JSON document per message, each preceded by its length (see `wire`). The first message of either side is
//! [`Hello`]. A newer minor version may add fields (ignored by older readers) and kinds of request (answered with
//! [`ErrorKind::Unsupported`]); another major version is refused with a text that says which side to upgrade.

mod device;
mod error;
mod request;
mod secret;

pub use device::{
    AttachedDevice, Condition, ConditionKind, DeviceKey, DeviceStatus, Outcome, SessionState, SessionSummary,
    Step,
};
pub use error::{ErrorKind, Holder, RemoteError};
pub use request::{
    AttachRequest, Chap, ClientMessage, DataPath, DiscoverRequest, DiscoveredTarget, Fact, Hello, HostReport,
    IscsiSource, Reply, Request, ServerMessage,
};

/// Version of the protocol: `(major, minor)`.
pub const PROTOCOL_VERSION: (u16, u16) = (1, 0);

/// Longest message in either direction, in bytes. Checked before anything is allocated.
pub const MAX_MESSAGE_BYTES: u32 = 1 << 20;

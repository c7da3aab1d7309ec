//! What a session tells about itself.

use std::net::SocketAddr;
use std::time::SystemTime;

use longshore_iscsi::isid::Isid;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::pdu::Tsih;

use crate::portal::Portal;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Logged in; commands flow.
    Up,
    /// The connection was lost; commands wait while the session logs in again.
    Reconnecting,
    /// Logged out, or its last handle is gone. It does not come back.
    Closed,
}

/// Counters since the first login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Commands that got a status.
    pub commands: u64,
    /// Bytes read by commands that got a status.
    pub bytes_read: u64,
    /// Bytes written by commands that got a status.
    pub bytes_written: u64,
    /// Commands that were issued again, for whatever reason.
    pub retries: u64,
    /// Commands that were aborted because no status came in time.
    pub aborts: u64,
    /// Data digest errors.
    pub data_digest_errors: u64,
    /// Writes sent again because the target may have lost its volatile cache.
    pub replayed_writes: u64,
}

/// A snapshot of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Where it is in its life.
    pub state: SessionState,
    /// The target.
    pub target_name: IscsiName,
    /// As whom we are logged in.
    pub initiator_name: IscsiName,
    /// Our part of the session's identifier.
    pub isid: Isid,
    /// The target's part of the session's identifier; it changes with each login.
    pub tsih: Tsih,
    /// The portal group of the present (or last) connection, when the target tells.
    pub target_portal_group_tag: Option<u16>,
    /// The configured portal of the present (or last) connection.
    pub portal: Portal,
    /// The address that it stands for; after a redirect another one than the portal's.
    pub address: SocketAddr,
    /// Whether PDU headers bear CRC32C.
    pub header_digest: bool,
    /// Whether data segments bear CRC32C.
    pub data_digest: bool,
    /// How often the session logged in again.
    pub reconnects: u64,
    /// Since when the state is what it is.
    pub since: SystemTime,
    /// Why the last connection ended, or the last attempt to reconnect failed.
    pub last_error: Option<String>,
    /// Counters.
    pub counters: Counters,
}

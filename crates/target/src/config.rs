//! What a server serves, to whom, and how much of it. All of it can be read by serde.

use secrecy::SecretString;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A whole server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Addresses to listen on; port 0 takes a free one.
    #[serde(default)]
    pub portals: Vec<SocketAddr>,
    /// The targets.
    #[serde(default)]
    pub targets: Vec<TargetConfig>,
    /// Accounts of discovery sessions; without any, discovery asks for no proof.
    #[serde(default)]
    pub discovery_chap: Vec<ChapConfig>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// One target.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// Its iSCSI name.
    pub name: String,
    /// Its name for humans.
    #[serde(default)]
    pub alias: Option<String>,
    /// Its logical units.
    #[serde(default)]
    pub luns: Vec<LunConfig>,
    /// Accounts of initiators; without any, nobody has to prove anything.
    #[serde(default)]
    pub chap: Vec<ChapConfig>,
    /// The target's own name and secret, for initiators that ask for its proof (mutual CHAP).
    #[serde(default)]
    pub mutual_chap: Option<ChapConfig>,
    /// Names of the initiators that have access; without any, all have.
    #[serde(default)]
    pub initiators: Vec<String>,
}

impl TargetConfig {
    /// A target without logical units, open to everyone.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            alias: None,
            luns: Vec::new(),
            chap: Vec::new(),
            mutual_chap: None,
            initiators: Vec::new(),
        }
    }
}

/// A CHAP account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChapConfig {
    /// The CHAP name.
    pub name: String,
    /// The secret.
    pub secret: SecretString,
    /// The only initiator that may use this account; `None`: any.
    #[serde(default)]
    pub initiator: Option<String>,
}

/// One logical unit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LunConfig {
    /// Its number, 0 to 16383.
    pub number: u16,
    /// The file, or block device, that holds its data. Beside a file without `wwid` stands its sidecar
    /// `PATH.longshore` with the WWID; move both together.
    pub path: PathBuf,
    /// Size of a file that is not there yet: it is created sparse. An existing file keeps its own size.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// Initiators can only read.
    #[serde(default)]
    pub read_only: bool,
    /// Length of a logical block: 512 or 4096.
    #[serde(default = "default_block_size")]
    pub block_size_bytes: u32,
    /// The WWID as `naa.6…` with 32 hexadecimal digits; then no sidecar is read or written.
    #[serde(default)]
    pub wwid: Option<String>,
}

impl LunConfig {
    /// A writable logical unit on a file with blocks of 512 bytes.
    #[must_use]
    pub fn new(number: u16, path: impl Into<PathBuf>) -> Self {
        Self {
            number,
            path: path.into(),
            size_bytes: None,
            read_only: false,
            block_size_bytes: default_block_size(),
            wwid: None,
        }
    }
}

fn default_block_size() -> u32 {
    512
}

/// How much initiators may use, and how long they may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at one time; further ones are closed at once.
    pub max_connections: usize,
    /// How long a login may take, in milliseconds.
    pub login_timeout_ms: u64,
    /// After so long without a word an initiator is pinged, in milliseconds; 0: never.
    pub ping_after_ms: u64,
    /// An initiator that has not answered a ping for so long is dropped, in milliseconds.
    pub ping_timeout_ms: u64,
    /// An initiator that has not taken any of its answers for so long is dropped, in milliseconds.
    pub send_timeout_ms: u64,
    /// Commands that an initiator may have open.
    pub command_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 128,
            login_timeout_ms: 15_000,
            ping_after_ms: 15_000,
            ping_timeout_ms: 15_000,
            send_timeout_ms: 30_000,
            command_window: 128,
        }
    }
}

impl Limits {
    /// How long a login may take.
    #[must_use]
    pub fn login_timeout(&self) -> Duration {
        Duration::from_millis(self.login_timeout_ms.max(1))
    }

    pub(crate) fn send_timeout(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms.max(1))
    }

    pub(crate) fn of_connection(&self) -> longshore_iscsi::target::Limits {
        longshore_iscsi::target::Limits {
            command_window: self.command_window.clamp(1, 1024),
            ping_after: Duration::from_millis(self.ping_after_ms),
            ping_timeout: Duration::from_millis(self.ping_timeout_ms.max(1)),
            ..longshore_iscsi::target::Limits::default()
        }
    }
}

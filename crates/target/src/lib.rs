//! Embedded iSCSI target: file-backed logical units for demos, tests and provisioning.
//!
//! One thread serves one connection: it reads what has arrived, carries out what the page cache can answer at once, and
//! sends all answers in one vectored write. What may take long (flushes, unmapping, reads that must go to the disk)
//! runs on a small pool of workers beside it, so that pings and other commands are answered meanwhile.
//!
//! ```no_run
//! use longshore_target::{LunConfig, Server, TargetConfig};
//!
//! let mut target = TargetConfig::new("iqn.2026-11.example:disks");
//! target.luns.push(LunConfig { size_bytes: Some(1 << 30), ..LunConfig::new(0, "/var/lib/disk0.img") });
//! let server = Server::builder().listen("127.0.0.1:0".parse()?).target(target).start()?;
//! println!("serving on {}", server.local_addr());
//! server.stop(std::time::Instant::now() + std::time::Duration::from_secs(5))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an initiator can make it use
//!
//! At most [`Limits::max_connections`] connections. Each holds at most 128 commands with their unsolicited data (64 KiB
//! each: 8 MiB), 4 MiB of solicited data (up to four times that in receive blocks that are still in use), 1 MiB of
//! answers that are being written, and its buffers (about 0.5 MiB). Connections that have not logged in hold 64 KiB
//! and are dropped after [`Limits::login_timeout`].
#![forbid(unsafe_code)]

mod authority;
mod buffers;
mod config;
mod connection;
mod disk;
mod error;
mod execute;
pub mod faults;
mod handle;
mod job;
mod login;
mod lun;
mod management;
mod server;
mod sidecar;
mod sync;
mod target;
mod wire;
mod workers;

pub use config::{ChapConfig, Limits, LunConfig, ServerConfig, TargetConfig};
pub use error::{ConfigError, DiskError, LunError, StartError, StopError};
pub use handle::{LunInfo, SessionInfo, TargetHandle};
pub use server::{Server, ServerBuilder};

//! The process that owns iSCSI sessions and block devices, its local protocol and client.
//!
//! Three parts, each usable without the others:
//! - [`proto`] and [`client`]: what a command line or daemon needs to talk to the data plane;
//! - [`run`]: the data plane itself, called by the binary's hidden subcommand `dataplane`;
//! - [`hold`]: its guardian, called by the hidden subcommand `hold`.

#![forbid(unsafe_code)]

pub mod client;
pub mod dirs;
pub mod hold;
pub mod proto;
mod server;
mod spawn;
mod wire;

pub use client::DataplaneClient;
pub use dirs::Dirs;
pub use server::{Config, RunError, run};

/// A point in time until which a caller is willing to wait.
pub type Deadline = std::time::Instant;

//! The full feature phase of one connection, target side, at error recovery level 0 (RFC 7143 §4, §11).
//!
//! [`TargetConnection`] owns the sequence numbers, the command window, the gathering of Data-Out, the splitting of
//! Data-In, residuals, pings and text exchanges. What a command does is its driver's business: it gets
//! [`Event::Command`] and answers through the mutators. Memory that a peer can claim is bounded by [`Limits`].

mod command;
mod connection;
mod data_out;
mod error;
mod event;
mod gather;
mod task;
#[cfg(test)]
mod tests;
mod text;

pub use connection::TargetConnection;
pub use error::ConnectionError;
pub use event::{Command, Completion, Event, TaskId, TaskManagement};

use std::time::Duration;

/// What one connection may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many commands the initiator may have open: the command window (§4.2.2.1).
    pub command_window: u32,
    /// How many immediate SCSI commands and task management requests may be open beside the window.
    pub immediate_commands: u32,
    /// How many bytes of Data-Out may be asked for and not yet be here, over all commands. At least one burst is
    /// always allowed.
    pub solicited_bytes: u32,
    /// After so long without a PDU from the initiator, it is pinged. `Duration::ZERO`: never.
    pub ping_after: Duration,
    /// After so long without an answer to the ping, the connection is given up.
    pub ping_timeout: Duration,
}

/// 128 commands, 16 immediate ones, 4 MiB of solicited data; a ping after 15 seconds, given up 15 seconds later.
impl Default for Limits {
    fn default() -> Self {
        Self {
            command_window: 128,
            immediate_commands: 16,
            solicited_bytes: 4 << 20,
            ping_after: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(15),
        }
    }
}

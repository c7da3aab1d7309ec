//! The initiator's and the target's machines joined on a virtual clock: login, transfers, control, faults.
//!
//! A test reads as `connect(); drive(); assert!`: nothing here waits, opens a socket or depends on the machine's speed.

mod control;
mod disk;
mod faults;
mod harness;
mod link;
mod login;
mod setup;
mod transfers;

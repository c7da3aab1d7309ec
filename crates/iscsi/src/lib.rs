//! RFC 7143 for both roles without I/O: PDUs, text keys, digests, CHAP, login and session state machines.
//!
//! Nothing in this crate opens a socket, reads a clock or touches a file: bytes and the time come in as arguments,
//! bytes and events go out as return values. So one machine serves a TCP connection, a kernel hand-over and a test
//! on a virtual clock alike.
//!
//! From the wire upwards:
//! - [`frame`] cuts a byte stream into [`pdu::RawPdu`]s and checks digests ([`digest`]),
//! - [`pdu`] gives each PDU a typed struct, [`text`] reads the key=value lists inside some of them,
//! - [`params`] and [`chap`] are what a login negotiates, [`login`] negotiates it for both roles,
//! - [`initiator`] and [`target`] are the full feature phase of one connection, one module per role.
//!
//! [`name`], [`isid`] and [`serial`] are the small types that all of them share.
#![forbid(unsafe_code)]

pub mod chap;
pub mod digest;
pub mod frame;
pub mod initiator;
pub mod isid;
pub mod login;
pub mod name;
pub mod params;
pub mod pdu;
pub mod serial;
pub mod target;
pub mod text;

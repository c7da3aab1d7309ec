//! Drives the state machines of `longshore-iscsi` over TCP in user space: sessions, several portals, recovery and
//! safe replay.
//!
//! - [`Session::login`] logs in through the first portal that answers and keeps the session alive; one task per session
//!   owns its socket. [`discover`] asks a portal for its targets.
//! - [`Unit::open`] opens one logical unit of a session: identity, geometry, and a data path that waits out outages.
//!
//! A SCSI status is a value ([`Response`]); `Err` is a transport failure. After an outage only what is safe is
//! repeated: see [`replay`] for the rules.
#![forbid(unsafe_code)]

mod actor;
mod attempt;
mod board;
mod command;
mod config;
mod connect;
mod discovery;
mod error;
mod identity;
mod info;
mod interrogate;
mod io;
mod link;
mod login_error;
mod portal;
mod recovery;
pub mod replay;
mod request;
mod resolve;
mod retained;
mod session;
mod slot;
mod unit;
mod verdict;

pub use command::{Command, Data, Response};
pub use config::{Bind, DiscoveryConfig, RedirectPolicy, SessionConfig, Timing};
pub use discovery::{PortalAddress, TargetRecord, discover};
pub use error::{TransportError, UnitError};
pub use identity::{Condition, Geometry, Identity};
pub use info::{Counters, SessionInfo, SessionState};
pub use login_error::{AttemptError, DiscoverError, LoginFailure, LoginFailureKind, PortalFailure};
pub use longshore_iscsi::initiator::Segments;
pub use longshore_iscsi::params::{DigestPolicy, Offers};
pub use portal::{DEFAULT_PORT, Host, Portal, PortalError};
pub use resolve::ResolveError;
pub use session::Session;
pub use unit::Unit;

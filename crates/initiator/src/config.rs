//! What a caller decides about a session: names, portals, secrets, digests, times.

use std::net::IpAddr;
use std::time::Duration;

use longshore_iscsi::chap::{Algorithms, ChapCredentials};
use longshore_iscsi::isid::Isid;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::params::Offers;

use crate::portal::Portal;

/// What the connections of a session are bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A network interface by name (SO_BINDTODEVICE).
    Interface(String),
    /// A source address of this host.
    Address(IpAddr),
}

/// Which redirects (RFC 7143 §11.13.5, status class 1) are followed; never more than two in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectPolicy {
    /// Only to an address and port that are among the configured portals.
    #[default]
    ConfiguredPortals,
    /// To any numeric address.
    AnyAddress,
}

/// The times of a session. All have defaults that suit a network of one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A connection from which nothing was heard for so long is asked by a NOP-Out.
    pub noop_interval: Duration,
    /// A NOP-Out without an answer for so long ends the connection.
    pub noop_timeout: Duration,
    /// A data command without a status for so long is aborted and issued again.
    pub task_timeout: Duration,
    /// How long the target may take for a task management function before the next harder one is tried.
    pub task_management_timeout: Duration,
    /// How long TCP connect and login together may take on one portal.
    pub login_timeout: Duration,
    /// How long the first portal has before the next one is tried beside it.
    pub stagger: Duration,
    /// The wait before the second attempt to reconnect; it doubles with each further one.
    pub reconnect_min: Duration,
    /// The longest wait between two attempts to reconnect.
    pub reconnect_max: Duration,
    /// Completed writes that the target may hold in a volatile cache are flushed after so long without a write.
    pub idle_flush: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            noop_interval: Duration::from_secs(5),
            noop_timeout: Duration::from_secs(5),
            task_timeout: Duration::from_secs(30),
            task_management_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(15),
            stagger: Duration::from_millis(300),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            idle_flush: Duration::from_millis(1500),
        }
    }
}

/// Everything that a session needs to log in, and to log in again after an outage.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The node's initiator name.
    pub initiator_name: IscsiName,
    /// Stable over restarts: the same ISID reinstates the session, which is what makes replay safe (§6.3.5).
    pub isid: Isid,
    /// The target.
    pub target_name: IscsiName,
    /// At least one. They are tried in this order, overlapping in time; the first that logs in is used.
    pub portals: Vec<Portal>,
    /// What connections are bound to, if anything.
    pub bind: Option<Bind>,
    /// How we prove who we are.
    pub chap: Option<ChapCredentials>,
    /// How the target proves who it is; needs `chap`.
    pub mutual_chap: Option<ChapCredentials>,
    /// CHAP algorithms, in the order of preference.
    pub chap_algorithms: Algorithms,
    /// What is offered at login: digests, burst lengths, unsolicited data.
    pub offers: Offers,
    /// Which redirects are followed.
    pub redirects: RedirectPolicy,
    /// Times.
    pub timing: Timing,
    /// How many bytes of completed writes a unit keeps until the target has them on stable storage.
    pub retained_bytes_max: usize,
}

impl SessionConfig {
    /// A session without authentication and with the default times.
    pub fn new(initiator_name: IscsiName, isid: Isid, target_name: IscsiName, portals: Vec<Portal>) -> Self {
        SessionConfig {
            initiator_name,
            isid,
            target_name,
            portals,
            bind: None,
            chap: None,
            mutual_chap: None,
            chap_algorithms: Algorithms::default(),
            offers: Offers::default(),
            redirects: RedirectPolicy::default(),
            timing: Timing::default(),
            retained_bytes_max: 32 << 20,
        }
    }
}

/// Whom to ask for its targets, and as whom.
#[derive(Debug, Clone)]
pub struct DiscoveryConfig {
    /// The node's initiator name.
    pub initiator_name: IscsiName,
    /// The ISID of the discovery session; it may be the same as that of normal sessions.
    pub isid: Isid,
    /// At least one; the first that logs in answers.
    pub portals: Vec<Portal>,
    /// What connections are bound to, if anything.
    pub bind: Option<Bind>,
    /// How we prove who we are.
    pub chap: Option<ChapCredentials>,
    /// How the target proves who it is.
    pub mutual_chap: Option<ChapCredentials>,
    /// CHAP algorithms, in the order of preference.
    pub chap_algorithms: Algorithms,
    /// Times; only those of connecting are used.
    pub timing: Timing,
}

impl DiscoveryConfig {
    /// A discovery without authentication.
    pub fn new(initiator_name: IscsiName, isid: Isid, portals: Vec<Portal>) -> Self {
        DiscoveryConfig {
            initiator_name,
            isid,
            portals,
            bind: None,
            chap: None,
            mutual_chap: None,
            chap_algorithms: Algorithms::default(),
            timing: Timing::default(),
        }
    }
}

//! From a list of portals to one logged-in connection: all are tried, overlapping in time; the first whose login
//! completes is used, the others stand by for the next time (F18).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use longshore_iscsi::chap::{Algorithms, ChapCredentials};
use longshore_iscsi::frame::Decoder;
use longshore_iscsi::isid::Isid;
use longshore_iscsi::login::SessionParameters;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::params::Offers;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::attempt::attempt;
use crate::config::{Bind, DiscoveryConfig, RedirectPolicy, SessionConfig, Timing};
use crate::info::{Counters, SessionInfo, SessionState};
use crate::login_error::{AttemptError, LoginFailure, PortalFailure};
use crate::portal::Portal;
use crate::resolve::resolve;
use crate::session::lock;

/// Whom to log in to, and as whom: what sessions and discoveries have in common.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) initiator_name: IscsiName,
    pub(crate) target_name: Option<IscsiName>,
    pub(crate) isid: Isid,
    pub(crate) portals: Vec<Portal>,
    pub(crate) bind: Option<Bind>,
    pub(crate) chap: Option<ChapCredentials>,
    pub(crate) mutual: Option<ChapCredentials>,
    pub(crate) algorithms: Algorithms,
    pub(crate) offers: Offers,
    pub(crate) redirects: RedirectPolicy,
    pub(crate) timing: Timing,
}

impl From<&SessionConfig> for Login {
    fn from(config: &SessionConfig) -> Self {
        Login {
            initiator_name: config.initiator_name.clone(),
            target_name: Some(config.target_name.clone()),
            isid: config.isid,
            portals: config.portals.clone(),
            bind: config.bind.clone(),
            chap: config.chap.clone(),
            mutual: config.mutual_chap.clone(),
            algorithms: config.chap_algorithms.clone(),
            offers: config.offers.clone(),
            redirects: config.redirects,
            timing: config.timing,
        }
    }
}

impl From<&DiscoveryConfig> for Login {
    fn from(config: &DiscoveryConfig) -> Self {
        Login {
            initiator_name: config.initiator_name.clone(),
            target_name: None,
            isid: config.isid,
            portals: config.portals.clone(),
            bind: config.bind.clone(),
            chap: config.chap.clone(),
            mutual: config.mutual_chap.clone(),
            algorithms: config.chap_algorithms.clone(),
            offers: Offers::default(),
            redirects: RedirectPolicy::ConfiguredPortals,
            timing: config.timing,
        }
    }
}

/// A connection that has just entered full feature phase.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder,
    pub(crate) parameters: SessionParameters,
    pub(crate) portal: Portal,
    pub(crate) address: SocketAddr,
}

impl Connected {
    /// What a session can tell right after its first login.
    pub(crate) fn first_info(&self, config: &SessionConfig) -> SessionInfo {
        SessionInfo {
            state: SessionState::Up,
            target_name: config.target_name.clone(),
            initiator_name: config.initiator_name.clone(),
            isid: config.isid,
            tsih: self.parameters.tsih,
            target_portal_group_tag: self.parameters.target_portal_group_tag,
            portal: self.portal.clone(),
            address: self.address,
            header_digest: self.parameters.digests.header,
            data_digest: self.parameters.digests.data,
            reconnects: 0,
            since: SystemTime::now(),
            last_error: None,
            counters: Counters::default(),
        }
    }
}

/// What one of the parallel activities found.
enum Found {
    Addresses(Portal, Vec<SocketAddr>),
    Failure(PortalFailure),
    Connection(Box<Connected>),
}

/// Logs in through the first portal that lets us. `preferred` is tried before the others.
///
/// # Errors
/// [`LoginFailure`] with one reason for each address, at the latest at `deadline`.
pub(crate) async fn connect(
    login: &Arc<Login>,
    preferred: Option<&Portal>,
    deadline: Instant,
) -> Result<Connected, LoginFailure> {
    let mut race = Race::new(login.clone(), deadline);
    let mut portals: Vec<&Portal> = login.portals.iter().collect();
    portals.sort_by_key(|portal| preferred != Some(*portal));
    for portal in portals {
        race.look_up(portal.clone());
    }
    race.run().await
}

/// The attempts of one [`connect`]. Dropping it ends them all.
struct Race {
    login: Arc<Login>,
    deadline: Instant,
    /// Addresses that belong to the configured portals: where redirects may lead.
    known: Arc<Mutex<Vec<SocketAddr>>>,
    waiting: VecDeque<(Portal, SocketAddr)>,
    /// Look-ups and attempts under way.
    running: JoinSet<Found>,
    attempts: usize,
    failures: Vec<PortalFailure>,
    next_start: Instant,
}

impl Race {
    fn new(login: Arc<Login>, deadline: Instant) -> Self {
        Race {
            login,
            deadline,
            known: Arc::default(),
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            attempts: 0,
            failures: Vec::new(),
            next_start: Instant::now(),
        }
    }

    fn look_up(&mut self, portal: Portal) {
        if let Some(address) = portal.address() {
            lock(&self.known).push(address);
            self.waiting.push_back((portal, address));
            return;
        }
        let deadline = self.deadline;
        self.running.spawn(async move {
            match resolve(&portal, deadline).await {
                Ok(addresses) => Found::Addresses(portal, addresses),
                Err(error) => Found::Failure(PortalFailure {
                    portal,
                    address: None,
                    error: error.into(),
                }),
            }
        });
    }

    async fn run(mut self) -> Result<Connected, LoginFailure> {
        loop {
            // The next one starts when its turn has come, or when nothing else is being tried.
            if self.attempts == 0 || Instant::now() >= self.next_start {
                self.start_next();
            }
            if self.running.is_empty() && self.waiting.is_empty() {
                return Err(self.failure());
            }
            let turn = async {
                match self.waiting.is_empty() {
                    true => std::future::pending().await,
                    false => sleep_until(self.next_start.into()).await,
                }
            };
            tokio::select! {
                Some(found) = self.running.join_next() => match found {
                    Ok(Found::Connection(connected)) => return Ok(*connected),
                    Ok(found) => self.take(found),
                    // An attempt that panicked is a bug of ours; go on with the others.
                    Err(error) => tracing::error!(%error, "an attempt to log in did not end as it should"),
                },
                () = turn => {}
                () = sleep_until(self.deadline.into()) => return Err(self.out_of_time()),
            }
        }
    }

    fn take(&mut self, found: Found) {
        match found {
            Found::Addresses(portal, addresses) => {
                lock(&self.known).extend_from_slice(&addresses);
                self.waiting
                    .extend(addresses.into_iter().map(|address| (portal.clone(), address)));
            }
            Found::Failure(failure) => {
                self.attempts -= usize::from(failure.address.is_some());
                self.failures.push(failure);
                self.start_next();
            }
            Found::Connection(_) => {}
        }
    }

    fn start_next(&mut self) {
        let Some((portal, address)) = self.waiting.pop_front() else {
            return;
        };
        self.attempts += 1;
        self.next_start = Instant::now() + self.login.timing.stagger;
        let (login, known) = (self.login.clone(), self.known.clone());
        let deadline = self.deadline.min(Instant::now() + login.timing.login_timeout);
        self.running.spawn(async move {
            match attempt(&login, &known, portal.clone(), address, deadline).await {
                Ok(connected) => Found::Connection(Box::new(connected)),
                Err(error) => Found::Failure(PortalFailure {
                    portal,
                    address: Some(address),
                    error,
                }),
            }
        });
    }

    fn failure(self) -> LoginFailure {
        let target = self.login.target_name.as_ref().map(ToString::to_string);
        LoginFailure {
            target: target.unwrap_or_else(|| "a discovery session".to_owned()),
            failures: self.failures,
        }
    }

    /// What had no answer by the deadline failed for that reason.
    fn out_of_time(mut self) -> LoginFailure {
        let told: Vec<Portal> = self
            .failures
            .iter()
            .map(|failure| failure.portal.clone())
            .collect();
        for portal in self.login.portals.iter().filter(|portal| !told.contains(portal)) {
            let error = AttemptError::Timeout("connecting and logging in, until the caller's deadline");
            self.failures.push(PortalFailure {
                portal: portal.clone(),
                address: portal.address(),
                error,
            });
        }
        self.failure()
    }
}

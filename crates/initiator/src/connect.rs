//! From a list of portals to one logged-in connection: all are tried, overlapping in time; the first whose login
//! completes is used, the others stand by for the next time (F18).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use longshore_iscsi::chap::{Algorithms, ChapCredentials};
use longshore_iscsi::frame::{Decoder, encode};
use longshore_iscsi::isid::Isid;
use longshore_iscsi::login::{
    InitiatorLogin, InitiatorLoginConfig, InitiatorStep, LoginError, MAX_LOGIN_DATA_SEGMENT,
    SessionParameters,
};
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::params::Offers;
use longshore_iscsi::pdu::{Cid, LoginRequest, LoginResponse, LoginStatus, Tsih};
use longshore_iscsi::serial::SerialNumber32;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use crate::config::{Bind, DiscoveryConfig, RedirectPolicy, SessionConfig, Timing};
use crate::error::{AttemptError, LoginFailure, PortalFailure};
use crate::info::{Counters, SessionInfo, SessionState};
use crate::portal::Portal;
use crate::resolve::resolve;
use crate::session::lock;

/// The most redirects in a row that are followed.
const REDIRECTS_MAX: usize = 2;

/// Whom to log in to, and as whom: what sessions and discoveries have in common.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    initiator_name: IscsiName,
    target_name: Option<IscsiName>,
    isid: Isid,
    portals: Vec<Portal>,
    bind: Option<Bind>,
    chap: Option<ChapCredentials>,
    mutual: Option<ChapCredentials>,
    algorithms: Algorithms,
    offers: Offers,
    redirects: RedirectPolicy,
    timing: Timing,
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

/// Connects to one address and logs in, following redirects.
async fn attempt(
    login: &Login,
    known: &Mutex<Vec<SocketAddr>>,
    portal: Portal,
    first: SocketAddr,
    deadline: Instant,
) -> Result<Connected, AttemptError> {
    let mut address = first;
    for _ in 0..=REDIRECTS_MAX {
        let stream = timeout_at(deadline.into(), tcp_connect(address, login.bind.as_ref()))
            .await
            .map_err(|_elapsed| AttemptError::Timeout("connecting"))??;
        let outcome = timeout_at(deadline.into(), log_in(login, stream))
            .await
            .map_err(|_elapsed| AttemptError::Timeout("logging in"))??;
        match outcome {
            Outcome::Done(stream, decoder, parameters) => {
                return Ok(Connected {
                    stream,
                    decoder,
                    parameters,
                    portal,
                    address,
                });
            }
            Outcome::Redirect(text) => address = redirected(login, known, &text)?,
        }
    }
    let reason = "more than two redirects in a row";
    Err(AttemptError::Redirect {
        address: address.to_string(),
        reason,
    })
}

/// Where a TargetAddress (`address[:port][,tag]`) leads, if we go there: numeric, and among the configured portals.
fn redirected(login: &Login, known: &Mutex<Vec<SocketAddr>>, text: &str) -> Result<SocketAddr, AttemptError> {
    let refused = |reason| AttemptError::Redirect {
        address: text.chars().take(300).collect(),
        reason,
    };
    let portal = text.split(',').next().unwrap_or_default().parse::<Portal>();
    let portal = portal.map_err(|_| refused("it is not an address"))?;
    let address = portal
        .address()
        .ok_or_else(|| refused("it is a host name; only numeric addresses are followed"))?;
    let allowed = login.redirects == RedirectPolicy::AnyAddress || lock(known).contains(&address);
    if !allowed {
        return Err(refused(
            "it is not among the configured portals; add it to them if it is right",
        ));
    }
    Ok(address)
}

async fn tcp_connect(address: SocketAddr, bind: Option<&Bind>) -> Result<TcpStream, AttemptError> {
    let failed = |error: io::Error| AttemptError::Connect(error.to_string());
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    let bound = match bind {
        None => Ok(()),
        Some(Bind::Interface(name)) => socket.bind_device(Some(name.as_bytes())),
        Some(Bind::Address(ip)) => socket.bind(SocketAddr::new(*ip, 0)),
    };
    bound.map_err(|error| {
        let what = match bind {
            Some(Bind::Interface(name)) => format!("interface {name:?}"),
            Some(Bind::Address(ip)) => format!("source address {ip}"),
            None => String::new(),
        };
        AttemptError::Bind {
            what,
            reason: error.to_string(),
        }
    })?;
    let stream = socket.connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

enum Outcome {
    Done(TcpStream, Decoder, SessionParameters),
    Redirect(String),
}

async fn log_in(login: &Login, mut stream: TcpStream) -> Result<Outcome, AttemptError> {
    let lost = |error: io::Error| AttemptError::Lost(error.to_string());
    let mut challenge = [0; 32];
    getrandom::fill(&mut challenge).map_err(|error| AttemptError::Lost(error.to_string()))?;
    let mut machine = InitiatorLogin::new(login_config(login), challenge)?;
    let mut decoder = Decoder::new(MAX_LOGIN_DATA_SEGMENT as u32);
    let mut request = machine.start();
    loop {
        send(&mut stream, request).await.map_err(lost)?;
        let response = loop {
            if let Some(pdu) = decoder.decode()? {
                break LoginResponse::parse(pdu)?;
            }
            if stream.read_buf(decoder.buffer()).await.map_err(lost)? == 0 {
                return Err(AttemptError::Lost("the target closed the connection".to_owned()));
            }
        };
        let step = machine.handle(response).map_err(|error| match error {
            LoginError::Refused {
                status: LoginStatus::INITIATOR_ERROR,
            } if login.chap.is_none() => AttemptError::PerhapsChapRequired(error),
            error => error.into(),
        })?;
        match step {
            InitiatorStep::Send(next) => request = next,
            InitiatorStep::Redirect { address, .. } => return Ok(Outcome::Redirect(address)),
            InitiatorStep::Done(parameters) => {
                for warning in machine.warnings() {
                    tracing::warn!(%warning, "login");
                }
                decoder.set_digests(parameters.digests);
                decoder.set_max_data_segment(parameters.max_recv_data_segment_length);
                return Ok(Outcome::Done(stream, decoder, parameters));
            }
        }
    }
}

fn login_config(login: &Login) -> InitiatorLoginConfig {
    InitiatorLoginConfig {
        initiator_name: login.initiator_name.clone(),
        initiator_alias: None,
        target_name: login.target_name.clone(),
        isid: login.isid,
        // Zero with the ISID of before: a session of ours that the target still has is reinstated.
        tsih: Tsih(0),
        cid: Cid(0),
        cmd_sn: SerialNumber32(1),
        offers: login.offers.clone(),
        chap: login.chap.clone(),
        mutual: login.mutual.clone(),
        algorithms: login.algorithms.clone(),
    }
}

async fn send(stream: &mut TcpStream, request: LoginRequest) -> io::Result<()> {
    // The login phase has no digests.
    let frame = encode(request.into_raw(), longshore_iscsi::digest::Digests::default());
    for part in frame.slices() {
        stream.write_all(part).await?;
    }
    Ok(())
}

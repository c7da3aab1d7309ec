//! One attempt to log in: TCP, login dialogue, redirects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Instant;

use longshore_iscsi::chap::Algorithms;
use longshore_iscsi::digest::Digests;
use longshore_iscsi::frame::{Decoder, encode};
use longshore_iscsi::login::{
    InitiatorLogin, InitiatorLoginConfig, InitiatorStep, LoginError, MAX_LOGIN_DATA_SEGMENT,
    SessionParameters,
};
use longshore_iscsi::pdu::{Cid, LoginRequest, LoginResponse, LoginStatus, Tsih};
use longshore_iscsi::serial::SerialNumber32;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout_at;

use crate::config::{Bind, RedirectPolicy};
use crate::connect::{Connected, Login};
use crate::login_error::AttemptError;
use crate::portal::Portal;
use crate::session::lock;

/// The most redirects in a row that are followed.
const REDIRECTS_MAX: usize = 2;

/// Connects to one address and logs in, following redirects.
pub(crate) async fn attempt(
    login: &Login,
    known: &Mutex<Vec<SocketAddr>>,
    portal: Portal,
    first: SocketAddr,
    deadline: Instant,
) -> Result<Connected, AttemptError> {
    let mut address = first;
    for _ in 0..=REDIRECTS_MAX {
        match log_in_at(login, address, deadline).await? {
            Outcome::Done(stream, decoder, parameters) => {
                return Ok(Connected {
                    stream,
                    decoder,
                    parameters: *parameters,
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

/// Logs in at one address. A target that takes CHAP algorithm 7 for something else gets a second login without it:
/// that gives away nothing, since whoever answers could have chosen any other algorithm of the first list itself.
async fn log_in_at(login: &Login, address: SocketAddr, deadline: Instant) -> Result<Outcome, AttemptError> {
    let mut algorithms = login.algorithms.clone();
    let mut fallen_back = false;
    loop {
        let stream = timeout_at(deadline.into(), tcp_connect(address, login.bind.as_ref()))
            .await
            .map_err(|_elapsed| AttemptError::Timeout("connecting"))??;
        let outcome = timeout_at(deadline.into(), log_in(login, algorithms.clone(), stream))
            .await
            .map_err(|_elapsed| AttemptError::Timeout("logging in"))?;
        match outcome {
            Err(AttemptError::Login(LoginError::AlgorithmMisnumbered { others: Some(others) }))
                if !fallen_back =>
            {
                tracing::warn!(%address, "the target misreads CHAP algorithm 7; logging in without it");
                algorithms = others;
                fallen_back = true;
            }
            outcome => return outcome,
        }
    }
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
    Done(TcpStream, Decoder, Box<SessionParameters>),
    Redirect(String),
}

async fn log_in(
    login: &Login,
    algorithms: Algorithms,
    mut stream: TcpStream,
) -> Result<Outcome, AttemptError> {
    let lost = |error: io::Error| AttemptError::Lost(error.to_string());
    let mut challenge = [0; 32];
    getrandom::fill(&mut challenge).map_err(|error| AttemptError::Lost(error.to_string()))?;
    let mut machine = InitiatorLogin::new(login_config(login, algorithms), challenge)?;
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
                return Ok(Outcome::Done(stream, decoder, Box::new(parameters)));
            }
        }
    }
}

fn login_config(login: &Login, algorithms: Algorithms) -> InitiatorLoginConfig {
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
        algorithms,
    }
}

async fn send(stream: &mut TcpStream, request: LoginRequest) -> io::Result<()> {
    // The login phase has no digests.
    let frame = encode(request.into_raw(), Digests::default());
    for part in frame.slices() {
        stream.write_all(part).await?;
    }
    Ok(())
}

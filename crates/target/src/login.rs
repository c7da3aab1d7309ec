//! The login phase of a connection, on its own thread and under a deadline.

use crate::server::Shared;
use crate::target::{Session, Target};
use crate::wire::{Inbox, Outbox};
use longshore_iscsi::chap::Algorithms;
use longshore_iscsi::digest::Digests;
use longshore_iscsi::login::{ReadyLogin, SessionParameters, TargetLogin, TargetLoginConfig, TargetStep};
use longshore_iscsi::params::{DigestPolicy, Offers};
use longshore_iscsi::pdu::{Cid, LoginRequest, LoginResponse, LoginStatus, RawPdu};
use longshore_iscsi::serial::SerialNumber32;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The one portal group that all addresses of a server belong to.
pub(crate) const PORTAL_GROUP: u16 = 1;

/// A connection that has logged in.
pub(crate) struct LoggedIn {
    pub(crate) parameters: SessionParameters,
    pub(crate) cid: Cid,
    /// Of a normal session: its target and its place there.
    pub(crate) session: Option<(Arc<Target>, Arc<Session>)>,
    /// Who it is.
    pub(crate) initiator: longshore_iscsi::name::IscsiName,
}

/// Logs a connection in; `None` if it was turned away or did not make it in time.
pub(crate) fn log_in(
    shared: &Arc<Shared>,
    stream: &Arc<TcpStream>,
    peer: SocketAddr,
    inbox: &mut Inbox,
) -> Option<LoggedIn> {
    let deadline = Instant::now() + shared.limits.login_timeout();
    let mut login = TargetLogin::new(config(shared)?);
    loop {
        let raw = next_pdu(shared, stream, inbox, deadline)?;
        let request = LoginRequest::parse(raw)
            .inspect_err(|error| tracing::info!(%peer, %error, "a connection begins without a login"))
            .ok()?;
        let cid = request.cid;
        match login.handle(request, &**shared) {
            Ok(TargetStep::Send(response)) => send(stream, response)?,
            Ok(TargetStep::Ready(ready)) => return enter(shared, stream, peer, *ready, cid, deadline),
            Err(refusal) => {
                tracing::info!(%peer, initiator = refusal.initiator, reason = %refusal.reason, "a login was refused");
                send(stream, refusal.response)?;
                return None;
            }
        }
    }
}

fn config(shared: &Shared) -> Option<TargetLoginConfig> {
    let mut challenge = [0; 32];
    getrandom::fill(&mut challenge).ok()?; // without randomness nobody can prove anything
    Some(TargetLoginConfig {
        target_portal_group_tag: PORTAL_GROUP,
        offers: Offers {
            // The initiator decides: its digests are computed when it asks for them.
            header_digest: DigestPolicy::Accepted,
            data_digest: DigestPolicy::Accepted,
            first_burst_length: 65_536,
            ..Offers::default()
        },
        algorithms: Algorithms::all(),
        challenge,
        stat_sn: SerialNumber32(1),
        command_window: shared.limits.of_connection().command_window,
    })
}

fn next_pdu(shared: &Shared, stream: &TcpStream, inbox: &mut Inbox, deadline: Instant) -> Option<RawPdu> {
    loop {
        if let Some(pdu) = inbox.decoder.decode().ok()? {
            return Some(pdu);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        stream
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .ok()?;
        let read = inbox.receive(stream);
        shared.fault_state.wait_while_paused(|| shared.is_stopping());
        match read {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn send(stream: &TcpStream, response: LoginResponse) -> Option<()> {
    let mut out = Outbox::default();
    out.push(response.into_raw(), Digests::default());
    out.flush(stream).ok()
}

/// Finds or makes the session and sends the last response.
fn enter(
    shared: &Arc<Shared>,
    stream: &Arc<TcpStream>,
    peer: SocketAddr,
    ready: ReadyLogin,
    cid: Cid,
    deadline: Instant,
) -> Option<LoggedIn> {
    let identity = ready.identity.clone();
    let initiator = identity.initiator_name.clone();
    if identity.tsih.0 != 0 {
        // Sessions have one connection, and at error recovery level 0 a lost one takes its session along.
        send(stream, ready.refuse(LoginStatus::SESSION_DOES_NOT_EXIST))?;
        return None;
    }
    let tsih = shared.next_tsih();
    let session = match identity
        .target_name
        .as_ref()
        .and_then(|name| shared.target(name.as_str()))
    {
        None => None,
        Some(target) => {
            let key = (identity.initiator_name, identity.isid);
            let Some(session) = target.enter(key, tsih, Arc::clone(stream), peer, deadline) else {
                tracing::warn!(%peer, %initiator, "a login was refused: an I/O of its former session has not ended");
                send(stream, ready.refuse(LoginStatus::SERVICE_UNAVAILABLE))?;
                return None;
            };
            Some((target, session))
        }
    };
    let (response, parameters) = ready.accept(tsih);
    if send(stream, response).is_none() {
        if let Some((target, session)) = session {
            target.leave(&session, false);
        }
        return None;
    }
    tracing::info!(%peer, %initiator, tsih = tsih.0, "logged in");
    Some(LoggedIn {
        parameters,
        cid,
        session,
        initiator,
    })
}

//! One connection in full feature phase: its thread reads, carries out and answers.

use crate::execute::Incoming;
use crate::login::{self, LoggedIn};
use crate::server::Shared;
use crate::sync::lock;
use crate::target::{Session, Target};
use crate::wire::{Inbox, Outbox};
use longshore_iscsi::digest::Digests;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::pdu::TaskAttribute;
use longshore_iscsi::target::{ConnectionError, Event, TargetConnection, TaskId};
use longshore_iscsi::text::TargetAddress;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Answers go out when so many bytes wait, and at the end of what was received.
const FLUSH_LEN: usize = 512 << 10;

/// A connection and what its jobs on other threads need of it.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    /// Of a normal session.
    pub(crate) place: Option<(Arc<Target>, Arc<Session>)>,
    initiator: IscsiName,
    pub(crate) stream: Arc<TcpStream>,
    /// Locked after a logical unit's `gate` by nobody: jobs let go of the gate before they answer.
    pub(crate) wire: Mutex<Wire>,
    /// Jobs that have not begun; ABORT TASK takes its task out.
    pub(crate) jobs: Mutex<HashSet<TaskId>>,
    job_ended: Condvar,
}

/// The machine of the connection and what goes with it.
pub(crate) struct Wire {
    pub(crate) machine: TargetConnection,
    out: Outbox,
    digests: Digests,
    /// Commands whose Data-Out is on its way.
    pub(crate) incoming: HashMap<TaskId, Incoming>,
    /// Jobs that have not ended.
    pub(crate) jobs: usize,
    pub(crate) logged_out: bool,
}

impl Wire {
    /// Sends all answers.
    pub(crate) fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        self.pump();
        self.out.flush(stream)
    }

    /// Sends answers if many wait.
    pub(crate) fn flush_if_full(&mut self, stream: &TcpStream) -> io::Result<()> {
        self.pump();
        if self.out.len() >= FLUSH_LEN {
            self.out.flush(stream)
        } else {
            Ok(())
        }
    }

    fn pump(&mut self) {
        while let Some(pdu) = self.machine.poll_transmit() {
            self.out.push(pdu, self.digests);
        }
    }
}

/// Why a connection ends, other than by a logout.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the initiator closed the connection")]
    Closed,
    #[error(transparent)]
    Protocol(#[from] ConnectionError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The whole life of a connection.
pub(crate) fn run(shared: &Arc<Shared>, stream: &Arc<TcpStream>, peer: SocketAddr) {
    let mut inbox = Inbox::new();
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_write_timeout(Some(shared.limits.send_timeout())));
    if let Err(error) = prepared {
        tracing::warn!(%peer, %error, "cannot prepare a connection");
        return;
    }
    let Some(logged_in) = shared.while_logging_in(|| login::log_in(shared, stream, peer, &mut inbox)) else {
        return;
    };
    let connection = Arc::new(Connection::new(shared, stream, logged_in, &mut inbox));
    let result = connection.serve(&mut inbox);
    let logged_out = {
        let mut wire = lock(&connection.wire);
        wire.incoming.clear();
        wire.logged_out
    };
    match &result {
        Ok(()) => tracing::info!(%peer, initiator = %connection.initiator, "logged out"),
        Err(end) => tracing::info!(%peer, initiator = %connection.initiator, %end, "a connection was lost"),
    }
    let _ = stream.shutdown(std::net::Shutdown::Both); // fails only if the peer was faster
    if let Some((target, session)) = &connection.place {
        target.leave(session, logged_out);
    }
}

impl Connection {
    fn new(shared: &Arc<Shared>, stream: &Arc<TcpStream>, logged_in: LoggedIn, inbox: &mut Inbox) -> Self {
        let LoggedIn {
            parameters,
            cid,
            session,
            initiator,
        } = logged_in;
        let digests = parameters.digests;
        inbox.decoder.set_digests(digests);
        inbox
            .decoder
            .set_max_data_segment(parameters.max_recv_data_segment_length);
        let machine = TargetConnection::new(parameters, cid, shared.limits.of_connection(), Instant::now());
        Self {
            shared: Arc::clone(shared),
            place: session,
            initiator,
            stream: Arc::clone(stream),
            wire: Mutex::new(Wire {
                machine,
                out: Outbox::default(),
                digests,
                incoming: HashMap::new(),
                jobs: 0,
                logged_out: false,
            }),
            jobs: Mutex::default(),
            job_ended: Condvar::new(),
        }
    }

    /// Answers until the initiator logs out.
    fn serve(self: &Arc<Self>, inbox: &mut Inbox) -> Result<(), End> {
        let tick = self.tick();
        self.stream.set_read_timeout(Some(tick))?;
        loop {
            if self.take_received(inbox)? {
                return Ok(());
            }
            match inbox.receive(&self.stream) {
                Ok(0) => return Err(End::Closed),
                Ok(_) => self.shared.fault_state.wait_while_paused(|| self.is_over()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    self.on_tick(inbox)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How often a quiet connection looks at the clock.
    fn tick(&self) -> Duration {
        let limits = self.shared.limits.of_connection();
        let shortest = [limits.ping_after, limits.ping_timeout]
            .into_iter()
            .filter(|time| !time.is_zero())
            .min();
        shortest
            .map_or(Duration::from_secs(5), |time| time / 2)
            .clamp(Duration::from_millis(20), Duration::from_secs(5))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.shared.is_stopping()
            || self
                .place
                .as_ref()
                .is_some_and(|(_, session)| session.is_closed())
    }

    /// Nothing has come for a while: pings, and gives memory back.
    fn on_tick(&self, inbox: &mut Inbox) -> Result<(), End> {
        self.shared.fault_state.wait_while_paused(|| self.is_over());
        let mut wire = lock(&self.wire);
        wire.machine.handle_timeout(Instant::now())?;
        wire.flush(&self.stream)?;
        if wire.machine.open_commands() == 0 {
            wire.incoming.shrink_to_fit();
            inbox.release();
            self.shared.buffers.release();
        }
        Ok(())
    }

    /// Carries out everything that has arrived, and sends the answers. `true`: the initiator has logged out.
    fn take_received(self: &Arc<Self>, inbox: &mut Inbox) -> Result<bool, End> {
        let now = Instant::now();
        let mut wire = lock(&self.wire);
        loop {
            let handled = match inbox.decoder.decode() {
                Ok(None) => break,
                Ok(Some(pdu)) => wire.machine.handle_pdu(now, pdu),
                Err(error) => wire.machine.handle_frame_error(now, error),
            };
            if let Err(error) = handled {
                wire.flush(&self.stream)?; // it may hold the Reject
                return Err(error.into());
            }
            while let Some(event) = wire.machine.poll_event() {
                let ordered = matches!(&event, Event::Command(c) if c.attribute == TaskAttribute::Ordered);
                if ordered {
                    wire = self.wait_for_jobs(wire)?;
                }
                self.on_event(&mut wire, event)?;
                if ordered {
                    wire = self.wait_for_jobs(wire)?;
                }
            }
            wire.flush_if_full(&self.stream)?;
        }
        wire.flush(&self.stream)?;
        Ok(wire.logged_out)
    }

    /// An ORDERED command begins after all earlier ones have ended, and later ones begin after it (SAM-5 8.6.3).
    fn wait_for_jobs<'a>(&'a self, mut wire: MutexGuard<'a, Wire>) -> Result<MutexGuard<'a, Wire>, End> {
        wire.flush(&self.stream)?;
        Ok(self
            .job_ended
            .wait_while(wire, |wire| wire.jobs > 0)
            .unwrap_or_else(PoisonError::into_inner))
    }

    fn on_event(self: &Arc<Self>, wire: &mut Wire, event: Event) -> io::Result<()> {
        match event {
            Event::Command(command) => {
                if let Some(delay) = self.shared.fault_state.delay() {
                    std::thread::sleep(delay);
                }
                self.command(wire, command)
            }
            Event::Data {
                task,
                offset,
                segments,
                last,
            } => self.data(wire, task, offset, segments, last),
            Event::DataLost { task } => {
                self.data_lost(wire, task);
                Ok(())
            }
            Event::TaskManagement(request) => {
                self.task_management(wire, &request);
                Ok(())
            }
            Event::SendTargets { value } => {
                let targets = self.send_targets(&value);
                wire.machine.respond_send_targets(&targets);
                Ok(())
            }
            Event::LoggedOut => {
                wire.logged_out = true;
                Ok(())
            }
        }
    }

    /// Runs `job` on another thread; it answers by itself.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        wire: &mut Wire,
        job: impl FnOnce(&Arc<Connection>) + Send + 'static,
    ) {
        wire.jobs += 1;
        let connection = Arc::clone(self);
        self.shared.workers.run(move || {
            job(&connection);
            lock(&connection.wire).jobs -= 1;
            connection.job_ended.notify_all();
        });
    }

    /// What this initiator may know of (RFC 7143 appendix C).
    fn send_targets(&self, value: &str) -> Vec<(IscsiName, Vec<TargetAddress>)> {
        let own = self.place.as_ref().map(|(target, _)| &target.name);
        let addresses = self.addresses();
        self.shared
            .targets
            .iter()
            .filter(|target| target.admits(&self.initiator))
            .filter(|target| match value {
                "All" => own.is_none_or(|own| *own == target.name),
                "" => own.is_some_and(|own| *own == target.name),
                name => target.name.as_str().eq_ignore_ascii_case(name),
            })
            .map(|target| (target.name.clone(), addresses.clone()))
            .collect()
    }

    /// The portals as this initiator can reach them: where the server listens on all addresses, the one that the
    /// initiator has used.
    fn addresses(&self) -> Vec<TargetAddress> {
        let used = self.stream.local_addr().ok();
        let mut addresses: Vec<TargetAddress> = Vec::new();
        for address in &self.shared.addresses {
            let ip = match used {
                Some(used) if address.ip().is_unspecified() => used.ip(),
                _ => address.ip(),
            };
            let host = match ip {
                IpAddr::V6(ip) => ip
                    .to_ipv4_mapped()
                    .map_or_else(|| ip.to_string(), |ip| ip.to_string()),
                IpAddr::V4(ip) => ip.to_string(),
            };
            let address = TargetAddress {
                host,
                port: address.port(),
                portal_group_tag: Some(login::PORTAL_GROUP),
            };
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

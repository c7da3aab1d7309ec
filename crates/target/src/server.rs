//! The server: listeners, connections, start and stop.

use crate::buffers::Buffers;
use crate::config::{ChapConfig, Limits, ServerConfig, TargetConfig};
use crate::connection;
use crate::error::{ConfigError, StartError, StopError};
use crate::faults::{FaultState, Faults};
use crate::handle::TargetHandle;
use crate::sync::{lock, write};
use crate::target::Target;
use crate::workers::Workers;
use longshore_iscsi::chap::ChapCredentials;
use longshore_iscsi::pdu::Tsih;
use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Stack of a connection's thread.
const STACK_LEN: usize = 256 << 10;

/// What all threads of a server share.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) discovery_chap: Vec<ChapCredentials>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) fault_state: FaultState,
    /// Held while logical units are added, replaced or removed.
    pub(crate) changing: Mutex<()>,
    pub(crate) addresses: Vec<SocketAddr>,
    stopping: AtomicBool,
    connections: Mutex<HashMap<u64, Arc<TcpStream>>>,
    /// How many connections have not logged in yet.
    logging_in: AtomicUsize,
    last_connection: AtomicU64,
    last_tsih: AtomicU16,
    threads: Mutex<usize>,
    thread_ended: Condvar,
}

impl Shared {
    pub(crate) fn target(&self, name: &str) -> Option<Arc<Target>> {
        self.targets
            .iter()
            .find(|target| target.name.as_str().eq_ignore_ascii_case(name))
            .cloned()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// A TSIH for a new session: never 0.
    pub(crate) fn next_tsih(&self) -> Tsih {
        loop {
            let tsih = self.last_tsih.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if tsih != 0 {
                return Tsih(tsih);
            }
        }
    }

    /// Runs a login. Those that are not done may take up half of all connections, so that strangers cannot keep
    /// everybody out.
    pub(crate) fn while_logging_in<T>(&self, login: impl FnOnce() -> Option<T>) -> Option<T> {
        let others = self.logging_in.fetch_add(1, Ordering::SeqCst);
        let result = if others < self.limits.max_connections.div_ceil(2) {
            login()
        } else {
            tracing::warn!("a connection was turned away: too many others have not logged in yet");
            None
        };
        self.logging_in.fetch_sub(1, Ordering::SeqCst);
        result
    }

    pub(crate) fn shut_down_connections(&self) {
        for stream in lock(&self.connections).values() {
            let _ = stream.shutdown(Shutdown::Both); // fails only if the peer was faster
        }
    }

    /// Runs `work` on a thread that [`Server::stop`] waits for.
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        struct Ended(Arc<Shared>);
        impl Drop for Ended {
            fn drop(&mut self) {
                *lock(&self.0.threads) -= 1;
                self.0.thread_ended.notify_all();
            }
        }
        *lock(&self.threads) += 1;
        let ended = Ended(Arc::clone(self));
        let builder = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_LEN);
        builder
            .spawn(move || {
                let _ended = ended;
                work();
            })
            .map(drop)
    }

    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        while !self.is_stopping() {
            match listener.accept() {
                Ok((stream, peer)) => self.accept(stream, peer),
                Err(_) if self.is_stopping() => break,
                Err(error) => {
                    // Out of descriptors or memory: others may end meanwhile.
                    tracing::warn!(%error, "cannot accept a connection");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let stream = Arc::new(stream);
        let id = self.last_connection.fetch_add(1, Ordering::Relaxed);
        {
            let mut connections = lock(&self.connections);
            if connections.len() >= self.limits.max_connections {
                tracing::warn!(%peer, "turned away: there are as many connections as are allowed");
                return;
            }
            connections.insert(id, Arc::clone(&stream));
        }
        let shared = Arc::clone(self);
        let started = self.spawn("target-connection", move || {
            if !shared.is_stopping() {
                connection::run(&shared, &stream, peer);
            }
            lock(&shared.connections).remove(&id);
        });
        if let Err(error) = started {
            tracing::warn!(%peer, %error, "turned away: cannot start a thread");
            lock(&self.connections).remove(&id);
        }
    }
}

/// Collects what a server is to be.
#[derive(Clone, Debug, Default)]
pub struct ServerBuilder {
    config: ServerConfig,
}

impl ServerBuilder {
    /// Listens on an address, too; port 0 takes a free one.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.portals.push(address);
        self
    }

    /// Serves a target, too.
    #[must_use]
    pub fn target(mut self, target: TargetConfig) -> Self {
        self.config.targets.push(target);
        self
    }

    /// Asks for a proof in discovery sessions.
    #[must_use]
    pub fn discovery_chap(mut self, account: ChapConfig) -> Self {
        self.config.discovery_chap.push(account);
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    /// [`StartError`]; then nothing listens and no disk is held.
    pub fn start(self) -> Result<Server, StartError> {
        Server::start(&self.config)
    }
}

/// A running server. When it is dropped, it stops without waiting for its threads.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<Arc<TcpListener>>,
}

impl Server {
    /// Begins with nothing.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts a server.
    ///
    /// # Errors
    /// [`StartError`]; then nothing listens and no disk is held.
    pub fn start(config: &ServerConfig) -> Result<Server, StartError> {
        if config.portals.is_empty() {
            return Err(ConfigError::NoPortal.into());
        }
        let mut targets: Vec<Arc<Target>> = Vec::new();
        for target in &config.targets {
            let target = Target::new(target)?;
            if targets.iter().any(|other| other.name == target.name) {
                return Err(ConfigError::SameName(target.name.to_string()).into());
            }
            targets.push(Arc::new(target));
        }
        let listeners = config.portals.iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let discovery_chap = config
            .discovery_chap
            .iter()
            .map(|chap| ChapCredentials::new(chap.name.clone(), chap.secret.clone()))
            .collect::<Result<_, _>>()
            .map_err(ConfigError::from)?;
        let shared = Arc::new(Shared {
            limits: config.limits.clone(),
            targets,
            discovery_chap,
            buffers: Arc::default(),
            workers: Arc::default(),
            fault_state: FaultState::default(),
            changing: Mutex::default(),
            addresses: listeners.iter().map(|(_, address)| *address).collect(),
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            logging_in: AtomicUsize::new(0),
            last_connection: AtomicU64::new(0),
            last_tsih: AtomicU16::new(0),
            threads: Mutex::default(),
            thread_ended: Condvar::new(),
        });
        let server = Server {
            shared,
            listeners: listeners
                .into_iter()
                .map(|(listener, _)| Arc::new(listener))
                .collect(),
        };
        server.open_luns(&config.targets)?;
        for listener in &server.listeners {
            let (shared, listener) = (Arc::clone(&server.shared), Arc::clone(listener));
            server
                .shared
                .spawn("target-listener", move || shared.listen(&listener))
                .map_err(StartError::Thread)?;
        }
        Ok(server)
    }

    fn open_luns(&self, configs: &[TargetConfig]) -> Result<(), StartError> {
        for config in configs {
            let Some(handle) = self.target(&config.name) else {
                continue;
            };
            for lun in &config.luns {
                let opened = match handle.target.lun(lun.number) {
                    Some(_) => Err(crate::error::LunError::Taken(lun.number)),
                    None => handle.open(lun),
                };
                let opened = opened.map_err(|source| StartError::Lun {
                    target: config.name.clone(),
                    source,
                })?;
                write(&handle.target.luns).insert(lun.number, Arc::new(opened));
            }
        }
        Ok(())
    }

    /// The first address that the server listens on, with its true port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.addresses[0] // start() refuses a server without one
    }

    /// All addresses that the server listens on, with their true ports.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// A target by its name.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<TargetHandle> {
        let target = self.shared.target(name)?;
        Some(TargetHandle {
            shared: Arc::clone(&self.shared),
            target,
        })
    }

    /// Faults on purpose, for tests.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Stops: nothing new is taken, connections are closed, I/O that is under way ends, written data stay in the page
    /// cache. When this returns `Ok`, all disks are closed.
    ///
    /// # Errors
    /// [`StopError`] when threads had not ended at the deadline.
    pub fn stop(self, deadline: Instant) -> Result<(), StopError> {
        self.begin_stop();
        let mut threads = lock(&self.shared.threads);
        while *threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.thread_ended.wait_timeout(threads, left);
            threads = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let left = *threads + self.shared.workers.stop(deadline);
        drop(threads);
        // Handles may live on: the disks are closed here, not when the last of them is dropped.
        self.shared
            .targets
            .iter()
            .for_each(|target| write(&target.luns).clear());
        if left > 0 {
            Err(StopError { threads: left })
        } else {
            Ok(())
        }
    }

    fn begin_stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for listener in &self.listeners {
            // Wakes the thread in accept(); Linux answers with an error from then on.
            let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
        }
        for target in &self.shared.targets {
            target.sessions().iter().for_each(|session| session.close());
        }
        self.shared.shut_down_connections();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

fn listen(address: &SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        address: *address,
        source,
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

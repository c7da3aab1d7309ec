//! The local socket and the life of the process: start, serve, end when nobody needs it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_blockdev::{Budget, FuseLoop};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;

use super::plane::Plane;
use super::{Config, RunError, cgroup, connection};
use crate::hold::Link;
use crate::proto::Fact;

/// Bytes of requests under way, of all devices together.
const BUDGET_BYTES: usize = 32 << 20;
/// Clients at once; more wait in the socket's backlog.
const MAX_CLIENTS: usize = 128;
/// How long the process stays when nobody needs it.
const IDLE: Duration = Duration::from_secs(1);

/// Runs the data plane.
pub(super) async fn serve(config: Config, facts: Vec<Fact>) -> Result<(), RunError> {
    let Config { dirs, exe } = config;
    let link = Link::open(dirs.clone(), exe).map_err(RunError::new("talk to hold"))?;
    let exporter = FuseLoop::new(Budget::new(BUDGET_BYTES)).map_err(RunError::new("set its memory up"))?;
    let plane = Arc::new(Plane::new(link, exporter, facts));
    let kept = plane
        .link
        .kept()
        .await
        .map_err(RunError::new("get the devices of a former data plane back"))?;
    plane.adopt(kept);
    let socket = dirs.socket();
    let listener = bind(&socket).map_err(RunError::new(format!("listen on {}", socket.display())))?;
    plane
        .link
        .ready()
        .await
        .map_err(RunError::new("tell hold that it is ready"))?;
    let accepting = tokio::spawn(accept(plane.clone(), listener));
    wait_for_end(&plane).await?;

    // From here on every request is refused, so a client that still gets in starts the next data plane.
    accepting.abort();
    if let Err(error) = std::fs::remove_file(&socket) {
        tracing::warn!(%error, "cannot remove the socket");
    }
    cgroup::tidy();
    if let Err(error) = plane.link.bye().await {
        tracing::warn!(%error, "hold did not take the farewell");
    }
    Ok(())
}

/// Until nobody needs the process for a while, or somebody asks it to end and no device is left.
async fn wait_for_end(plane: &Plane) -> Result<(), RunError> {
    let watch = |kind: SignalKind| signal(kind).map_err(RunError::new("watch signals"));
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    let _hangup: Signal = watch(SignalKind::hangup())?;
    loop {
        let idle = async {
            if plane.is_idle() {
                tokio::time::sleep(IDLE).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = plane.changed.notified() => {
                if plane.is_ending() {
                    // The answer to the client is on its way.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    return Ok(());
                }
            }
            () = idle => {
                if plane.is_idle() && plane.try_end() {
                    return Ok(());
                }
            }
            _ = terminate.recv() => if asked_to_end(plane) { return Ok(()) },
            _ = interrupt.recv() => if asked_to_end(plane) { return Ok(()) },
        }
    }
}

fn asked_to_end(plane: &Plane) -> bool {
    let ends = plane.try_end();
    if !ends {
        tracing::warn!("asked to end, but devices are attached: their I/O goes on");
    }
    ends
}

/// A socket that is there from the first moment with mode 0600, in place of one that a former data plane left.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("sock.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&new);
    rustix::process::umask(old);
    let listener = listener?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

async fn accept(plane: Arc<Plane>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) if may_enter(&stream) => {
                let plane = plane.clone();
                tokio::spawn(async move {
                    connection::serve(plane, stream).await;
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("a process of another user was turned away"),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Root, and whoever runs this process.
fn may_enter(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

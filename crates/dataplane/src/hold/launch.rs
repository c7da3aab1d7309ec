//! The first stage: starts the guard detached from the caller, and waits until its data plane listens.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Config, HoldError, Stage, host, log};
use crate::{Dirs, spawn};

/// What the guard says when the data plane listens. Anything else says why it does not.
pub(super) const READY: &str = "ready";
/// Longest text of the guard in bytes.
const MAX_TEXT_BYTES: u64 = 4096;
/// How long the guard may take; it gives up before (`ward::START_UP`).
const PATIENCE: Duration = Duration::from_secs(40);

/// See [`Stage::Launch`].
pub(super) fn launch(config: Config) -> Result<(), HoldError> {
    let dirs = absolute(config.dirs)?;
    dirs.create().map_err(host("make its directories"))?;
    let log = log::open(&dirs).map_err(host(format!("open {}", dirs.log().display())))?;
    let (ours, theirs) = UnixStream::pair().map_err(host("make a socket"))?;
    spawn::hold(&config.exe, &dirs, Stage::Guard, theirs, log)
        .map_err(host(format!("run {}", config.exe.display())))?;
    let text = hear(ours).map_err(host("hear from the guard that it started"))?;
    match text.trim() {
        READY => Ok(()),
        "" => Err(HoldError::NotReady(format!(
            "the guard of the data plane ended without a word; {} may say why",
            dirs.log().display()
        ))),
        reason => Err(HoldError::NotReady(reason.to_owned())),
    }
}

fn absolute(dirs: Dirs) -> Result<Dirs, HoldError> {
    let absolute = |path: &std::path::Path| {
        std::path::absolute(path).map_err(host(format!("find out where {} is", path.display())))
    };
    Ok(Dirs::new(absolute(&dirs.run_dir)?, absolute(&dirs.state_dir)?))
}

/// Reads until the guard closes its end.
fn hear(mut guard: UnixStream) -> std::io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut buffer = [0; 512];
    while bytes.len() < MAX_TEXT_BYTES as usize {
        let left = deadline.saturating_duration_since(Instant::now());
        guard.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match guard.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => bytes.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

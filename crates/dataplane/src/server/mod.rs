//! The data plane's process: one thread, one runtime; sessions, devices and the local socket.

mod attach;
mod backing;
mod cgroup;
mod connection;
mod detach;
mod discovery;
mod gate;
mod holders;
mod host;
mod listener;
mod log;
mod note;
mod plane;
mod resume;
mod sessions;
mod source;
mod status;
mod translate;

use std::io;
use std::path::PathBuf;

use crate::Dirs;

/// What the data plane works on.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its directories.
    pub dirs: Dirs,
    /// The binary; another `hold` is started from it when the present one dies.
    pub exe: PathBuf,
}

/// Why the data plane ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
#[error("the data plane cannot {what}: {source}")]
pub struct RunError {
    /// What was tried.
    what: String,
    /// Why it failed.
    source: io::Error,
}

impl RunError {
    fn new(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self { what, source }
    }
}

/// Runs the data plane until nobody needs it. Standard input is the socket on which `hold` started it. To be called
/// before any thread is started and without a tracing subscriber.
///
/// # Errors
/// [`RunError`] when it cannot start, or its socket fails.
pub fn run(config: Config) -> Result<(), RunError> {
    log::install(&config.dirs);
    let facts = host::prepare();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::new("start its runtime"))?;
    let result = runtime.block_on(listener::serve(config, facts));
    // Helper threads that hang in the kernel are not waited for.
    runtime.shutdown_background();
    result
}

//! The guardian of the data plane: it keeps what a successor needs, in memory only, and starts that successor.
//!
//! ```text
//!   client ── runs ──▶ hold (launch) ── starts, waits for "ready" ──▶ hold (guard), a session of its own
//!                                                                      │ socketpair as standard input
//!                                                                      ▼
//!                                                                   data plane: [`Link`]
//! ```
//!
//! - The data plane dies: the guard reaps it, starts the next one, and gives it back all notes and descriptors.
//! - The guard dies: [`Link`] starts another one (adopt), which watches the living data plane by its pidfd and is
//!   handed everything again.
//! - Both die: the kernel closes the descriptors, those of /dev/fuse first (`blockdev::descriptors`), and I/O fails.
//!
//! SIGTERM and SIGINT are passed on to the data plane as SIGTERM, and it decides: it says `bye`, which is granted
//! only when nothing is kept, or goes on. SIGHUP does nothing.

mod conversation;
mod crashes;
mod guard;
mod launch;
mod link;
mod lock;
mod log;
mod message;
mod socket;
mod start;
mod store;
mod ward;

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

pub use link::{KeptDevice, Link, NotedLink};

use crate::Dirs;

/// What this process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// Start a guard that is detached from the caller, and return when its data plane listens.
    #[default]
    Launch,
    /// Start a data plane and guard it. Standard input is a socket to the process at [`Stage::Launch`].
    Guard,
    /// Guard the data plane that runs. Standard input is a socket to it.
    Adopt,
}

impl Stage {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Guard => "guard",
            Self::Adopt => "adopt",
        }
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Launch, Self::Guard, Self::Adopt]
            .into_iter()
            .find(|stage| stage.name() == text)
            .ok_or_else(|| format!("the stage '{text}' is not launch, guard or adopt"))
    }
}

/// What `hold` works on.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directories of its data plane.
    pub dirs: Dirs,
    /// The binary whose subcommands `hold` and `dataplane` are started.
    pub exe: PathBuf,
    /// What this process is to do.
    pub stage: Stage,
}

/// Carries a stage out. To be called before any thread or runtime is started.
///
/// [`Stage::Launch`] returns when the data plane listens, the others when there is nothing left to guard.
///
/// # Errors
/// [`HoldError`]; to be printed to standard error, which is the log for all but [`Stage::Launch`].
pub fn run(config: Config) -> Result<(), HoldError> {
    match config.stage {
        Stage::Launch => launch::launch(config),
        Stage::Guard => start::guard(config),
        Stage::Adopt => start::adopt(config),
    }
}

/// Why there is no guarded data plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// The host refused.
    #[error("hold cannot {what}: {source}")]
    Host {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Another one guards the data plane of these directories.
    #[error("another 'hold' has locked {}; it guards the data plane of this directory already", lock.display())]
    Locked {
        /// The lock file.
        lock: PathBuf,
    },
    /// The data plane did not come up.
    #[error("{0}")]
    NotReady(String),
    /// Standard input is not what the stage needs.
    #[error("the stage '{0}' is started by Longshore itself; run 'hold' without --stage")]
    Internal(&'static str),
}

fn host(what: impl Into<String>) -> impl FnOnce(io::Error) -> HoldError {
    let what = what.into();
    |source| HoldError::Host { what, source }
}

//! The engine: takes volumes up (attach, identify, format, check, mount, publish) and down again.

mod answer;
mod call;
mod content;
mod down;
mod forget;
mod grow;
mod inspect;
mod mount;
mod paths;
mod publish;
mod raw;
mod stage;
mod up;
mod view;
mod work;

pub use answer::{AttachedVolume, Grown, MountedVolume, PublishedVolume, StagedVolume};
pub use call::Call;
pub use view::{DeviceView, PublicationView, Report, StagingView, VolumeState, VolumeView};

use crate::backend::iscsi::IscsiBackend;
use crate::backend::{Backends, InitiatorIdentity};
use crate::error::VolumeError;
use crate::host::{Host, LinuxHost};
use crate::journal::Journal;
use longshore_dataplane::Dirs;
use std::fmt;
use std::path::PathBuf;

/// What an engine works with.
pub struct EngineConfig {
    /// Durable: the journal (`/var/lib/longshore`).
    pub state_dir: PathBuf,
    /// Until the next boot: locks, staging directories, device links (`/run/longshore`).
    pub run_dir: PathBuf,
    /// The backends.
    pub backends: Backends,
    /// The machine.
    pub host: Box<dyn Host>,
}

/// Takes volumes up and down. Any number of engines, in any number of processes, may work on the same directories.
///
/// Every operation is idempotent, waits for one that is under way on the same volume, and after a kill at any point
/// the same call or the opposite one finishes the job.
pub struct Engine {
    config: EngineConfig,
    journal: Journal,
    boot_id: String,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("journal", &self.journal)
            .field("backends", &self.config.backends)
            .finish()
    }
}

impl Engine {
    /// Opens the directories (made with mode 0700 if need be). Nothing else is touched.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(config: EngineConfig) -> Result<Engine, VolumeError> {
        let journal = Journal::open(&config.state_dir)?;
        Engine::make_directories(&config.run_dir)?;
        let boot_id = config.host.boot_id().map_err(VolumeError::Machine)?;
        Ok(Engine {
            config,
            journal,
            boot_id,
        })
    }
}

impl EngineConfig {
    /// This machine, with all backends. `exe` is the program that is started as data plane; nothing is started here.
    ///
    /// # Errors
    /// When the mount namespace cannot be opened.
    pub fn for_this_machine(
        state_dir: PathBuf,
        run_dir: PathBuf,
        exe: PathBuf,
        identity: InitiatorIdentity,
    ) -> Result<Self, VolumeError> {
        let host = LinuxHost::new().map_err(VolumeError::Machine)?;
        let dirs = Dirs::new(run_dir.clone(), state_dir.clone());
        let iscsi = IscsiBackend::new(dirs, exe, identity);
        let backends = Backends::new().with("iscsi", Box::new(iscsi));
        Ok(EngineConfig {
            state_dir,
            run_dir,
            backends,
            host: Box::new(host),
        })
    }
}

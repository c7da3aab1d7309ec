//! The real engine: this machine's disks and mounts, and the data plane for iSCSI.

use std::path::PathBuf;

use longshore_dataplane::Dirs;
use longshore_volume::backend::iscsi::IscsiBackend;
use longshore_volume::backend::{Backends, InitiatorIdentity};
use longshore_volume::host::LinuxHost;
use longshore_volume::{Engine, EngineConfig};

use crate::app::EngineSource;
use crate::exit::{CliError, ExitCode};
use crate::initiator::{Identity, Machine, Store};

/// Opens engines on this machine.
pub(crate) struct RealEngine;

impl EngineSource for RealEngine {
    fn open(&self, dirs: &Dirs, logs_in: bool) -> Result<Engine, CliError> {
        let store = Store::new(&dirs.state_dir);
        // What takes volumes down must work even where the name is another machine's.
        let identity = if logs_in {
            Some(store.get_or_create(&Machine::this())?)
        } else {
            store.read()?
        };
        let backend = IscsiBackend::new(dirs.clone(), own_program(), initiator(identity.as_ref())?);
        let host = LinuxHost::new().map_err(|error| CliError::new(ExitCode::Host, error.to_string()))?;
        let config = EngineConfig {
            state_dir: dirs.state_dir.clone(),
            run_dir: dirs.run_dir.clone(),
            backends: Backends::new().with("iscsi", Box::new(backend)),
            host: Box::new(host),
        };
        Ok(Engine::open(config)?)
    }
}

/// Without a recorded identity nothing was ever attached, and the command logs in nowhere.
fn initiator(identity: Option<&Identity>) -> Result<InitiatorIdentity, CliError> {
    Ok(match identity {
        Some(identity) => InitiatorIdentity {
            initiator_name: identity.name.clone(),
            isid: identity.isid()?.0,
        },
        None => InitiatorIdentity {
            initiator_name: String::new(),
            isid: [0; 6],
        },
    })
}

/// This program, from which the data plane is started; also when its file was replaced meanwhile.
pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

//! `longshore detach`: takes a raw block device away.

use clap::Args;
use longshore_volume::{Outcome, VolumeId};
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::locate;
use crate::output::Render;

use super::already;

/// Take away a raw block device that `attach` made; the session ends with its last device
#[derive(Debug, Args)]
pub(crate) struct Detach {
    /// An id, its beginning, the device's path or an iscsi:// URL
    #[arg(value_name = "VOLUME")]
    volume: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    outcome: Outcome,
    id: VolumeId,
}

impl Detach {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let engine = app.engine(false)?;
        let views = app.call("longshore detach", |call| engine.list(call))?;
        let id = locate::volume(&self.volume, &views)?;
        let outcome = app.call("longshore detach", |call| engine.detach(&id, call))?;
        app.result(&Report { outcome, id })?;
        Ok(ExitCode::Success)
    }
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        format!("{} is detached{}\n", self.id, already(self.outcome))
    }
}

//! `longshore attach`: a LUN as a raw block device.

use clap::Args;
use longshore_volume::Outcome;
use longshore_volume::engine::AttachedVolume;
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::output::{Render, human_bytes};
use crate::volume_args::{FileSystemArgs, VolumeArgs};

use super::already;

/// Make a raw block device of a LUN and print its path
///
/// The path is a stable link; it is the only thing printed, so that scripts can use it.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    #[command(flatten)]
    volume: VolumeArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    outcome: Outcome,
    #[serde(flatten)]
    volume: AttachedVolume,
}

impl Attach {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let spec = self.volume.spec(FileSystemArgs::default(), app)?;
        let engine = app.engine(true)?;
        let (outcome, volume) = app.call("longshore attach", |call| engine.attach(&spec, call))?;
        app.result(&Report { outcome, volume })?;
        Ok(ExitCode::Success)
    }
}

impl Render for Report {
    fn human(&self, wide: bool) -> String {
        let path = self.volume.link.as_ref().unwrap_or(&self.volume.device).display();
        if !wide {
            return format!("{path}\n");
        }
        format!(
            "{path} is {} ({}, {}, {}, {}){}\n",
            self.volume.id,
            self.volume.device.display(),
            human_bytes(self.volume.size_bytes),
            self.volume.access,
            self.volume.wwid,
            already(self.outcome)
        )
    }
}

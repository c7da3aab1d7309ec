//! `longshore umount`: takes a volume off a directory.

use std::path::{Path, PathBuf};

use clap::Args;
use longshore_mount::MountInfo;
use longshore_volume::{Outcome, VolumeError, VolumeId};
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::output::Render;

use super::already;

/// Take a volume off a directory; with its last directory it is unmounted, detached, and its session ended
#[derive(Debug, Args)]
pub(crate) struct Umount {
    /// The directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    outcome: Outcome,
    /// `None`: nothing was there.
    id: Option<VolumeId>,
    target: PathBuf,
}

impl Umount {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let target =
            std::path::absolute(&self.dir).map_err(|error| CliError::io("find", &self.dir, &error))?;
        let engine = app.engine(false)?;
        let (outcome, id) = app.call("longshore umount", |call| match engine.umount(&target, call) {
            Ok((outcome, id)) => Ok((outcome, Some(id))),
            // A repeated call: whatever was there is gone.
            Err(VolumeError::NotPublished { .. }) => Ok((Outcome::AlreadySo, None)),
            Err(error) => Err(error),
        })?;
        if id.is_none() {
            refuse_foreign(&target)?;
        }
        app.result(&Report { outcome, id, target })?;
        Ok(ExitCode::Success)
    }
}

/// What is mounted there and is not ours stays.
fn refuse_foreign(target: &Path) -> Result<(), CliError> {
    let mounts = MountInfo::read_own()
        .map_err(|error| CliError::new(ExitCode::Failure, format!("cannot see what is mounted: {error}")))?;
    let Some(entry) = mounts.top(target) else {
        return Ok(());
    };
    let what = entry.fs_type.to_string_lossy().into_owned();
    Err(CliError::new(
        ExitCode::NotFound,
        format!(
            "what is mounted at {} ({what}) is not Longshore's; it was left alone",
            target.display()
        ),
    )
    .help("`longshore ls` shows where volumes are"))
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        let target = self.target.display();
        match &self.id {
            Some(id) => format!("{id} is no longer at {target}{}\n", already(self.outcome)),
            None => format!("no volume is at {target}{}\n", already(self.outcome)),
        }
    }
}

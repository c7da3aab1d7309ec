//! `longshore forget`: accepts that another disk may be where a LUN was.

use clap::Args;
use longshore_volume::{Outcome, VolumeId};
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::locate;
use crate::output::Render;

use super::already;

/// Forget what the LUN of a volume was known to be, so that another disk is accepted in its place
///
/// Longshore remembers each LUN's identity and file system, and refuses one that changed: that is how a reused LUN
/// number is noticed. Use this only when the change is meant. The volume must not be in use.
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// An id, its beginning or an iscsi:// URL
    #[arg(value_name = "VOLUME")]
    volume: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    outcome: Outcome,
    id: VolumeId,
}

impl Forget {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let engine = app.engine(false)?;
        let views = app.call("longshore forget", |call| engine.list(call))?;
        let id = locate::volume(&self.volume, &views)?;
        let outcome = app.call("longshore forget", |call| engine.forget(&id, call))?;
        app.result(&Report { outcome, id })?;
        Ok(ExitCode::Success)
    }
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        format!(
            "what {} was known to be is forgotten{}\n",
            self.id,
            already(self.outcome)
        )
    }
}

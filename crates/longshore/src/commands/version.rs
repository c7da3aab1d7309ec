//! `longshore version`.

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::output::Render;

/// Print the version
#[derive(Debug, Args)]
pub(crate) struct Version {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    /// The version of the protocol between commands and the data plane.
    dataplane_protocol: String,
}

impl Version {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let (major, minor) = longshore_dataplane::proto::PROTOCOL_VERSION;
        app.result(&Report {
            version: env!("CARGO_PKG_VERSION"),
            dataplane_protocol: format!("{major}.{minor}"),
        })?;
        Ok(ExitCode::Success)
    }
}

impl Render for Report {
    fn human(&self, wide: bool) -> String {
        if wide {
            format!(
                "longshore {} (data plane protocol {})\n",
                self.version, self.dataplane_protocol
            )
        } else {
            format!("longshore {}\n", self.version)
        }
    }
}

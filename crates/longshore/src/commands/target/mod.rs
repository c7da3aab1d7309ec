//! `longshore target`: Longshore's own iSCSI target.

mod config;
mod lun;
mod serve;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::exit::{CliError, ExitCode};

/// Serve files as LUNs of an iSCSI target, for demos, tests and small sites
#[derive(Debug, Args)]
pub(crate) struct TargetCommand {
    #[command(subcommand)]
    command: TargetSubcommand,
}

#[derive(Debug, Subcommand)]
enum TargetSubcommand {
    Serve(serve::Serve),
}

impl TargetCommand {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        match self.command {
            TargetSubcommand::Serve(command) => command.run(app),
        }
    }
}

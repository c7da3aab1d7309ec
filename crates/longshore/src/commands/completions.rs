//! `longshore completions`: completion scripts for shells.

use clap::Args;
use clap_complete::Shell;

use crate::app::App;
use crate::exit::{CliError, ExitCode};

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// For bash: `source <(longshore completions bash)`
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::cli::command(), "longshore", &mut script);
        app.raw(&script)?;
        Ok(ExitCode::Success)
    }
}

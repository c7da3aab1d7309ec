//! The processes that Longshore starts of itself: `dataplane` and its guardian `hold`. Nobody types these commands.

use clap::Args;
use longshore_dataplane::hold::{self, HoldError, Stage};
use longshore_dataplane::{Dirs, RunError};

use crate::exit::{CliError, ExitCode};
use crate::real::own_program;

/// Own sessions and devices (started by hold)
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Dataplane {}

/// Guard a data plane (started by the first command that needs one)
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Hold {
    /// What this process is to do
    #[arg(long, default_value = Stage::Launch.name(), value_name = "STAGE")]
    stage: Stage,
}

impl Dataplane {
    /// Runs until nobody needs it. Nothing may have been started in this process before.
    pub(crate) fn run(self, dirs: Dirs) -> Result<ExitCode, CliError> {
        longshore_dataplane::run(longshore_dataplane::Config {
            dirs,
            exe: own_program(),
        })?;
        Ok(ExitCode::Success)
    }
}

impl Hold {
    /// Carries its stage out. Nothing may have been started in this process before.
    pub(crate) fn run(self, dirs: Dirs) -> Result<ExitCode, CliError> {
        hold::run(hold::Config {
            dirs,
            exe: own_program(),
            stage: self.stage,
        })?;
        Ok(ExitCode::Success)
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        Self::new(ExitCode::Failure, error.to_string())
    }
}

impl From<HoldError> for CliError {
    fn from(error: HoldError) -> Self {
        let code = match &error {
            HoldError::Locked { .. } => ExitCode::Busy,
            HoldError::Internal(_) => ExitCode::Usage,
            _ => ExitCode::Failure,
        };
        Self::new(code, error.to_string())
    }
}

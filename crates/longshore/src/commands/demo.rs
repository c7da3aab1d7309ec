//! `longshore demo`: the whole way of a volume on one machine, explained step by step.

use clap::Args;

use crate::app::App;
use crate::demo;
use crate::exit::{CliError, ExitCode};

/// Show the whole way of a volume on this machine, and leave the machine as it was
///
/// Serves two LUNs from files in a temporary directory, brings a Pod with both up, uses it, takes it down, and verifies
/// that no mount, device, session or process is left. Needs root, FUSE, loop devices, mkfs.ext4 and mkfs.xfs.
#[derive(Debug, Args)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        demo::run(app)
    }
}

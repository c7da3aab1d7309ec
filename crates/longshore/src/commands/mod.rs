//! The commands, one file each.

pub(crate) mod attach;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod detach;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod forget;
pub(crate) mod initiator;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod mount;
pub(crate) mod processes;
pub(crate) mod show;
pub(crate) mod target;
pub(crate) mod umount;
pub(crate) mod up;
pub(crate) mod version;

use crate::app::App;
use crate::cli::Command;
use crate::exit::{CliError, ExitCode};

/// Runs one command.
///
/// # Errors
/// What the command fails with.
pub(crate) fn run(command: Command, app: &mut App<'_>) -> Result<ExitCode, CliError> {
    match command {
        Command::Up(command) => command.run(app),
        Command::Down(command) => command.run(app),
        Command::Mount(command) => command.run(app),
        Command::Umount(command) => command.run(app),
        Command::Attach(command) => command.run(app),
        Command::Detach(command) => command.run(app),
        Command::Discover(command) => command.run(app),
        Command::Ls(command) => command.run(app),
        Command::Show(command) => command.run(app),
        Command::Forget(command) => command.run(app),
        Command::Initiator(command) => command.run(app),
        Command::Doctor(command) => command.run(app),
        Command::Target(command) => command.run(app),
        Command::Demo(command) => command.run(app),
        Command::Completions(command) => command.run(app),
        Command::Man(command) => command.run(app),
        Command::Version(command) => command.run(app),
        Command::Dataplane(command) => command.run(app.dirs.clone()),
        Command::Hold(command) => command.run(app.dirs.clone()),
    }
}

/// `changed` or `alreadySo`, as a person reads it after a sentence.
pub(crate) fn already(outcome: longshore_volume::Outcome) -> &'static str {
    match outcome {
        longshore_volume::Outcome::Changed => "",
        longshore_volume::Outcome::AlreadySo => " (it was so already)",
    }
}

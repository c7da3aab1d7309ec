//! The demo: preparation, the story, tear-down and verification; also after Ctrl-C at any moment.

mod child;
mod left;
mod stage;
mod story;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::shutdown::Shutdown;

use stage::Stage;

/// Runs the demo.
///
/// # Errors
/// The first thing that failed, after everything was taken down; or what is left, if something is.
pub(crate) fn run(app: &mut App<'_>) -> Result<ExitCode, CliError> {
    let shutdown = Shutdown::catch()?;
    story::check_host(app)?;
    let mut stage = Stage::build(&shutdown)?;
    let told = story::tell(&mut stage, app);
    let cleared = stage.clear(app);
    match (told, cleared) {
        (_, Err(left)) => Err(left),
        (Err(Stop::Failed(error)), Ok(())) => Err(error),
        (Err(Stop::Asked(code)), Ok(())) => {
            app.say("Interrupted; everything was taken down, and the machine is as it was.")?;
            Ok(code)
        }
        (Ok(()), Ok(())) => {
            app.say("The machine is as it was before.")?;
            Ok(ExitCode::Success)
        }
    }
}

/// Why the story ends early.
#[derive(Debug)]
enum Stop {
    /// Something failed.
    Failed(CliError),
    /// A signal asked for the end.
    Asked(ExitCode),
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Self {
        Self::Failed(error)
    }
}

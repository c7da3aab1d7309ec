//! What every command works with: directories, deadline, output, progress, and the engine.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use longshore_dataplane::Dirs;

use longshore_volume::{Call, Engine, ErrorKind, Phase, Progress as Told, Step, VolumeError};
use serde::Serialize;

use crate::chap::{ChapOptions, Purpose};
use crate::cli::Global;
use crate::exit::{CliError, ExitCode};
use crate::output::{ErasedRender, Format, Output, Render};
use crate::progress::{Progress, When};

/// How much time undoing gets when the caller's is over.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Makes the engine: the real one, or a simulated one in tests.
pub(crate) trait EngineSource {
    /// Opens the engine of these directories. `logs_in` says whether the command may need the initiator's identity.
    ///
    /// # Errors
    /// The directories cannot be used, or the identity is another machine's.
    fn open(&self, dirs: &Dirs, logs_in: bool) -> Result<Engine, CliError>;
}

/// One run of one command.
pub(crate) struct App<'a> {
    /// State and run directory.
    pub(crate) dirs: Dirs,
    /// Where results go.
    pub(crate) output: Output<'a>,
    /// When the command must be done.
    pub(crate) deadline: Instant,
    progress: When,
    engines: &'a dyn EngineSource,
    taken: RefCell<Vec<StepTaken>>,
}

/// A step that was taken, and how long it took.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepTaken {
    /// The step, or the part of it that the data plane reports.
    name: String,
    /// How long it took, in microseconds.
    micros: u64,
}

impl StepTaken {
    fn of(told: &Told) -> Option<Self> {
        let (name, took) = match &told.phase {
            Phase::Finished { took } => (told.step.to_string(), took),
            Phase::Detail { name, took } => (format!("{}: {name}", told.step), took),
            Phase::Started | Phase::Waiting { .. } | Phase::Failed => return None,
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Some(Self { name, micros })
    }
}

impl<'a> App<'a> {
    /// Begins to count the time.
    pub(crate) fn new(global: &Global, output: Output<'a>, engines: &'a dyn EngineSource) -> Self {
        Self {
            dirs: Dirs::new(&global.run_dir, &global.state_dir),
            output,
            deadline: Instant::now() + global.timeout,
            progress: When::new(global.progress),
            engines,
            taken: RefCell::default(),
        }
    }

    /// The steps that were taken so far, in their order.
    pub(crate) fn steps_taken(&self) -> Vec<StepTaken> {
        self.taken.borrow().clone()
    }

    /// The engine. `logs_in`: the command may log in to a target.
    ///
    /// # Errors
    /// See [`EngineSource::open`].
    pub(crate) fn engine(&self, logs_in: bool) -> Result<Engine, CliError> {
        self.engines.open(&self.dirs, logs_in)
    }

    /// Runs one call of the engine with the command's deadline, showing its progress.
    ///
    /// # Errors
    /// What the engine says.
    pub(crate) fn call<T>(
        &self,
        owner: &str,
        work: impl FnOnce(&mut Call<'_>) -> Result<T, VolumeError>,
    ) -> Result<T, CliError> {
        self.call_until(self.deadline, owner, work)
    }

    /// As [`App::call`], with at least [`GRACE`]: for what must be undone even when the time is over.
    ///
    /// # Errors
    /// What the engine says.
    pub(crate) fn call_with_grace<T>(
        &self,
        owner: &str,
        work: impl FnOnce(&mut Call<'_>) -> Result<T, VolumeError>,
    ) -> Result<T, CliError> {
        self.call_until(self.deadline.max(Instant::now() + GRACE), owner, work)
    }

    fn call_until<T>(
        &self,
        deadline: Instant,
        owner: &str,
        work: impl FnOnce(&mut Call<'_>) -> Result<T, VolumeError>,
    ) -> Result<T, CliError> {
        let progress = Progress::start(self.progress);
        let mut show = |told: Told| {
            self.taken.borrow_mut().extend(StepTaken::of(&told));
            if let Some(text) = step_text(&told) {
                progress.step(&text);
            }
        };
        let mut call = Call::until(deadline).owner(owner).on_progress(&mut show);
        work(&mut call).map_err(CliError::from)
    }

    /// Reads CHAP options; warnings are printed.
    ///
    /// # Errors
    /// See [`ChapOptions::read`].
    pub(crate) fn chap(
        &mut self,
        options: &ChapOptions,
        user: Option<&str>,
        purpose: Purpose,
    ) -> Result<Option<longshore_volume::Chap>, CliError> {
        let output = &mut self.output;
        options.read(user, purpose, &mut |warning| output.warn(warning))
    }

    /// Prints the command's result.
    ///
    /// # Errors
    /// Standard output fails.
    pub(crate) fn result(&mut self, value: &dyn ErasedRender) -> Result<(), CliError> {
        self.output.result(value).map_err(|error| stdout_failed(&error))
    }

    /// Prints a result as one line also in JSON, for programs that read line by line.
    ///
    /// # Errors
    /// Standard output fails.
    pub(crate) fn line<T: Render>(&mut self, value: &T) -> Result<(), CliError> {
        if self.output.format != Format::Json {
            return self.result(value);
        }
        let line = serde_json::to_string(value).map_err(|error| stdout_failed(&error.into()))?;
        self.raw(format!("{line}\n").as_bytes())
    }

    /// Prints a sentence, unless the output is JSON.
    ///
    /// # Errors
    /// Standard output fails.
    pub(crate) fn say(&mut self, sentence: &str) -> Result<(), CliError> {
        self.output.say(sentence).map_err(|error| stdout_failed(&error))
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// Standard output fails.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        match self
            .output
            .out
            .write_all(bytes)
            .and_then(|()| self.output.out.flush())
        {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(stdout_failed(&error)),
            _ => Ok(()),
        }
    }
}

fn stdout_failed(error: &io::Error) -> CliError {
    CliError::io("write to", Path::new("standard output"), error)
}

/// What a step says to a person; steps that ended say nothing.
fn step_text(told: &Told) -> Option<String> {
    let subject = if told.subject.is_empty() {
        String::new()
    } else {
        format!(" {}", told.subject)
    };
    let doing = match told.step {
        Step::Lock => "taking the lock of",
        Step::Attach => "logging in and attaching",
        Step::Link => "linking",
        Step::Identify => "verifying the identity of",
        Step::Format => "formatting",
        Step::Check => "checking",
        Step::Mount => "mounting",
        Step::Grow => "growing",
        Step::Publish => "publishing at",
        Step::Unpublish => "taking away from",
        Step::Unmount => "unmounting",
        Step::Unlink => "removing the link",
        Step::Detach => "detaching",
        Step::Forget => "forgetting",
    };
    match &told.phase {
        Phase::Started => Some(format!("{doing}{subject}")),
        Phase::Waiting { reason } => Some(format!("waiting for{subject}: {reason}")),
        Phase::Finished { .. } | Phase::Failed | Phase::Detail { .. } => None,
    }
}

/// The one place where the engine's failures become exit codes.
impl From<VolumeError> for CliError {
    fn from(error: VolumeError) -> Self {
        let (code, remedy) = match error.kind() {
            ErrorKind::Invalid => (ExitCode::Usage, None),
            ErrorKind::NotFound => (ExitCode::NotFound, None),
            ErrorKind::Conflict => (ExitCode::Conflict, None),
            ErrorKind::InUse => (ExitCode::Busy, None),
            ErrorKind::Refused => (ExitCode::Refused, None),
            ErrorKind::Authentication => (
                ExitCode::Authentication,
                Some("compare the CHAP user and secret with those of the array"),
            ),
            ErrorKind::Unreachable => (
                ExitCode::Unreachable,
                Some("check the portal's address and port; `longshore discover PORTAL` asks it"),
            ),
            ErrorKind::Deadline => (ExitCode::Timeout, Some("give it more time with --timeout")),
            ErrorKind::Busy => (
                ExitCode::Locked,
                Some("try again, or give it more time with --timeout"),
            ),
            ErrorKind::Unsupported => (
                ExitCode::Host,
                Some("`longshore doctor` shows what this host lacks"),
            ),
            ErrorKind::Journal => (ExitCode::Journal, None),
            _ => (ExitCode::Failure, None),
        };
        let failure = Self::new(code, error.to_string());
        match remedy {
            Some(remedy) => failure.help(remedy),
            None => failure,
        }
    }
}

//! The demo's stage: its directory, its target, its commands; and its tear-down, which verifies.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::shutdown::Shutdown;

use super::Stop;
use super::child::{self, Done};
use super::left::{Snapshot, UsedDevice, left_over};

/// How long the target may take to listen.
const TARGET_START: Duration = Duration::from_secs(30);
/// How long the target may take to end.
const TARGET_END: Duration = Duration::from_secs(10);
/// How long the data plane may take to end after its last device.
const ALL_GONE: Duration = Duration::from_secs(20);

/// Where the demo plays.
pub(super) struct Stage<'s> {
    dir: tempfile::TempDir,
    program: PathBuf,
    shutdown: &'s Shutdown,
    before: Snapshot,
    target: Option<Child>,
    /// Where the target listens.
    portal: Option<String>,
    /// The Pod may be up.
    pub(super) pod: Option<PathBuf>,
    /// Devices that were seen in use.
    pub(super) devices: Vec<UsedDevice>,
}

impl<'s> Stage<'s> {
    /// Makes the demo's directory and looks at the machine.
    pub(super) fn build(shutdown: &'s Shutdown) -> Result<Self, CliError> {
        let before = Snapshot::take();
        let failed =
            |error: &std::io::Error| CliError::io("make a directory in", &std::env::temp_dir(), error);
        let dir = tempfile::Builder::new()
            .prefix("longshore-demo-")
            .tempdir()
            .map_err(|error| failed(&error))?;
        let program = std::env::current_exe().map_err(|error| {
            CliError::new(ExitCode::Failure, format!("cannot find this program: {error}"))
        })?;
        Ok(Self {
            dir,
            program,
            shutdown,
            before,
            target: None,
            portal: None,
            pod: None,
            devices: Vec::new(),
        })
    }

    /// A path in the demo's directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The port of the target.
    pub(super) fn port(&self) -> Option<u16> {
        self.portal.as_ref()?.rsplit_once(':')?.1.parse().ok()
    }

    /// Stops the story when a signal came.
    pub(super) fn go_on(&self) -> Result<(), Stop> {
        self.shutdown
            .asked()
            .map_or(Ok(()), |code| Err(Stop::Asked(code)))
    }

    /// Runs somebody else's tool.
    pub(super) fn tool(&self, program: &str, arguments: &[&OsStr]) -> Result<Done, Stop> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin");
        let done = child::run(&mut command, Some(self.shutdown))?;
        if done.success {
            return Ok(done);
        }
        Err(CliError::new(
            ExitCode::Failure,
            format!("{program} failed: {}", done.stderr.trim()),
        )
        .into())
    }

    /// Runs this program with the demo's directories.
    pub(super) fn longshore(&self, arguments: &[&OsStr]) -> Result<Done, Stop> {
        let done = child::run(&mut self.command(arguments), Some(self.shutdown))?;
        if done.success {
            return Ok(done);
        }
        let name = arguments
            .first()
            .map(|word| word.to_string_lossy())
            .unwrap_or_default();
        Err(CliError::new(
            ExitCode::Failure,
            format!("longshore {name} failed: {}", done.stderr.trim()),
        )
        .into())
    }

    fn command(&self, arguments: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("LONGSHORE_STATE_DIR", self.path("state"))
            .env("LONGSHORE_RUN_DIR", self.path("run"));
        command
    }

    /// Starts the target on a free port and waits until it listens; gives the portal.
    pub(super) fn start_target(&mut self, iqn: &str, luns: &[(u16, &Path)]) -> Result<String, Stop> {
        let mut words: Vec<String> = [
            "target",
            "serve",
            "--end-with-parent",
            "--output",
            "json",
            "--portal",
            "127.0.0.1:0",
            "--iqn",
            iqn,
        ]
        .map(str::to_owned)
        .to_vec();
        for (number, path) in luns {
            words.extend(["--lun".to_owned(), format!("{number}={}", path.display())]);
        }
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let mut command = self.command(&words);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| CliError::new(ExitCode::Failure, format!("cannot start the target: {error}")))?;
        let output = child.stdout.take();
        self.target = Some(child);
        let (sender, first_line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            if let Some(output) = output {
                // Without a line the receiver reports that the target did not start.
                let _ = BufReader::new(output).read_line(&mut line);
            }
            let _ = sender.send(line);
        });
        let line = first_line.recv_timeout(TARGET_START).unwrap_or_default();
        self.go_on()?;
        let ready: Value = serde_json::from_str(&line)
            .map_err(|_| CliError::new(ExitCode::Failure, "the target did not say that it listens"))?;
        let portal = ready["portals"][0].as_str().unwrap_or_default().to_owned();
        self.portal = Some(portal.clone());
        Ok(portal)
    }

    /// Stops the target.
    pub(super) fn stop_target(&mut self) {
        if let Some(mut target) = self.target.take() {
            child::stop(&mut target, TARGET_END);
        }
    }

    /// Waits until nothing of the demo is left; gives what is.
    pub(super) fn wait_until_gone(&self) -> Vec<String> {
        let end = Instant::now() + ALL_GONE;
        loop {
            let left = left_over(&self.before, self.dir.path(), &self.devices, self.port());
            if left.is_empty() || Instant::now() >= end {
                return left;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes down what is up, verifies, and removes the directory.
    ///
    /// # Errors
    /// What is left.
    pub(super) fn clear(mut self, app: &mut App<'_>) -> Result<(), CliError> {
        if let Some(pod) = self.pod.take() {
            app.say("Taking the Pod down.")?;
            let words = [OsStr::new("down"), OsStr::new("-f"), pod.as_os_str()];
            match child::run(&mut self.command(&words), None) {
                Ok(done) if done.success => {}
                Ok(done) => app
                    .output
                    .warn(&format!("longshore down failed: {}", done.stderr.trim())),
                Err(Stop::Failed(error)) => app.output.warn(&error.message),
                Err(Stop::Asked(_)) => {}
            }
        }
        self.stop_target();
        let left = self.wait_until_gone();
        let dir = self.dir.path().to_owned();
        if !left.is_empty() {
            // Nothing is deleted while something may be mounted beneath it.
            let kept = self.dir.keep();
            return Err(CliError::new(
                ExitCode::LeftOver,
                format!("the demo left something behind: {}", left.join("; ")),
            )
            .help(format!("its directory is {}", kept.display())));
        }
        self.dir
            .close()
            .map_err(|error| CliError::io("remove", &dir, &error))
    }
}

/// Writes a file of the demo.
///
/// # Errors
/// The system refuses.
pub(super) fn write(path: &Path, content: &str) -> Result<(), CliError> {
    fs::write(path, content).map_err(|error| CliError::io("write", path, &error))
}

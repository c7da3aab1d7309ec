//! Commands that the demo runs: in a process group of their own (Ctrl-C reaches only the demo), with their output
//! collected, and with an end.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::exit::{CliError, ExitCode};
use crate::shutdown::Shutdown;

use super::Stop;

/// How often a waiting demo looks.
const NAP: Duration = Duration::from_millis(10);
/// How long a command may take in all.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long a command may go on after a signal asked for the end: most finish by themselves, which is cleanest.
const AFTER_SIGNAL: Duration = Duration::from_secs(10);
/// How much of a command's output is kept.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// What a command gave.
pub(super) struct Done {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command to its end. `shutdown`: stop early when a signal came.
pub(super) fn run(command: &mut Command, shutdown: Option<&Shutdown>) -> Result<Done, Stop> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| cannot_run(command, &error))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let success = wait(&mut child, command, shutdown)?;
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let done = Done {
        success,
        stdout: text(stdout),
        stderr: text(stderr),
    };
    match shutdown.and_then(Shutdown::asked) {
        Some(code) => Err(Stop::Asked(code)),
        None => Ok(done),
    }
}

fn wait(child: &mut Child, command: &Command, shutdown: Option<&Shutdown>) -> Result<bool, Stop> {
    let mut end = Instant::now() + PATIENCE;
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| cannot_run(command, &error))? {
            return Ok(status.success());
        }
        if !asked && shutdown.and_then(Shutdown::asked).is_some() {
            asked = true;
            end = end.min(Instant::now() + AFTER_SIGNAL);
        }
        if Instant::now() >= end {
            stop(child, Duration::ZERO);
            let name = command.get_program().to_string_lossy().into_owned();
            return Err(CliError::new(
                ExitCode::Timeout,
                format!("{name} did not end in time; it was killed"),
            )
            .into());
        }
        thread::sleep(NAP);
    }
}

/// Ends a process of ours: SIGTERM, and SIGKILL when it does not end within `patience`.
pub(super) fn stop(child: &mut Child, patience: Duration) {
    let end = Instant::now() + patience;
    if let (false, Some(pid)) = (
        patience.is_zero(),
        rustix::process::Pid::from_raw(child.id() as i32),
    ) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        while Instant::now() < end {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(NAP);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn collect(stream: Option<impl Read + Send + 'static>) -> Option<thread::JoinHandle<String>> {
    let stream = stream?;
    Some(thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut stream = stream.take(MAX_OUTPUT_BYTES);
        // What arrived until a failure is shown.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }))
}

fn cannot_run(command: &Command, error: &std::io::Error) -> Stop {
    let name = command.get_program().to_string_lossy().into_owned();
    CliError::new(ExitCode::Host, format!("cannot run {name}: {error}")).into()
}

//! Runs one test executable within its time, passing its output on and counting what it reports.

use super::{Tally, build::TestBinary};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a suite ended, and what its tests said.
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) end: Result<(), String>,
}

/// Runs the tests of `binary`; after `budget` its whole process group is ended.
pub(super) fn run(root: &Path, binary: &TestBinary, arguments: &[&str], budget: Duration) -> Outcome {
    let spawned = Command::new(&binary.executable)
        .args(arguments)
        .current_dir(&binary.folder)
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .env("LONGSHORE_WORKSPACE", root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => {
            return Outcome {
                tally: Tally::default(),
                end: Err(format!("cannot be started: {e}")),
            };
        }
    };
    let Some(output) = child.stdout.take() else {
        return Outcome {
            tally: Tally::default(),
            end: Err("has no output".to_owned()),
        };
    };
    // The pipe may stay open in a process that a test left behind, so the reader is never waited for without end.
    let (lines, received) = std::sync::mpsc::channel::<String>();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let mut tally = Tally::default();
    let deadline = Instant::now() + budget;
    let end = loop {
        match received.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                note(&line, &mut tally);
                continue;
            }
            Err(
                std::sync::mpsc::RecvTimeoutError::Disconnected | std::sync::mpsc::RecvTimeoutError::Timeout,
            ) => {}
        }
        match child.try_wait() {
            Ok(Some(status)) => {
                while let Ok(line) = received.recv_timeout(Duration::from_millis(200)) {
                    note(&line, &mut tally);
                }
                break if status.success() {
                    Ok(())
                } else {
                    Err(status.to_string())
                };
            }
            Ok(None) if Instant::now() >= deadline => {
                end_group(&mut child);
                break Err(format!("did not end within {} s", budget.as_secs()));
            }
            Ok(None) => {}
            Err(e) => break Err(format!("cannot be waited for: {e}")),
        }
    };
    Outcome { tally, end }
}

/// Ends the suite's process group: the tests and what they started in it.
fn end_group(child: &mut Child) {
    // kill(1) knows process groups; the standard library does not.
    let group = format!("-{}", child.id());
    let told = Command::new("kill").args(["-KILL", "--", &group]).status();
    if !told.is_ok_and(|status| status.success()) {
        // The group's leader is ours in any case.
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// Prints a line; a summary of libtest is counted as well.
fn note(line: &str, tally: &mut Tally) {
    println!("{line}");
    let Some(summary) = line.strip_prefix("test result: ") else {
        return;
    };
    for part in summary.split(['.', ';']) {
        let mut words = part.split_whitespace();
        let (Some(count), Some(what)) = (words.next().and_then(|n| n.parse::<u64>().ok()), words.next())
        else {
            continue;
        };
        match what {
            "passed" => tally.passed += count,
            "failed" => tally.failed += count,
            "ignored" => tally.ignored += count,
            _ => {}
        }
    }
}

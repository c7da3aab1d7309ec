//! The data plane as processes, with real targets, FUSE and loop devices. This binary is all of them: it starts itself.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod load;
mod node;
mod scenarios;

use std::process::ExitCode;

use longshore_dataplane::{Config, Dirs, hold};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let dirs = || Dirs::new(value("--run-dir").unwrap(), value("--state-dir").unwrap());
    let exe = || std::env::current_exe().unwrap();
    let outcome = match arguments.first().map(String::as_str) {
        Some("hold") => {
            let stage = value("--stage").map_or(hold::Stage::Launch, |stage| stage.parse().unwrap());
            hold::run(hold::Config {
                dirs: dirs(),
                exe: exe(),
                stage,
            })
            .map_err(|error| error.to_string())
        }
        Some("dataplane") => longshore_dataplane::run(Config {
            dirs: dirs(),
            exe: exe(),
        })
        .map_err(|error| error.to_string()),
        _ => return test(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenarios whose names contain one of the arguments, or all.
fn test(arguments: &[String]) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: these tests need root, for FUSE and loop devices");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut failed = false;
    for (name, scenario) in scenarios::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let started = std::time::Instant::now();
        let passed = std::panic::catch_unwind(scenario).is_ok();
        failed |= !passed;
        let word = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({} ms)", started.elapsed().as_millis());
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

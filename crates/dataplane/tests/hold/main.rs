//! `hold` and a data plane as processes, killed in every way. This binary is all of them: it starts itself.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod fake;
mod node;
mod scenarios;

use std::process::ExitCode;

use longshore_dataplane::Dirs;
use longshore_dataplane::hold;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let dirs = || Dirs::new(value("--run-dir").unwrap(), value("--state-dir").unwrap());
    match arguments.first().map(String::as_str) {
        Some("hold") => {
            let stage = value("--stage").map_or(hold::Stage::Launch, |stage| stage.parse().unwrap());
            let exe = std::env::current_exe().unwrap();
            let dirs = dirs();
            match hold::run(hold::Config { dirs, exe, stage }) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Some("dataplane") => fake::run(&dirs()),
        _ => test(&arguments),
    }
}

/// Runs the scenarios whose names contain one of the arguments, or all.
fn test(arguments: &[String]) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: these tests need root, who may see and kill what was started");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut failed = Vec::new();
    for (name, scenario) in scenarios::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let started = std::time::Instant::now();
        let outcome = std::panic::catch_unwind(scenario);
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({} ms)", started.elapsed().as_millis());
        if outcome.is_err() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

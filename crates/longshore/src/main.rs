//! The `longshore` binary: reads the command line, runs one command, ends with its exit code.
#![forbid(unsafe_code)]

mod app;
mod chap;
mod cli;
mod commands;
mod demo;
mod doctor;
mod durable;
mod exit;
mod initiator;
mod locate;
mod logging;
mod manifest;
mod output;
mod pods;
mod progress;
mod real;
mod shutdown;
mod timeout;
mod tree;
mod url;
mod volume_args;
mod yaml;

#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::process::ExitCode as Process;

use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue};

use app::App;
use cli::{Cli, Command};
use exit::{CliError, ExitCode};
use output::{Format, Output};

fn main() -> Process {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let code = match cli::command()
        .try_get_matches_from(&arguments)
        .and_then(|m| Cli::from_arg_matches(&m))
    {
        Ok(cli) => run(cli),
        Err(error) => usage(&without_password(error), &arguments),
    };
    Process::from(code.number())
}

fn run(cli: Cli) -> ExitCode {
    // The processes of the data plane log for themselves.
    if !matches!(cli.command, Command::Dataplane(_) | Command::Hold(_)) {
        logging::start(cli.global.verbose);
    }
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let colour = err.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let output = Output {
        format: cli.global.output,
        out: &mut out,
        err: &mut err,
        colour,
    };
    let mut app = App::new(&cli.global, output, &real::RealEngine);
    let outcome = commands::run(cli.command, &mut app);
    match outcome {
        Ok(code) => code,
        Err(error) => {
            app.output.failure(&error);
            error.code
        }
    }
}

/// The same error without the password that somebody wrote into a URL: clap repeats what it refuses, and a terminal's
/// text is kept in more places than argv is.
fn without_password(mut error: clap::Error) -> clap::Error {
    let redacted = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.split_once("://").and_then(|(scheme, rest)| {
            rest.rsplit_once('@')
                .map(|(_, host)| format!("{scheme}://(not shown)@{host}"))
        }),
        _ => None,
    };
    if let Some(text) = redacted {
        error.insert(ContextKind::InvalidValue, ContextValue::String(text));
    }
    error
}

/// A wrong command line, or `--help` and `--version`.
fn usage(error: &clap::Error, arguments: &[std::ffi::OsString]) -> ExitCode {
    if !error.use_stderr() || !wants_json(arguments) {
        // A closed pipe is all that can go wrong here.
        let _ = error.print();
        return if error.use_stderr() {
            ExitCode::Usage
        } else {
            ExitCode::Success
        };
    }
    let text = error.render().to_string();
    let message = text
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned();
    let failure = CliError::new(ExitCode::Usage, message).help("longshore --help");
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    Output {
        format: Format::Json,
        out: &mut out,
        err: &mut err,
        colour: false,
    }
    .failure(&failure);
    ExitCode::Usage
}

fn wants_json(arguments: &[std::ffi::OsString]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    words
        .iter()
        .any(|word| word == "--output=json" || word == "-ojson" || word == "-o=json")
        || words
            .windows(2)
            .any(|pair| (pair[0] == "--output" || pair[0] == "-o") && pair[1] == "json")
}

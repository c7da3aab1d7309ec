//! The project's own automation: `cargo xtask tidy`, `test`, `soak` and `bench`.

#![forbid(unsafe_code)]

mod bench;
mod suites;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  tidy                  check the layout and the absence-invariants of ARCHITECTURE.md
  test [SUITE …]        run the test suites, each with its budget of minutes
  soak                  run the long suites and print a report for docs/soak.md
  bench --binary FILE   compare with peers in one run (docs/benchmarks.md)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["tidy"] => tidy::run(&root()),
        ["test", names @ ..] => suites::test(&root(), names),
        ["soak"] => suites::soak(&root()),
        ["bench", rest @ ..] => bench::run(&root(), rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace: the parent of this crate's.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default()
}

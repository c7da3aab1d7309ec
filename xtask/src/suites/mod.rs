//! `cargo xtask test` and `soak`: builds every test once, then runs suite by suite, each within its minutes.

mod build;
mod child;

use build::TestBinary;
use std::path::Path;
use std::time::{Duration, Instant};

/// The minutes that a suite may take on two cores before it counts as hung; whatever is not named has
/// `OTHER_MINUTES`. The sum of what runs in practice stays far below CI's hour; these are bounds, not goals.
const MINUTES: [(&str, u64); 6] = [
    ("conformance", 6),
    ("kill_matrix", 12),
    ("tgt", 6),
    ("bad_input", 8),
    ("demo", 5),
    ("pair", 4),
];
const OTHER_MINUTES: u64 = 5;

/// A suite of `soak` may take longer: hundreds of repetitions.
const SOAK_MINUTES: u64 = 120;

/// What the runs of one or all suites added up to.
#[derive(Default, Clone, Copy)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs the suites whose name contains one of `names`, or all of them.
pub(crate) fn test(root: &Path, names: &[&str]) -> Result<(), String> {
    let mut binaries = build::all(root)?;
    if !names.is_empty() {
        binaries.retain(|b| names.iter().any(|name| b.suite().contains(name)));
        if binaries.is_empty() {
            return Err(format!("no suite is named like {}", names.join(", ")));
        }
    }
    run_all(root, &binaries, &[], |suite| {
        let minutes = MINUTES
            .iter()
            .find(|(name, _)| suite.ends_with(name))
            .map_or(OTHER_MINUTES, |(_, m)| *m);
        Duration::from_secs(60 * minutes)
    })
}

/// Runs what is marked `#[ignore = "soak: …"]`, and prints a report to be kept in docs/soak.md.
pub(crate) fn soak(root: &Path) -> Result<(), String> {
    let binaries = build::all(root)?;
    run_all(root, &binaries, &["--ignored", "--nocapture"], |_| {
        Duration::from_secs(60 * SOAK_MINUTES)
    })
}

fn run_all(
    root: &Path,
    binaries: &[TestBinary],
    arguments: &[&str],
    budget: impl Fn(&str) -> Duration,
) -> Result<(), String> {
    let mut total = Tally::default();
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for binary in binaries {
        let suite = binary.suite();
        println!("== {suite}");
        let started = Instant::now();
        let allowed = budget(&suite);
        let outcome = child::run(root, binary, arguments, allowed);
        let tally = outcome.tally;
        total.passed += tally.passed;
        total.failed += tally.failed;
        total.ignored += tally.ignored;
        if let Err(why) = &outcome.end {
            broken.push(format!("{suite}: {why}"));
            // A suite that crashed or hung counts as a failure even if no test of it said so.
            total.failed += u64::from(tally.failed == 0);
        }
        rows.push((suite, tally, started.elapsed(), allowed));
    }
    println!();
    println!(
        "{:<32} {:>6} {:>6} {:>7} {:>8} {:>8}",
        "SUITE", "PASSED", "FAILED", "IGNORED", "SECONDS", "BUDGET"
    );
    for (suite, tally, took, allowed) in rows {
        let (passed, failed, ignored) = (tally.passed, tally.failed, tally.ignored);
        println!(
            "{suite:<32} {passed:>6} {failed:>6} {ignored:>7} {:>8.1} {:>8}",
            took.as_secs_f64(),
            allowed.as_secs()
        );
    }
    println!();
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.ignored
    );
    if broken.is_empty() && total.passed > 0 {
        return Ok(());
    }
    if broken.is_empty() {
        return Err("no test ran".to_owned());
    }
    Err(format!(
        "suites that did not end well:\n  {}",
        broken.join("\n  ")
    ))
}

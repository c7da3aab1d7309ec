//! libiscsi's conformance suite (Debian package libiscsi-bin): the set of its failing tests is the expected one.

mod common;

use common::*;
use std::collections::BTreeSet;
use std::process::Command;

const EXPECTED: &str = include_str!("conformance-expected-failures.txt");

/// How many tests the suite of Debian 12 has.
const TESTS: usize = 230;

/// SUITE.TEST of each test, and whether it passed. A test's lines begin with `Test: NAME ...`; its verdict stands behind
/// that, or at the beginning of a later line, where notes of the suite itself may follow it.
fn results(output: &str) -> Vec<(String, bool)> {
    let mut results = Vec::new();
    let (mut suite, mut test) = (String::new(), None);
    for line in output.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("Suite: ") {
            suite = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("Test: ") {
            test = rest.split_once(" ...").map(|(name, _)| format!("{suite}.{name}"));
        }
        let is = |verdict: &str| line.starts_with(verdict) || line.ends_with(&format!("...{verdict}"));
        let passed = is("passed");
        if passed || is("FAILED") {
            results.extend(test.take().map(|test| (test, passed)));
        }
    }
    results
}

#[test]
fn exactly_the_expected_tests_fail() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let lun = format!("iscsi://{}/{TARGET}/0", server.local_addr());
    let output = Command::new("timeout")
        .args([
            "300",
            "iscsi-test-cu",
            "--dataloss",
            "--allow-sanitize",
            "--test=ALL",
        ])
        .args(["-I", "iqn.2026-11.test:second-initiator", &lun])
        .output()
        .unwrap_or_else(|error| panic!("cannot run iscsi-test-cu: {error}; install libiscsi-bin"));
    let text = String::from_utf8_lossy(&output.stdout);
    let results = results(&text);
    assert_eq!(
        results.len(),
        TESTS,
        "the suite has another number of tests, or broke off:\n{text}"
    );
    let failed: BTreeSet<&str> = results
        .iter()
        .filter(|(_, passed)| !passed)
        .map(|(name, _)| &name[..])
        .collect();
    let expected: BTreeSet<&str> = EXPECTED.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        failed, expected,
        "the failing tests differ from the expected ones:\n{text}"
    );
    stop(server);
}

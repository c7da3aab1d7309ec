//! Tests of the runner: environment, deadline, output, missing tools.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn fake(script: &str) -> (tempfile::TempDir, Tools) {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join(Tool::E2fsck.name());
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    let tools = Tools::in_directories([directory.path()]);
    (directory, tools)
}

fn run(script: &str, patience: Duration) -> Result<Output, ToolError> {
    let (_directory, tools) = fake(script);
    tools.ask(
        Tool::E2fsck,
        &arguments(["-p", "two words"]),
        Instant::now() + patience,
    )
}

const LONG: Duration = Duration::from_secs(120);

/// F21: nothing of our environment reaches a tool.
#[test]
fn the_environment_is_empty_but_for_three() {
    // Cargo gives the test's own environment dozens of variables.
    let output = run("/usr/bin/env; echo \"$1,$2\"; read x || echo no input", LONG).expect("runs");
    assert!(
        output.text.contains("LC_ALL=C") && output.text.contains("-p,two words"),
        "{}",
        output.text
    );
    assert!(
        output.text.contains("no input") && !output.text.contains("CARGO"),
        "{}",
        output.text
    );
}

#[test]
fn exit_status_and_both_streams_are_kept() {
    let output = run("echo out; echo err >&2; exit 4", LONG).expect("runs");
    assert_eq!((output.code, output.text.as_str()), (Some(4), "out; err"));
    assert_eq!(run("kill -9 $$", LONG).expect("runs").code, None);
}

/// Part of the proof of F13.
#[test]
fn the_whole_group_is_killed_and_reaped_at_the_deadline() {
    let directory = tempfile::tempdir().expect("directory");
    let pids = directory.path().join("pids");
    // The tool's path is fixed, so the script names its commands in full.
    let script = format!(
        "/bin/sleep 1000 & echo $! $$ > {p}.new; /bin/mv {p}.new {p}; echo started; wait",
        p = pids.display()
    );
    let (_keep, tools) = fake(&script);
    let error = tools
        .ask(Tool::E2fsck, &[], Instant::now() + Duration::from_secs(3))
        .expect_err("late");
    assert!(
        matches!(&error, ToolError::Deadline { fate: Fate::Killed, output, .. } if output == "started"),
        "{error}"
    );
    for pid in std::fs::read_to_string(&pids).expect("pids").split_whitespace() {
        let status = Path::new("/proc").join(pid).join("stat");
        let gone = std::iter::repeat_with(|| {
            // A killed grandchild is a zombie until init reaps it.
            let alive = std::fs::read_to_string(&status).is_ok_and(|s| !s.contains(") Z"));
            std::thread::sleep(Duration::from_millis(10));
            !alive
        });
        assert!(gone.take(1000).any(|gone| gone), "process {pid} lives");
    }
}

#[test]
fn endless_output_is_cut_and_much_output_keeps_its_end() {
    let error = run("exec /usr/bin/yes", LONG).expect_err("endless");
    assert!(matches!(error, ToolError::TooMuchOutput { .. }), "{error}");
    let output = run(
        "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done",
        LONG,
    )
    .expect("runs");
    assert!(output.text.ends_with("line 2999") && output.text.len() < 64 << 10);
}

#[test]
fn a_missing_tool_names_its_package() {
    let empty = tempfile::tempdir().expect("directory");
    let error = Tools::in_directories([empty.path()])
        .find(Tool::Btrfs)
        .expect_err("missing");
    assert!(error.to_string().contains("btrfs-progs"), "{error}");
}

/// Waits until `path` is there; `false` after a minute and more.
fn appears(path: &Path) -> bool {
    std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(10));
        path.exists()
    })
    .take(12_000)
    .any(|there| there)
}

#[test]
fn f13_a_tool_that_writes_is_left_to_its_end_at_the_deadline() {
    let directory = tempfile::tempdir().expect("directory");
    let (go, done) = (directory.path().join("go"), directory.path().join("done"));
    let script = format!(
        "echo working; while ! [ -e {} ]; do /bin/sleep 0.02; done; /bin/touch {}",
        go.display(),
        done.display()
    );
    let (_keep, tools) = fake(&script);
    let error = tools
        .run_ok(Tool::E2fsck, &[], Instant::now() + Duration::from_secs(3))
        .expect_err("late");
    let ToolError::Deadline {
        fate: Fate::GoesOn { pid },
        output,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(output, "working");
    assert!(
        error.to_string().contains(&format!("goes on as process {pid}")),
        "{error}"
    );
    assert!(!done.exists());
    std::fs::write(&go, b"").expect("go");
    assert!(appears(&done), "the tool was stopped half-way");
    let process = Path::new("/proc").join(pid.to_string());
    let mut reaped = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(10));
        !process.exists()
    });
    assert!(reaped.by_ref().take(12_000).any(|gone| gone), "nobody reaped it");
}

#[test]
fn a_tool_that_writes_may_say_much_and_its_last_words_are_kept() {
    let (_directory, tools) =
        fake("/usr/bin/head -c 40000000 /dev/zero | /usr/bin/tr '\\0' 'x'; echo; echo last words; exit 1");
    let output = tools
        .run_patiently(Tool::E2fsck, &[], Instant::now() + LONG)
        .expect("runs");
    assert_eq!(output.code, Some(1));
    assert!(output.text.ends_with("last words") && output.text.len() <= MAX_KEPT);
}

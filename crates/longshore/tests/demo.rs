//! `longshore demo`, as `make demo` runs it: it does its job, and leaves the machine as it found it, also after Ctrl-C.
#![allow(clippy::unwrap_used)]

mod node;

use node::machine;
use std::process::{Command, Stdio};
use std::time::Duration;

fn demo(folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .arg("demo")
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn it_does_the_job_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let done = node::finish(demo(folder.path())).ok();
    for word in ["ext4", "xfs", "read-only", "Read-only file system"] {
        assert!(
            done.stdout.to_lowercase().contains(&word.to_lowercase()),
            "does not say {word:?}: {}",
            done.text()
        );
    }
    assert!(machine::mounts_below(folder.path()).is_empty());
    assert!(machine::processes_naming(folder.path()).is_empty());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "files are left"
    );
}

#[test]
fn ctrl_c_at_any_moment_leaves_nothing() {
    for after in [50, 150, 300, 500, 700, 900, 1200, 1600, 2200] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = demo(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after));
        let _ = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .stderr(Stdio::null())
            .status();
        let mut ended = None;
        node::wait(Duration::from_secs(60), || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        let status = ended.expect("the demo ends after Ctrl-C");
        assert!(
            [Some(0), Some(130)].contains(&status.code()),
            "{after} ms: {status}"
        );
        assert!(
            machine::mounts_below(folder.path()).is_empty(),
            "{after} ms: mounts"
        );
        let gone = || machine::processes_naming(folder.path()).is_empty();
        assert!(
            node::wait(Duration::from_secs(10), gone),
            "{after} ms: {:?}",
            machine::processes_naming(folder.path())
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "{after} ms: files are left"
        );
    }
}

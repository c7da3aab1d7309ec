//! The binary itself where no volume is needed: wrong input and its exit codes, and `target serve` with `discover`.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const IQN: &str = "iqn.2003-01.org.example:served";

fn longshore(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command
        .args(words)
        .env("LONGSHORE_STATE_DIR", dir.join("state"))
        .env("LONGSHORE_RUN_DIR", dir.join("run"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(dir: &Path, words: &[&str]) -> Output {
    longshore(dir, words).output().expect("runs")
}

#[track_caller]
fn ends_with(dir: &Path, words: &[&str], code: i32, parts: &[&str]) {
    let output = run(dir, words);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {error}");
    for part in parts {
        assert!(error.contains(part), "{words:?}: {part:?} is not in {error:?}");
    }
}

/// A target that ends with its guard.
struct Served {
    child: Child,
    ready: Value,
}

impl Served {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let lun = format!("0={},size=64M", dir.join("disk.img").display());
        let mut words = vec![
            "target",
            "serve",
            "-o",
            "json",
            "--portal",
            "127.0.0.1:0",
            "--iqn",
            IQN,
            "--lun",
            &lun,
        ];
        words.extend(more);
        let mut child = longshore(dir, &words)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout"))
            .read_line(&mut line)
            .expect("a line");
        let ready = serde_json::from_str(&line).expect("JSON");
        Self { child, ready }
    }

    fn portal(&self) -> &str {
        self.ready["portals"][0].as_str().expect("a portal")
    }

    /// Sends SIGTERM and gives the exit code.
    fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .expect("kill")
                .success()
        );
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn secret(dir: &Path, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    path.display().to_string()
}

#[test]
fn wrong_command_lines_end_with_code_2() {
    let dir = tempfile::tempdir().expect("directory");
    let dir = dir.path();
    ends_with(dir, &[], 2, &["Usage"]);
    ends_with(dir, &["mout"], 2, &["mount"]);
    ends_with(dir, &["mount", "iscsi://nas/x/0", "/mnt"], 2, &["iSCSI name"]);
    ends_with(dir, &["mount", "nas", "/mnt"], 2, &["iscsi://"]);
    ends_with(dir, &["--timeout", "5d", "ls"], 2, &["ms, s, m, h"]);
    ends_with(dir, &["down"], 2, &["--file"]);
    ends_with(
        dir,
        &["initiator", "--generate", "--keep"],
        2,
        &["cannot be used with"],
    );
    ends_with(dir, &["target", "serve"], 2, &["--iqn"]);
    ends_with(
        dir,
        &["target", "serve", "--iqn", "x", "--lun", "0=/tmp/x,rw"],
        2,
        &["rw"],
    );
    ends_with(dir, &["discover", "nas:0"], 2, &["nas:0"]);
}

#[test]
fn a_wrong_command_line_is_json_when_json_is_asked_for() {
    let dir = tempfile::tempdir().expect("directory");
    let output = run(dir.path(), &["-o", "json", "mount"]);
    assert_eq!(output.status.code(), Some(2));
    let value: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!(
        (value["error"]["code"].as_u64(), value["error"]["kind"].as_str()),
        (Some(2), Some("Usage"))
    );
}

#[test]
fn help_and_version_end_with_code_0_and_name_the_exit_codes() {
    let dir = tempfile::tempdir().expect("directory");
    for words in [
        &["--help"][..],
        &["help", "mount"],
        &["mount", "--help"],
        &["--version"],
        &["version"],
    ] {
        assert_eq!(run(dir.path(), words).status.code(), Some(0), "{words:?}");
    }
    let help = String::from_utf8(run(dir.path(), &["-h"]).stdout).expect("text");
    assert!(
        help.contains("\n    4  refused, because going on could destroy data\n"),
        "{help}"
    );
    assert!(
        !help.contains("dataplane"),
        "the processes' own commands are hidden: {help}"
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let dir = tempfile::tempdir().expect("directory");
    let mut child = longshore(dir.path(), &["completions", "bash"])
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let mut error = String::new();
    child
        .stderr
        .take()
        .expect("stderr")
        .read_to_string(&mut error)
        .expect("read");
    assert_eq!(
        (child.wait().expect("waited").code(), error.as_str()),
        (Some(0), "")
    );
}

#[test]
fn errors_have_no_colour_where_no_terminal_is() {
    let dir = tempfile::tempdir().expect("directory");
    let output = run(dir.path(), &["up", "-f", "/absent.yaml"]);
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(
        error,
        "error: /absent.yaml:1:1: cannot read it: No such file or directory (os error 2)\n"
    );
}

#[test]
fn the_target_says_that_it_listens_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().expect("directory");
    let mut served = Served::start(dir.path(), &[]);
    assert_eq!(served.ready["targets"][0]["iqn"], IQN);
    assert_eq!(served.ready["targets"][0]["luns"][0]["sizeBytes"], 64 << 20);
    let wwid = served.ready["targets"][0]["luns"][0]["wwid"].clone();
    let output = run(dir.path(), &["discover", served.portal(), "-o", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["targets"][0]["iqn"], IQN);
    assert_eq!(found["targets"][0]["portals"][0]["portal"], served.portal());
    let taken = ["target", "serve", "--portal", served.portal(), "--iqn", IQN];
    ends_with(dir.path(), &taken, 8, &["in use"]);
    assert_eq!(served.terminate(), Some(0));
    let again = Served::start(dir.path(), &[]);
    assert_eq!(
        again.ready["targets"][0]["luns"][0]["wwid"], wwid,
        "the identity stays over a restart"
    );
}

#[test]
fn a_script_is_told_by_a_descriptor() {
    let dir = tempfile::tempdir().expect("directory");
    let lun = format!("0={},size=1M", dir.path().join("disk.img").display());
    let program = env!("CARGO_BIN_EXE_longshore");
    let script = format!(
        "exec 3>&1; exec {program} target serve --portal 127.0.0.1:0 --iqn {IQN} --lun {lun} --notify-fd 3 >/dev/null"
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line);
    child.kill().expect("killed");
    child.wait().expect("reaped");
    read.expect("a line");
    assert_eq!(line, "READY\n");
}

#[test]
fn discovery_proves_itself_by_a_secret_from_a_file_or_a_descriptor() {
    let dir = tempfile::tempdir().expect("directory");
    let right = secret(dir.path(), "right", "correct horse battery\n");
    let wrong = secret(dir.path(), "wrong", "incorrect horse battery");
    let config = dir.path().join("target.yaml");
    std::fs::write(
        &config,
        format!("targets: [{{name: '{IQN}'}}]\ndiscoveryChap: [{{user: alice, secretFile: '{right}'}}]\n"),
    )
    .expect("written");
    let mut command = longshore(
        dir.path(),
        &[
            "target",
            "serve",
            "-o",
            "json",
            "--portal",
            "127.0.0.1:0",
            "--config",
            config.to_str().expect("text"),
        ],
    );
    let mut child = command.stderr(Stdio::inherit()).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout"))
        .read_line(&mut line)
        .expect("a line");
    let served = Served {
        child,
        ready: serde_json::from_str(&line).expect("JSON"),
    };
    let with = |file: &str| {
        [
            "discover",
            served.portal(),
            "--chap-user",
            "alice",
            "--chap-secret-file",
            file,
        ]
        .map(str::to_owned)
    };
    let words = with(&right);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ends_with(dir.path(), &words, 0, &[]);
    let words = with(&wrong);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ends_with(dir.path(), &words, 7, &["error: "]);
    ends_with(dir.path(), &["discover", served.portal()], 7, &["error: "]);
    let from_descriptor = longshore(
        dir.path(),
        &[
            "discover",
            served.portal(),
            "--chap-user",
            "alice",
            "--chap-secret-fd",
            "0",
        ],
    )
    .stdin(std::fs::File::open(&right).expect("opened"))
    .output()
    .expect("runs");
    assert_eq!(from_descriptor.status.code(), Some(0), "{from_descriptor:?}");
}

#[test]
fn a_portal_where_nobody_listens_is_code_6() {
    let dir = tempfile::tempdir().expect("directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("bound")
        .local_addr()
        .expect("address");
    ends_with(
        dir.path(),
        &["discover", &free.to_string()],
        6,
        &["refused", &free.to_string()],
    );
}

#[test]
fn a_portal_that_never_answers_is_code_5_in_time() {
    let dir = tempfile::tempdir().expect("directory");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let portal = silent.local_addr().expect("address").to_string();
    ends_with(
        dir.path(),
        &["--timeout", "1s", "discover", &portal],
        5,
        &[&portal],
    );
}

/// F17: cloned machines shared an initiator name.
#[test]
fn f17_the_name_of_another_machine_is_not_used() {
    let known = |path: &str| std::fs::read_to_string(path).is_ok_and(|text| !text.trim().is_empty());
    if !known("/etc/machine-id") && !known("/sys/class/dmi/id/product_uuid") {
        return; // This machine cannot be told from another.
    }
    let dir = tempfile::tempdir().expect("directory");
    let state = dir.path().join("state");
    std::fs::create_dir(&state).expect("made");
    let other = serde_json::json!({
        "name": "iqn.2003-01.org.example:other", "isid": "800000000001", "origin": "generated",
        "machine": { "machineId": "of another machine", "dmiUuid": "of another machine" },
    });
    std::fs::write(state.join("initiator.json"), other.to_string()).expect("written");
    let url = format!("iscsi://127.0.0.1:1/{IQN}/0");
    let mount = ["mount", &url, dir.path().to_str().expect("text")];
    ends_with(
        dir.path(),
        &mount,
        9,
        &["another machine", "longshore initiator --generate"],
    );
    ends_with(dir.path(), &["ls"], 0, &[]);
    ends_with(dir.path(), &["initiator", "--keep"], 0, &[]);
    ends_with(dir.path(), &["initiator"], 0, &[]);
}

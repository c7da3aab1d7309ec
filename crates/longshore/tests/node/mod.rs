//! One node for a test: the real binary with state and run directories of its own, and what it left on the machine.

// Each test file uses its own share of this module.
#![allow(dead_code, unreachable_pub)]

pub mod array;
pub mod image;
pub mod machine;
pub mod served;
pub mod tgt;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// No command of a test may take longer; the binary's own deadline is shorter.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node: directories, and the binary that works in them.
pub struct Node {
    folder: tempfile::TempDir,
}

/// What a command gave.
pub struct Done {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON: {e}\n{}", self.text()))
    }

    /// Everything, for a failure's message.
    pub fn text(&self) -> String {
        format!(
            "exit {:?}\nstdout: {}\nstderr: {}",
            self.code, self.stdout, self.stderr
        )
    }

    /// The same, if the command did well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "the command failed: {}", self.text());
        self
    }

    /// The same, if the command failed with `code` and said each of `words`.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "another exit code than {code}: {}",
            self.text()
        );
        for word in words {
            assert!(
                self.stderr.contains(word),
                "the error does not say {word:?}: {}",
                self.text()
            );
        }
        self
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Node {
    /// A fresh node.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("longshore-test-")
            .tempdir()
            .unwrap();
        for name in ["state", "run", "mnt"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    /// Everything of this node lies below this directory.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// An empty directory to mount at.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join("mnt").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// A file of this node with a content and a mode of 0600.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The command with this node's directories, not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .env("LONGSHORE_STATE_DIR", self.state_dir())
            .env("LONGSHORE_RUN_DIR", self.run_dir());
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        finish(self.command(arguments))
    }

    /// Runs a command with a point armed at which it kills itself (feature `failpoints`).
    #[track_caller]
    pub fn run_until<S: AsRef<OsStr>>(&self, point: &str, arguments: &[S]) -> Done {
        let mut command = self.command(arguments);
        command.env("LONGSHORE_FAILPOINT", point);
        finish(command)
    }

    /// The processes of this node: those that name its run directory.
    pub fn processes(&self) -> Vec<(u32, String)> {
        machine::processes_naming(&self.run_dir())
    }

    /// The process id of the data plane, if one runs.
    pub fn data_plane(&self) -> Option<u32> {
        self.processes()
            .into_iter()
            .find(|(_, line)| line.contains(" dataplane"))
            .map(|(pid, _)| pid)
    }

    /// The process id of `hold`, if one runs.
    pub fn hold(&self) -> Option<u32> {
        self.processes()
            .into_iter()
            .find(|(_, line)| line.contains(" hold"))
            .map(|(pid, _)| pid)
    }

    /// Waits until this node has no mount, no process and no device, and says what is left otherwise.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        let clean = wait(Duration::from_secs(90), || self.left_over().is_empty());
        assert!(clean, "left over: {:#?}", self.left_over());
    }

    /// Mounts, processes and loop devices of this node.
    pub fn left_over(&self) -> Vec<String> {
        let mut found: Vec<String> = machine::mounts_below(self.folder())
            .into_iter()
            .map(|m| format!("mount {}", m.display()))
            .collect();
        found.extend(
            self.processes()
                .into_iter()
                .map(|(pid, line)| format!("process {pid} {line}")),
        );
        found.extend(
            machine::loops_served_by(&self.run_dir())
                .into_iter()
                .map(|l| format!("loop device {l}")),
        );
        found
    }
}

impl Drop for Node {
    /// Leaves the machine as it was, also after a failed test.
    fn drop(&mut self) {
        machine::take_down(self.folder(), &self.run_dir());
    }
}

/// Runs a command to its end; one that takes too long is killed and fails the test.
#[track_caller]
pub fn finish(mut command: Command) -> Done {
    let child = command.spawn().unwrap();
    let pid = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap().into(),
        Err(_) => {
            machine::kill(pid);
            panic!("{command:?} did not end within {PATIENCE:?}");
        }
    }
}

/// Waits until `holds`; whether it did in time.
pub fn wait(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

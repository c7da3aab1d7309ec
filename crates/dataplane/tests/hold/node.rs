//! A `hold` with a fake data plane in directories of their own; all its processes are ended with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use longshore_dataplane::Dirs;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    pub(crate) dirs: Dirs,
    exe: PathBuf,
    _base: tempfile::TempDir,
}

/// One process of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// `hold guard`, `hold adopt`, `dataplane` …
    pub(crate) what: String,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_exe(std::env::current_exe().unwrap())
    }

    pub(crate) fn with_exe(exe: PathBuf) -> Self {
        let base = tempfile::tempdir().unwrap();
        let dirs = Dirs::new(base.path().join("run"), base.path().join("state"));
        dirs.create().unwrap();
        Self {
            dirs,
            exe,
            _base: base,
        }
    }

    /// Runs `hold` as a client does.
    pub(crate) fn launch(&self) -> Output {
        let mut child = Command::new(&self.exe)
            .args(["hold", "--run-dir"])
            .arg(&self.dirs.run_dir)
            .arg("--state-dir")
            .arg(&self.dirs.state_dir)
            .env("LONGSHORE_TEST", "stays")
            .env("ORDINARY", "goes")
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        wait("'hold' to return", || child.try_wait().unwrap().is_some());
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        Output {
            status: child.wait().unwrap(),
            stdout: Vec::new(),
            stderr: text,
        }
    }

    pub(crate) fn start(&self) {
        let output = self.launch();
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dirs.log()).unwrap_or_default()
    }

    /// Says something to the data plane.
    pub(crate) fn tell(&self, line: &str) -> String {
        self.try_tell(line)
            .unwrap_or_else(|error| panic!("cannot tell '{line}': {error}\n{}", self.log()))
    }

    pub(crate) fn try_tell(&self, line: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(self.dirs.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{line}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        match answer.pop() {
            Some('\n') => Ok(answer),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Keeps a new FIFO under a name; its reading end is returned.
    pub(crate) fn keep(&self, name: &str, note: &str) -> File {
        let path = self.dirs.run_dir.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let reader = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .unwrap();
        assert_eq!(self.tell(&format!("keep {name} {note}")), "ok");
        reader
    }

    /// The data plane, when it answers and is another one than `before`.
    pub(crate) fn dataplane_after(&self, before: Option<u32>) -> u32 {
        let mut found = None;
        wait("a data plane that answers", || {
            let pid: Option<u32> = self.try_tell("pid").ok().and_then(|pid| pid.parse().ok());
            found = pid.filter(|pid| Some(*pid) != before);
            found.is_some()
        });
        found.unwrap()
    }

    /// The living processes of this node.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let own = self.dirs.run_dir.to_str().unwrap();
        let mut processes = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|pid| pid.parse().ok()) else {
                continue;
            };
            let Ok(line) = std::fs::read_to_string(entry.path().join("cmdline")) else {
                continue;
            };
            let words: Vec<&str> = line.split('\0').collect();
            if !words.contains(&own) {
                continue;
            }
            let stage = words
                .iter()
                .position(|word| *word == "--stage")
                .map_or("", |at| words[at + 1]);
            let what = format!("{} {stage}", words[1]).trim().to_owned();
            processes.push(Process { pid, what });
        }
        processes
    }

    /// The one guard, when it is another one than `before` and holds the lock (has taken over).
    pub(crate) fn guard_after(&self, before: Option<u32>) -> u32 {
        let mut found = None;
        wait("a guard", || {
            let guards: Vec<Process> = self
                .processes()
                .into_iter()
                .filter(|process| process.what.starts_with("hold "))
                .collect();
            found = match &guards[..] {
                [guard] if Some(guard.pid) != before => Some(guard.pid),
                _ => None,
            };
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until every process is gone.
    pub(crate) fn wait_empty(&self) {
        wait("all processes to end", || self.processes().is_empty());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let processes = self.processes();
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            // First all of them are stopped, so that none starts another one meanwhile.
            for process in &processes {
                signal(process.pid, Signal::STOP);
            }
            for process in &processes {
                kill(process.pid);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may be gone already.
    let _ = kill_process(pid, signal);
}

/// Waits for a condition.
pub(crate) fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nobody has the writing end of a FIFO any more.
pub(crate) fn is_closed(reader: &mut File) -> bool {
    matches!(reader.read(&mut [0; 1]), Ok(0))
}

/// Resident memory in KiB, without pages of files.
pub(crate) fn memory_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (value("VmRSS:"), value("RssAnon:"))
}

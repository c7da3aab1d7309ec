//! Child processes of a benchmark: run to the end with a deadline, or kept until dropped.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A server that ends when this value is dropped.
pub(super) struct Server {
    child: Child,
    name: String,
}

impl Server {
    /// Starts a server with its output thrown away.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self, String> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot start {name}: {e}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    /// Starts a server and waits for the first line of its output.
    pub(super) fn start_until_line(name: &str, command: &mut Command) -> Result<(Self, String), String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot start {name}: {e}"))?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| format!("{name} has no output"))?;
        let server = Self {
            child,
            name: name.to_owned(),
        };
        let (sender, first) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = String::new();
            if reader.read_line(&mut line).is_ok() {
                let _ = sender.send(line);
            }
            // Reads on, so that the server never writes to a closed pipe.
            let _ = std::io::copy(&mut reader, &mut std::io::sink());
        });
        match first.recv_timeout(Duration::from_secs(20)) {
            Ok(line) if !line.is_empty() => Ok((server, line)),
            _ => Err(format!("{name} did not say within 20 s that it is ready")),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the server still runs.
    pub(super) fn is_alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended: {status}", self.name)),
            Err(e) => Err(format!("{} cannot be asked: {e}", self.name)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM first, so that a server takes away what it made (mounts); KILL when it does not listen.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end and gives its output; a failure gives its errors.
pub(super) fn output(command: &mut Command, within: Duration) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run {name}: {e}"))?;
    let out = child.stdout.take().map(read_aside);
    let err = child.stderr.take().map(read_aside);
    let end = Instant::now() + within;
    let status = loop {
        match child
            .try_wait()
            .map_err(|e| format!("{name} cannot be waited for: {e}"))?
        {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{name} did not end within {} s", within.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let collect = |side: Option<mpsc::Receiver<String>>| {
        side.and_then(|s| s.recv_timeout(Duration::from_secs(2)).ok())
            .unwrap_or_default()
    };
    let (out, err) = (collect(out), collect(err));
    if status.success() {
        Ok(out)
    } else {
        Err(format!("{name}: {status}: {}", err.trim()))
    }
}

fn read_aside(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Waits until `ready` holds.
pub(super) fn wait_for(what: &str, mut ready: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(20);
    while !ready() {
        if Instant::now() > end {
            return Err(format!("waited 20 s in vain for {what}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Resident memory of a process in KiB (VmRSS of /proc/PID/status).
pub(super) fn resident_kib(pid: u32) -> Result<u64, String> {
    let file = Path::new("/proc").join(pid.to_string()).join("status");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("{} has no VmRSS", file.display()))
}

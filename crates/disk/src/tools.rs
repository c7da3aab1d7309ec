//! The only module that runs external commands.
//!
//! Each runs in a process group of its own, with an environment of PATH, LC_ALL and HOME only, no input, its output
//! captured in memory that outlives us (a tool must not die of SIGPIPE half-way when we are killed), and a deadline
//! after which the whole group is killed and reaped. Nothing secret is ever given to a tool.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

/// The most bytes of output that are kept.
const MAX_KEPT: usize = 16 << 10;
/// A tool that writes more than this is killed.
const MAX_OUTPUT_BYTES: u64 = 8 << 20;
/// How long, and how often, a device that is in use is tried again.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_millis(500);
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(25);
/// How long a killed tool is waited for.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// The external commands that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Makes an ext4.
    MkfsExt4,
    /// Makes an xfs.
    MkfsXfs,
    /// Makes a btrfs.
    MkfsBtrfs,
    /// Checks an ext4.
    E2fsck,
    /// Grows an ext4.
    Resize2fs,
    /// Grows an xfs.
    XfsGrowfs,
    /// Grows a btrfs.
    Btrfs,
}

impl Tool {
    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MkfsExt4 => "mkfs.ext4",
            Self::MkfsXfs => "mkfs.xfs",
            Self::MkfsBtrfs => "mkfs.btrfs",
            Self::E2fsck => "e2fsck",
            Self::Resize2fs => "resize2fs",
            Self::XfsGrowfs => "xfs_growfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The Debian package that has it.
    pub const fn package(self) -> &'static str {
        match self {
            Self::MkfsExt4 | Self::E2fsck | Self::Resize2fs => "e2fsprogs",
            Self::MkfsXfs | Self::XfsGrowfs => "xfsprogs",
            Self::MkfsBtrfs | Self::Btrfs => "btrfs-progs",
        }
    }
}

/// A tool could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error(
        "{tool} is not installed here (looked in {directories}); install the package {package}, or use a Longshore \
         image that has it"
    )]
    Missing {
        /// Its name.
        tool: &'static str,
        /// Its Debian package.
        package: &'static str,
        /// Where it was looked for.
        directories: String,
    },
    /// It could not be started or waited for.
    #[error("cannot run {tool}: {source}")]
    Run {
        /// Its name.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It was killed at the deadline.
    #[error("{tool} was not done before the deadline and was killed{stuck}; it said: {output}")]
    Deadline {
        /// Its name.
        tool: &'static str,
        /// Whether it is stuck in the kernel, or nothing.
        stuck: &'static str,
        /// What it said.
        output: String,
    },
    /// It wrote without end.
    #[error("{tool} wrote more than {MAX_OUTPUT_BYTES} bytes and was killed")]
    TooMuchOutput {
        /// Its name.
        tool: &'static str,
    },
    /// It failed.
    #[error("{tool} failed ({how}): {output}")]
    Failed {
        /// Its name.
        tool: &'static str,
        /// Exit status or signal.
        how: String,
        /// What it said.
        output: String,
    },
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// Its exit status; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// How it ended, in words.
    pub(crate) how: String,
    /// The end of what it said, both streams.
    pub(crate) text: String,
}

/// Where tools are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    directories: Vec<PathBuf>,
}

impl Default for Tools {
    fn default() -> Self {
        Self::system()
    }
}

impl Tools {
    /// The system's own directories.
    pub fn system() -> Self {
        Self::in_directories(["/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    }

    /// Other directories, for an image that carries its own tools.
    pub fn in_directories<P: Into<PathBuf>>(directories: impl IntoIterator<Item = P>) -> Self {
        Self {
            directories: directories.into_iter().map(Into::into).collect(),
        }
    }

    /// The program's path; [`ToolError::Missing`] names the package.
    pub fn find(&self, tool: Tool) -> Result<PathBuf, ToolError> {
        let candidates = self.directories.iter().map(|d| d.join(tool.name()));
        candidates
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| ToolError::Missing {
                tool: tool.name(),
                package: tool.package(),
                directories: self
                    .directories
                    .iter()
                    .map(|d| d.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Runs a tool to its end, whatever its exit status.
    pub(crate) fn run(
        &self,
        tool: Tool,
        arguments: &[OsString],
        deadline: Instant,
    ) -> Result<Output, ToolError> {
        let program = self.find(tool)?;
        let failed = |source: io::Error| ToolError::Run {
            tool: tool.name(),
            source,
        };
        let output = File::from(
            rustix::fs::memfd_create(c"tool-output", MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?,
        );
        let path = std::env::join_paths(&self.directories).map_err(|e| failed(io::Error::other(e)))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("HOME", "/")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output.try_clone().map_err(failed)?)
            .process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let status = wait(tool, &mut child, &output, deadline)?;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
        };
        Ok(Output {
            code: status.code(),
            how,
            text: last_words(&output).map_err(failed)?,
        })
    }

    /// [`Self::run`], repeated for up to half a second while the tool says that the device is in use.
    ///
    /// An exclusive open of ours that was just closed may live a moment longer: a child process that another thread
    /// starts at that time has a copy of every descriptor until its exec.
    pub(crate) fn run_patiently(
        &self,
        tool: Tool,
        arguments: &[OsString],
        deadline: Instant,
    ) -> Result<Output, ToolError> {
        let until = deadline.min(Instant::now() + BUSY_PATIENCE);
        loop {
            let output = self.run(tool, arguments, deadline)?;
            if output.code == Some(0) || !says_busy(&output.text) || Instant::now() >= until {
                return Ok(output);
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }

    /// Runs a tool that must end with exit status 0.
    pub(crate) fn run_ok(
        &self,
        tool: Tool,
        arguments: &[OsString],
        deadline: Instant,
    ) -> Result<Output, ToolError> {
        let output = self.run(tool, arguments, deadline)?;
        if output.code == Some(0) {
            return Ok(output);
        }
        Err(ToolError::Failed {
            tool: tool.name(),
            how: output.how,
            output: output.text,
        })
    }
}

/// Whether a tool refused because somebody holds the device.
pub(crate) fn says_busy(text: &str) -> bool {
    text.contains("in use by the system") || text.contains("Device or resource busy")
}

/// Turns words into arguments.
pub(crate) fn arguments<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Vec<OsString> {
    words.into_iter().map(|w| w.as_ref().to_owned()).collect()
}

fn wait(tool: Tool, child: &mut Child, output: &File, deadline: Instant) -> Result<ExitStatus, ToolError> {
    let failed = |source: io::Error| ToolError::Run {
        tool: tool.name(),
        source,
    };
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return Err(failed(io::Error::other("the process number is out of range")));
    };
    let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(e) => {
            kill_group(pid);
            child.wait().map_err(failed)?;
            return Err(failed(e.into()));
        }
    };
    loop {
        let step = deadline.min(Instant::now() + Duration::from_millis(250));
        if ended(pidfd.as_fd(), step) {
            let status = child.wait().map_err(failed)?;
            // Whatever it left behind goes with it.
            kill_group(pid);
            return Ok(status);
        }
        let written = output.metadata().map_err(failed)?.len();
        if written > MAX_OUTPUT_BYTES {
            end_by_force(pid, pidfd.as_fd(), child);
            return Err(ToolError::TooMuchOutput { tool: tool.name() });
        }
        if Instant::now() >= deadline {
            let stuck = end_by_force(pid, pidfd.as_fd(), child);
            let stuck = if stuck {
                ", but is stuck in the kernel: the device does not answer"
            } else {
                ""
            };
            return Err(ToolError::Deadline {
                tool: tool.name(),
                stuck,
                output: last_words(output).map_err(failed)?,
            });
        }
    }
}

/// Kills the group and reaps its leader; `true` when the kernel does not let it go, then a thread goes on waiting.
fn end_by_force(pid: Pid, pidfd: std::os::fd::BorrowedFd<'_>, child: &mut Child) -> bool {
    kill_group(pid);
    if ended(pidfd, Instant::now() + KILL_GRACE) {
        // It has ended, so this does not wait; its status is known to be our kill.
        let _ = child.wait();
        return false;
    }
    let reaper = std::thread::Builder::new().name("reap-tool".into());
    let _ = reaper.spawn(move || rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()));
    true
}

fn kill_group(pid: Pid) {
    // ESRCH: all of the group is gone already.
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
}

fn ended(pidfd: std::os::fd::BorrowedFd<'_>, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(
            &mut [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)],
            Some(&timeout),
        ) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

fn last_words(output: &File) -> io::Result<String> {
    let len = output.metadata()?.len();
    let from = len.saturating_sub(MAX_KEPT as u64);
    let mut bytes = vec![0_u8; usize::try_from(len - from).unwrap_or(0).min(MAX_KEPT)];
    output.read_exact_at(&mut bytes, from)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let joined = lines.join("; ");
    Ok(joined
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect())
}

#[cfg(test)]
mod tests;

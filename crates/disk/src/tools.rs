//! The only module that runs external commands.
//!
//! Each runs in a process group of its own, with an environment of PATH, LC_ALL and HOME only, no input, its output
//! captured in memory that outlives us (a tool must not die of SIGPIPE half-way when we are killed), and a deadline.
//! Nothing secret is ever given to a tool.
//!
//! # At the deadline
//!
//! A tool that only tells something is killed with its whole group, and reaped. One that writes to a file system or
//! makes one is left to its end: a resize2fs or an e2fsck that is killed half-way leaves a damaged file system, a mkfs
//! leaves one that is refused from then on, and a check that takes longer than one caller waits would never be done.
//! The caller gets [`Fate::GoesOn`]. Until the tool ends it holds the device exclusively, so that nobody else
//! formats, checks, mounts or detaches it; a later call meets its result.

mod watch;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

/// The most bytes of output that are kept.
const MAX_KEPT: usize = 16 << 10;
/// A tool that says more than this is killed, or, when it writes to a device, only its last words are kept.
const MAX_OUTPUT_BYTES: u64 = 8 << 20;
/// How long, and how often, a device that is in use is tried again.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_millis(500);
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(25);

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
    /// It was not done at the deadline.
    #[error("{tool} was not done before the deadline and {fate}; it said: {output}")]
    Deadline {
        /// Its name.
        tool: &'static str,
        /// What became of it.
        fate: Fate,
        /// What it said.
        output: String,
    },
    /// It wrote to its output without end.
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

/// What became of a tool that was not done at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was killed and is gone.
    Killed,
    /// It was killed, but the kernel does not let it go.
    Stuck,
    /// It writes, so it was left to its end.
    GoesOn {
        /// Its process.
        pid: u32,
    },
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed => f.write_str("was killed"),
            Self::Stuck => f.write_str("was killed, but is stuck in the kernel: the device does not answer"),
            Self::GoesOn { pid } => write!(
                f,
                "goes on as process {pid}, because a file system is damaged when it is stopped half-way; the device stays \
                 in use until then; repeat the call later"
            ),
        }
    }
}

/// What a tool does, and so what becomes of it when it is late or says too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// It only tells something: it is killed.
    Tell,
    /// It writes to a device: it is never killed.
    Write,
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

    /// Asks a tool something that writes nowhere; any exit status is an answer. Killed at the deadline.
    pub(crate) fn ask(
        &self,
        tool: Tool,
        arguments: &[OsString],
        deadline: Instant,
    ) -> Result<Output, ToolError> {
        self.run(tool, arguments, Task::Tell, deadline)
    }

    fn run(
        &self,
        tool: Tool,
        arguments: &[OsString],
        task: Task,
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
        let child = command.spawn().map_err(failed)?;
        let status = watch::wait(tool, task, child, &output, deadline)?;
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
        };
        Ok(Output {
            code: status.code(),
            how,
            text: watch::last_words(&output).map_err(failed)?,
        })
    }

    /// Runs a tool that writes, whatever its exit status; repeated for up to half a second while it says that the device is
    /// in use. Left to its end at the deadline.
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
            let output = self.run(tool, arguments, Task::Write, deadline)?;
            if output.code == Some(0) || !says_busy(&output.text) || Instant::now() >= until {
                return Ok(output);
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }

    /// Runs a tool that writes and must end with exit status 0. Left to its end at the deadline.
    pub(crate) fn run_ok(
        &self,
        tool: Tool,
        arguments: &[OsString],
        deadline: Instant,
    ) -> Result<Output, ToolError> {
        let output = self.run(tool, arguments, Task::Write, deadline)?;
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

#[cfg(test)]
mod tests;

//! Waits for a running tool: its end, its deadline, and how much it says.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FallocateFlags;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::{Fate, MAX_KEPT, MAX_OUTPUT_BYTES, Task, Tool, ToolError};

/// How often a running tool's output is looked at.
const WATCH_PAUSE: Duration = Duration::from_millis(250);
/// How long a killed tool is waited for.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// Waits for `child`, which writes its output to `output`, and decides what becomes of it when it is late.
pub(super) fn wait(
    tool: Tool,
    task: Task,
    mut child: Child,
    output: &File,
    deadline: Instant,
) -> Result<ExitStatus, ToolError> {
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
        let step = deadline.min(Instant::now() + WATCH_PAUSE);
        if ended(pidfd.as_fd(), step) {
            // Whatever it left behind goes with it; before it is reaped, while its number is still its own.
            kill_group(pid);
            return child.wait().map_err(failed);
        }
        if task == Task::Write {
            trim(output).map_err(failed)?;
        } else if output.metadata().map_err(failed)?.len() > MAX_OUTPUT_BYTES {
            end_by_force(pid, pidfd.as_fd(), child);
            return Err(ToolError::TooMuchOutput { tool: tool.name() });
        }
        if Instant::now() >= deadline {
            let said = last_words(output).map_err(failed)?;
            let fate = match task {
                Task::Tell => end_by_force(pid, pidfd.as_fd(), child),
                Task::Write => leave(pid, pidfd, child, output),
            };
            return Err(ToolError::Deadline {
                tool: tool.name(),
                fate,
                output: said,
            });
        }
    }
}

/// Kills the group and reaps its leader; when the kernel does not let it go, a thread goes on waiting.
fn end_by_force(pid: Pid, pidfd: BorrowedFd<'_>, mut child: Child) -> Fate {
    kill_group(pid);
    if ended(pidfd, Instant::now() + KILL_GRACE) {
        // It has ended, so this does not wait; its status is known to be our kill.
        let _ = child.wait();
        return Fate::Killed;
    }
    let reaper = std::thread::Builder::new().name("reap-tool".into());
    // Without a thread it stays a zombie until we end: no harm to anybody.
    let _ = reaper.spawn(move || child.wait());
    Fate::Stuck
}

/// Leaves a tool to its end; a thread keeps its output short and reaps it, as long as we live.
fn leave(pid: Pid, pidfd: OwnedFd, mut child: Child, output: &File) -> Fate {
    if let Ok(output) = output.try_clone() {
        let reaper = std::thread::Builder::new().name("reap-tool".into());
        let watch = move || {
            while !ended(pidfd.as_fd(), Instant::now() + WATCH_PAUSE) {
                // An output that cannot be cut grows; the tool matters more.
                let _ = trim(&output);
            }
            child.wait()
        };
        let _ = reaper.spawn(watch);
    }
    Fate::GoesOn {
        pid: pid.as_raw_nonzero().get().unsigned_abs(),
    }
}

/// Gives the memory of all but the end of an output back, without a change of offsets.
fn trim(output: &File) -> io::Result<()> {
    let len = output.metadata()?.len();
    if len > MAX_OUTPUT_BYTES {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(output, flags, 0, len - MAX_KEPT as u64)?;
    }
    Ok(())
}

fn kill_group(pid: Pid) {
    // ESRCH: all of the group is gone already.
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
}

fn ended(pidfd: BorrowedFd<'_>, until: Instant) -> bool {
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

/// The end of what a tool said, in one line.
pub(super) fn last_words(output: &File) -> io::Result<String> {
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

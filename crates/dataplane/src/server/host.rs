//! What the process does to stay alive on the page-out path. Nothing here is fatal; what failed is told to `doctor`.

use std::io;

use rustix::mm::MlockAllFlags;
use rustix::process::DumpableBehavior;

use super::cgroup;
use crate::proto::{Fact, HostReport};

/// Nearly the last to be killed; not never, so that a leak of ours cannot take the host down.
const OOM_SCORE_ADJ: &str = "-900";

/// Prepares the process, before its first thread.
pub(super) fn prepare() -> Vec<Fact> {
    vec![
        fact(
            "dumpable",
            rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from),
            "core dumps and debuggers of other users see no secret",
            "a core dump may hold CHAP secrets",
        ),
        fact(
            "mlockall",
            rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
                .map_err(io::Error::from),
            "what was touched once stays in memory",
            "under memory pressure the data plane may wait for its own device (CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK is needed)",
        ),
        fact(
            "io_flusher",
            rustix::process::configure_io_flusher_behavior(true).map_err(io::Error::from),
            "allocations do not wait for I/O through its own devices",
            "under memory pressure the data plane may wait for its own device (CAP_SYS_RESOURCE is needed)",
        ),
        fact(
            "oom_score_adj",
            std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ),
            "nearly the last process to be killed",
            "the kernel may choose the data plane when memory runs out (CAP_SYS_RESOURCE is needed)",
        ),
        cgroup::leave(),
        takeover(),
    ]
}

/// FUSE_NOTIFY_RESEND came with Linux 6.9.
fn takeover() -> Fact {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0u32));
    let ok = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 9);
    let detail = match ok {
        true => format!("Linux {release}: when the data plane dies, I/O pauses until its successor goes on"),
        false => format!("Linux {release} is older than 6.9: when the data plane dies, I/O fails"),
    };
    Fact {
        name: "takeover".to_owned(),
        ok,
        detail,
    }
}

fn fact(name: &str, result: io::Result<()>, good: &str, bad: &str) -> Fact {
    let (ok, detail) = match result {
        Ok(()) => (true, good.to_owned()),
        Err(error) => (false, format!("{error}: {bad}")),
    };
    if !ok {
        tracing::warn!(fact = name, "{detail}");
    }
    Fact {
        name: name.to_owned(),
        ok,
        detail,
    }
}

/// What `doctor` is told.
pub(super) fn report(facts: &[Fact]) -> HostReport {
    HostReport {
        pid: std::process::id(),
        hold_pid: hold_pid(),
        software: crate::client::software(),
        facts: facts.to_vec(),
    }
}

/// Our parent, if it is `hold`. A `hold` that took over is not our parent, and is not known here.
fn hold_pid() -> Option<u32> {
    let parent = rustix::process::getppid()?.as_raw_nonzero().get().unsigned_abs();
    let arguments = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == b"hold")
        .then_some(parent)
}

//! What this process may do: capabilities, locked memory, control groups.

use super::{Finding, HostRoot, Verdict};

/// Capabilities by number (capability.h), whether volumes need them, and what for.
const CAPABILITIES: [(u32, &str, bool, &str); 3] = [
    (21, "CAP_SYS_ADMIN", true, "to mount, and to make loop devices"),
    (
        14,
        "CAP_IPC_LOCK",
        false,
        "to keep the data plane's memory from being swapped out",
    ),
    (
        24,
        "CAP_SYS_RESOURCE",
        false,
        "to protect the data plane from the out-of-memory killer",
    ),
];
/// The data plane locks about this much.
const WANTED_MEMLOCK_BYTES: u64 = 64 << 20;

pub(super) fn findings(host: &HostRoot) -> Vec<Finding> {
    let effective = host
        .read("/proc/self/status")
        .and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .unwrap_or(0);
    let mut all: Vec<Finding> = CAPABILITIES
        .iter()
        .map(|entry| capability(effective, entry))
        .collect();
    all.push(memlock(effective));
    all.push(cgroup(host));
    all
}

fn capability(effective: u64, (number, name, needed, purpose): &(u32, &str, bool, &str)) -> Finding {
    if effective & (1 << number) != 0 {
        return Finding::ok(name, "there");
    }
    let verdict = if *needed {
        Verdict::Missing
    } else {
        Verdict::Warning
    };
    Finding::new(name, verdict, "not there")
        .remedy(format!("run as root, in a container with {name} ({purpose})"))
}

fn memlock(effective: u64) -> Finding {
    let subject = "locked memory";
    if effective & (1 << 14) != 0 {
        return Finding::ok(subject, "unlimited with CAP_IPC_LOCK");
    }
    match rustix::process::getrlimit(rustix::process::Resource::Memlock).current {
        None => Finding::ok(subject, "unlimited"),
        Some(bytes) if bytes >= WANTED_MEMLOCK_BYTES => {
            Finding::ok(subject, crate::output::human_bytes(bytes))
        }
        Some(bytes) => {
            Finding::new(subject, Verdict::Warning, crate::output::human_bytes(bytes)).remedy(format!(
                "raise it (ulimit -l) to {}",
                crate::output::human_bytes(WANTED_MEMLOCK_BYTES)
            ))
        }
    }
}

fn cgroup(host: &HostRoot) -> Finding {
    if host.exists("/sys/fs/cgroup/cgroup.controllers") {
        Finding::ok("cgroup", "version 2")
    } else if host.exists("/sys/fs/cgroup/unified") || host.exists("/sys/fs/cgroup/systemd") {
        Finding::ok("cgroup", "version 1")
    } else {
        Finding::new(
            "cgroup",
            Verdict::Note,
            "not mounted (the data plane stays in its caller's)",
        )
    }
}

//! Other storage software on the host, and what it means for Longshore.

use super::{Finding, HostRoot, Verdict};
use crate::initiator::HostInitiator;

pub(super) fn findings(host: &HostRoot) -> Vec<Finding> {
    vec![iscsid(host), multipathd(host)]
}

fn iscsid(host: &HostRoot) -> Finding {
    let theirs = HostInitiator::look_in(&host.path("/"));
    let name = theirs.name.as_deref().unwrap_or("no name");
    match (theirs.iscsid_runs, &theirs.name) {
        (true, _) => Finding::new(
            "iscsid",
            Verdict::Note,
            format!("runs as {name}; Longshore never touches its sessions, and needs nothing of it"),
        ),
        (false, Some(_)) => Finding::new(
            "iscsid",
            Verdict::Note,
            format!("does not run; the host's name is {name}"),
        ),
        (false, None) => Finding::ok("iscsid", "not there, and not needed"),
    }
}

fn multipathd(host: &HostRoot) -> Finding {
    if crate::initiator::is_running_in(&host.path("/"), "multipathd") {
        return Finding::new(
            "multipathd",
            Verdict::Note,
            "runs; Longshore's loop devices are none of its business",
        )
        .remedy("if it claims them all the same, blacklist `loop*` in /etc/multipath.conf");
    }
    Finding::ok("multipathd", "does not run, and is not needed")
}

//! What may happen to a node, and what must be left of it.

use std::fs::File;

use rustix::process::Signal;

use crate::fake::{CRASH, SIGNALS, STARTS, descriptors};
use crate::node::{Node, is_closed, kill, memory_kib, signal, wait};

type Scenario = (&'static str, fn());

pub(crate) const ALL: [Scenario; 12] = [
    (
        "a_killed_data_plane_has_a_successor_with_everything",
        killed_data_plane,
    ),
    ("a_killed_hold_is_replaced_and_handed_everything", killed_hold),
    (
        "a_data_plane_that_waits_for_its_own_device_has_a_successor",
        lingering,
    ),
    ("when_both_are_killed_everything_is_closed", both_killed),
    ("bye_ends_both_but_not_while_a_device_is_kept", bye),
    ("a_first_data_plane_that_crashes_is_reported", first_crash),
    ("a_crash_loop_is_slowed_down_and_given_up_never", crash_loop),
    ("no_message_ends_hold", hostile),
    ("a_signal_is_for_the_data_plane_to_decide", signals),
    ("a_second_hold_is_refused", second_hold),
    ("a_deleted_binary_still_has_a_successor", deleted_binary),
    ("hold_is_private_and_small", private_and_small),
];

/// A node with three devices.
fn with_devices() -> (Node, Vec<File>) {
    let node = Node::new();
    node.start();
    assert_eq!(node.tell("list"), "");
    let readers = ["a", "b", "c"]
        .iter()
        .map(|name| node.keep(name, &format!("note-{name}")))
        .collect();
    (node, readers)
}

/// Three descriptors of the link, three of the device.
const EVERYTHING: &str = "a=note-a/4096/6,b=note-b/4096/6,c=note-c/4096/6";

fn killed_data_plane() {
    let (node, mut readers) = with_devices();
    let guard = node.guard_after(None);
    let mut pid = node.dataplane_after(None);
    for _ in 0..20 {
        kill(pid);
        pid = node.dataplane_after(Some(pid));
        assert_eq!(node.tell("list"), EVERYTHING);
    }
    assert_eq!(node.guard_after(None), guard, "hold did not stay the same");
    assert!(!readers.iter_mut().any(is_closed));
    for name in ["a", "b", "c"] {
        let numbers = descriptors(guard, &node.dirs.run_dir.join(name));
        assert_eq!(numbers.len(), 3, "{numbers:?}");
        assert_eq!(
            numbers.iter().filter(|number| **number > 700).count(),
            1,
            "{numbers:?}"
        );
    }
    // A released device is closed everywhere, though the data plane that was given it dies without closing it.
    assert_eq!(node.tell("release b"), "ok");
    kill(pid);
    node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), "a=note-a/4096/6,c=note-c/4096/6");
    assert!(is_closed(&mut readers[1]));
}

fn killed_hold() {
    let (node, mut readers) = with_devices();
    let mut guard = node.guard_after(None);
    let pid = node.dataplane_after(None);
    for round in 0..3 {
        kill(guard);
        // Answered only when the next guard has everything.
        readers.push(node.keep(&format!("later-{round}"), "note"));
        guard = node.guard_after(Some(guard));
    }
    assert_eq!(node.tell("pid"), pid.to_string(), "the data plane was disturbed");
    assert_eq!(node.tell("release later-1"), "ok");
    assert!(is_closed(&mut readers[4]));

    let all = format!("{EVERYTHING},later-0=note/4096/6,later-2=note/4096/6");
    kill(pid);
    let pid = node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), all);
    assert_eq!(node.guard_after(None), guard);
    // The successor can do the same again.
    kill(guard);
    assert_eq!(node.tell("release later-0"), "ok");
    let guard = node.guard_after(Some(guard));
    kill(pid);
    node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), format!("{EVERYTHING},later-2=note/4096/6"));
    assert_eq!(node.guard_after(None), guard);
}

fn lingering() {
    let (node, mut readers) = with_devices();
    let guard = node.guard_after(None);
    let old = node.dataplane_after(None);
    assert!(node.try_tell("linger").is_err());
    let pid = node.dataplane_after(Some(old));
    assert_eq!(node.tell("list"), EVERYTHING);
    // The same for one that is not the guard's child.
    kill(guard);
    assert_eq!(node.tell("release nothing"), "ok");
    let guard = node.guard_after(Some(guard));
    assert!(node.try_tell("linger").is_err());
    node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), EVERYTHING);
    assert_eq!(node.guard_after(None), guard);
    assert!(!readers.iter_mut().any(is_closed));
    for old in [old, pid] {
        assert!(is_there(old), "it did not linger");
        kill(old);
        wait("the old process to be reaped", || !is_there(old));
    }
}

/// The process is in the process table, dead or alive.
fn is_there(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn both_killed() {
    let (node, mut readers) = with_devices();
    let (guard, pid) = (node.guard_after(None), node.dataplane_after(None));
    signal(guard, Signal::STOP);
    kill(pid);
    kill(guard);
    node.wait_empty();
    wait("the descriptors to be closed", || {
        readers.iter_mut().all(is_closed)
    });
    node.start();
    assert_eq!(node.tell("list"), "");
}

fn bye() {
    let (node, mut readers) = with_devices();
    let refusal = node.tell("bye");
    assert!(refusal.contains("3 devices are kept"), "{refusal}");
    for name in ["a", "b", "c"] {
        assert_eq!(node.tell(&format!("release {name}")), "ok");
    }
    assert!(readers.iter_mut().all(is_closed));
    assert_eq!(node.tell("bye"), "ok");
    node.wait_empty();
    assert!(node.log().contains("as it said"), "{}", node.log());
    node.start();
    // Killed with nothing kept: nobody needs a successor.
    kill(node.dataplane_after(None));
    node.wait_empty();
}

fn first_crash() {
    let node = Node::new();
    std::fs::write(node.dirs.run_dir.join(CRASH), "").unwrap();
    let output = node.launch();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        text.contains("exit status: 7") && text.contains("before it listened"),
        "{text}"
    );
    node.wait_empty();
    assert_eq!(starts(&node), 1);
}

fn starts(node: &Node) -> usize {
    std::fs::read(node.dirs.run_dir.join(STARTS))
        .unwrap_or_default()
        .len()
}

fn crash_loop() {
    let (node, mut readers) = with_devices();
    let pid = node.dataplane_after(None);
    let crash = node.dirs.run_dir.join(CRASH);
    std::fs::write(&crash, "").unwrap();
    kill(pid);
    wait("the second pause", || node.log().contains("starts in 2 s"));
    // The first one, five that crash at once, one more after a second.
    assert_eq!(starts(&node), 7, "{}", node.log());
    assert!(node.log().contains("starts in 1 s"));
    assert!(!readers.iter_mut().any(is_closed));
    std::fs::remove_file(&crash).unwrap();
    node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), EVERYTHING);
}

fn hostile() {
    let (node, mut readers) = with_devices();
    let (guard, pid) = (node.guard_after(None), node.dataplane_after(None));
    for _ in 0..5 {
        assert_eq!(node.tell("garble"), "ok");
    }
    readers.push(node.keep("d", "note-d"));
    assert_eq!(node.guard_after(None), guard);
    assert_eq!(node.tell("pid"), pid.to_string());
    kill(pid);
    node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), format!("{EVERYTHING},d=note-d/4096/6"));
    assert!(
        node.log().contains("unknown kind of message 99"),
        "{}",
        node.log()
    );
    assert!(!readers.iter_mut().any(is_closed));
}

fn signals() {
    let (node, _readers) = with_devices();
    let (guard, pid) = (node.guard_after(None), node.dataplane_after(None));
    let received = || {
        std::fs::read(node.dirs.run_dir.join(SIGNALS))
            .unwrap_or_default()
            .len()
    };
    for (number, sent) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        signal(guard, Signal::HUP);
        signal(guard, sent);
        wait("the signal to be passed on", || received() == number + 1);
    }
    assert_eq!(node.tell("pid"), pid.to_string());
    assert_eq!(node.guard_after(None), guard);
}

fn second_hold() {
    let (node, _readers) = with_devices();
    let pid = node.dataplane_after(None);
    let output = node.launch();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another 'hold' has locked"), "{text}");
    assert_eq!(node.tell("pid"), pid.to_string());
}

fn deleted_binary() {
    let base = tempfile::tempdir().unwrap();
    let copy = base.path().join("longshore");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let node = Node::with_exe(copy.clone());
    node.start();
    let _reader = node.keep("a", "note-a");
    std::fs::remove_file(copy).unwrap();
    let pid = node.dataplane_after(None);
    kill(pid);
    let pid = node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), "a=note-a/4096/6");
    let guard = node.guard_after(None);
    kill(guard);
    let guard = node.guard_after(Some(guard));
    assert_eq!(node.tell("release nothing"), "ok");
    kill(pid);
    node.dataplane_after(Some(pid));
    assert_eq!(node.tell("list"), "a=note-a/4096/6");
    assert_eq!(node.guard_after(None), guard);
}

fn private_and_small() {
    let (node, _readers) = with_devices();
    let guard = node.guard_after(None);
    let proc = std::path::PathBuf::from(format!("/proc/{guard}"));
    let environment = std::fs::read_to_string(proc.join("environ")).unwrap();
    assert!(environment.contains("LONGSHORE_TEST=stays") && !environment.contains("ORDINARY"));
    assert_eq!(std::fs::read_link(proc.join("cwd")).unwrap().to_str(), Some("/"));
    assert_eq!(
        std::fs::read_dir(proc.join("task")).unwrap().count(),
        1,
        "more than one thread"
    );
    let stat = std::fs::read_to_string(proc.join("stat")).unwrap();
    let session = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .nth(3)
        .unwrap();
    assert_eq!(session, guard.to_string(), "no session of its own");
    let (all, anonymous) = memory_kib(guard);
    println!("hold with 3 devices: {all} KiB resident, {anonymous} KiB of them its own");
    assert!(anonymous < 2048, "{anonymous} KiB");
}

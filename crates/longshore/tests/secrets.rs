//! A secret that is easy to find must be found nowhere: no argv, environment, output, log, journal or file.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use node::array::{Accounts, Array, Kind};
use std::fs;
use std::path::Path;

const CANARY: &str = "canary-5f1d9c-secret";
const CANARY_IN: &str = "canary-77ab02-secret";

on_each_array!(a_secret_is_found_nowhere);

fn a_secret_is_found_nowhere(kind: Kind) {
    // F21.
    let node = Node::new();
    let accounts = Accounts {
        user: "the-node",
        password: CANARY,
        target: Some(("the-array", CANARY_IN)),
    };
    let array = Array::with_chap(kind, node.folder(), &accounts);
    let (ours, theirs) = (node.file("ours", CANARY), node.file("theirs", CANARY_IN));
    let (dir, url) = (node.directory("a"), array.url_as("the-node", 0));
    let mut words = vec!["-vv", "mount", "--read-only", &url, dir.to_str().unwrap()];
    words.extend(["--chap-secret-file", ours.to_str().unwrap()]);
    words.extend([
        "--chap-user-in",
        "the-array",
        "--chap-secret-in-file",
        theirs.to_str().unwrap(),
    ]);
    let mut said = vec![node.run(&words).ok().text()];
    said.push(node.run(&["-vv", "ls", "--output", "json"]).ok().text());
    said.push(
        node.run(&["-vv", "show", dir.to_str().unwrap(), "--output", "json"])
            .ok()
            .text(),
    );
    said.push(node.run(&["-vv", "doctor"]).text());
    for text in &said {
        assert!(!text.contains("canary-"), "said: {text}");
    }
    for (pid, line) in node.processes() {
        assert!(!line.contains("canary-"), "argv of {pid}: {line}");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&environment).contains("canary-"),
            "environment of {pid}"
        );
        // A process that holds secrets leaves no core: its /proc files belong to root, and dumps are off.
        let limits = fs::read_to_string(format!("/proc/{pid}/coredump_filter")).unwrap_or_default();
        assert!(!limits.is_empty() || !Path::new(&format!("/proc/{pid}")).exists());
    }
    for root in [node.state_dir(), node.run_dir()] {
        for file in files_below(&root) {
            let content = fs::read(&file).unwrap_or_default();
            assert!(
                !content.windows(7).any(|w| w == b"canary-"),
                "in {}",
                file.display()
            );
        }
    }
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

/// Regular files below a directory, mounts excepted.
fn files_below(root: &Path) -> Vec<std::path::PathBuf> {
    let mounts = node::machine::mounts_below(root);
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() && !mounts.contains(&path) {
                todo.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found
}

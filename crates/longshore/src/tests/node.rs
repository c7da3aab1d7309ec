//! Commands about the node itself.

use std::path::Path;

use super::Machine;
use crate::exit::ExitCode;

#[test]
fn the_initiator_name_stays_and_can_be_set() {
    let machine = Machine::new();
    let first = machine.run(&["initiator", "-o", "json"]).ok().json();
    assert!(
        first["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("iqn.2026-11.storage.longshore:"))
    );
    assert_eq!(machine.run(&["initiator", "-o", "json"]).ok().json(), first);
    machine
        .run(&["initiator", "--set", "nonsense"])
        .fails(ExitCode::Usage, &["nonsense"]);
    machine
        .run(&["initiator", "--set", "iqn.2003-01.org.example:node-1"])
        .ok();
    let set = machine.run(&["initiator"]).ok().out;
    assert!(
        set.starts_with("Initiator name: iqn.2003-01.org.example:node-1\nISID:           80"),
        "{set}"
    );
    assert!(set.contains("Origin:         set by hand\n"), "{set}");
    let made = machine
        .run(&["initiator", "--generate", "-o", "json"])
        .ok()
        .json();
    assert_ne!(made["name"], first["name"]);
}

#[test]
fn doctor_version_completions_and_man_answer() {
    let machine = Machine::new();
    let ran = machine.run(&["doctor"]);
    assert!(matches!(ran.code, ExitCode::Success | ExitCode::Host), "{ran:?}");
    assert!(ran.out.contains("\nData path: "), "{ran:?}");
    assert!(
        machine.run(&["doctor", "-o", "json"]).json()["findings"]
            .as_array()
            .is_some_and(|list| list.len() > 10)
    );
    assert_eq!(
        machine.run(&["version"]).ok().out,
        format!("longshore {}\n", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            machine.run(&["completions", shell]).ok().out.contains("umount"),
            "{shell}"
        );
    }
    let pages = machine.path("man");
    machine.run(&["man", pages.to_str().expect("text")]).ok();
    assert!(Path::new(&pages).join("longshore-mount.1").exists());
}

//! `up` and `down`.

use std::path::PathBuf;

use super::{Machine, pod, url};
use crate::exit::ExitCode;

#[test]
fn a_pod_goes_up_twice_and_down_twice() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    let ran = machine.run(&["up", "-f", &file]).ok();
    let dir = machine.path("run-pods/prod_web").canonicalize().expect("made");
    for part in [
        "Pod prod/web: 2 volumes, 3 mounts beneath ",
        "  volume \"pages\": iscsi://127.0.0.1:3260/iqn.2003-01.org.example:disk/0 is /dev/sim0 (64 MiB, ext4), identity ",
        "  container \"writer\": /view is at ",
        "Pod prod/web is up.\n\nCONTAINER   VOLUME   PATH",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    let expected = [
        ("reader/srv/pages", true),
        ("writer/data", false),
        ("writer/view", true),
    ];
    assert_eq!(
        machine.mount_points(),
        expected.map(|(path, read_only)| (dir.join(path), read_only))
    );
    assert_eq!(
        machine
            .sim
            .edit(|world| (world.attached, world.mounted))
            .expect("state"),
        (2, 2),
        "each once"
    );
    let again = machine.run(&["up", "-f", &file, "-o", "json"]).ok().json();
    assert_eq!(again["pods"][0]["outcome"], "alreadySo");
    assert_eq!(again["pods"][0]["mounts"].as_array().map(Vec::len), Some(3));

    let ran = machine.run(&["down", "-f", &file]).ok();
    assert!(
        ran.out
            .ends_with("Pod prod/web is down; nothing of it is left.\n"),
        "{ran:?}"
    );
    assert!(!dir.exists(), "the directories that `up` made are gone");
    machine.is_clean();
    assert_eq!(
        machine.run(&["down", "-f", &file]).ok().out,
        "Pod prod/web was not up.\n"
    );
    machine.run(&["down", "web"]).fails(ExitCode::NotFound, &["web"]);
}

#[test]
fn a_pod_goes_down_by_name_and_leaves_foreign_files() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    let dir = machine.target("pods");
    std::fs::write(machine.path("pods/kept"), "x").expect("written");
    machine.run(&["up", "-f", &file, "--dir", &dir]).ok();
    let other = machine.target("elsewhere");
    machine
        .run(&["up", "-f", &file, "--dir", &other])
        .fails(ExitCode::Conflict, &["longshore down prod/web"]);
    std::fs::remove_file(&file).expect("the manifest is not needed");
    machine.run(&["down", "prod/web"]).ok();
    let left: Vec<_> = std::fs::read_dir(&dir)
        .expect("stays")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["kept"]);
    machine.is_clean();
}

#[test]
fn a_failure_in_the_middle_is_undone() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text.replace("lun: 1", "lun: 2"));
    let ran = machine
        .run(&["up", "-f", &file])
        .fails(ExitCode::Refused, &["was undone", "reader/srv/pages unmounted"]);
    assert!(ran.out.contains("volume \"pages\""), "{ran:?}");
    machine.is_clean();
    assert!(!machine.path("run-pods/prod_web").exists());
}

#[test]
fn a_failure_does_not_take_down_what_was_up_before() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    machine.run(&["up", "-f", &file]).ok();
    let before = machine.mount_points();
    machine
        .run(&["up", "-f", &pod(&machine, |text| text.replace("/view", "/look"))])
        .fails(ExitCode::Conflict, &["mounts are others"]);
    assert_eq!(machine.mount_points(), before);
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn a_volume_that_somebody_else_uses_stays_for_them() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    let mine = machine.target("mine");
    machine.run(&["up", "-f", &file]).ok();
    machine.run(&["mount", &url(1), &mine]).ok();
    machine.run(&["down", "web"]).ok();
    assert_eq!(machine.mount_points(), [(PathBuf::from(&mine), false)]);
    machine.run(&["umount", &mine]).ok();
    machine.is_clean();
}

#[test]
fn a_read_only_view_alone_is_taken_down_too() {
    let machine = Machine::new();
    let file = pod(&machine, |text| {
        text.replace("    - {name: data, mountPath: /data}\n", "")
    });
    machine.run(&["up", "-f", &file]).ok();
    assert!(machine.mount_points().iter().all(|(_, read_only)| *read_only));
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn down_goes_on_after_a_failure_and_a_second_call_finishes() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    machine.run(&["up", "-f", &file]).ok();
    machine.sim.edit(|world| world.fail_unmounts = 1).expect("edited");
    let ran = machine.run(&["down", "web"]);
    assert!(ran.code != ExitCode::Success, "{ran:?}");
    let left = machine.mount_points();
    assert!(left.len() < 3, "the others are down: {left:?}");
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn the_pod_is_found_again_after_a_reboot() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    machine.run(&["up", "-f", &file]).ok();
    machine.sim.edit(|world| world.reboot()).expect("edited");
    machine.run(&["up", "-f", &file]).ok();
    assert_eq!(machine.mount_points().len(), 3);
    machine.sim.edit(|world| world.reboot()).expect("edited");
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

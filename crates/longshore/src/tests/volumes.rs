//! `mount`, `umount`, `attach`, `detach`, `ls`, `show`, `forget`, and how they fail.

use longshore_volume::LunKey;
use serde_json::Value;

use super::{IQN, Machine, id, pod, url};
use crate::exit::ExitCode;

#[test]
fn mount_and_umount_say_what_they_did() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let ran = machine.run(&["mount", &url(0), &dir]).ok();
    assert_eq!(
        ran.out,
        format!("{} is at {dir} (ext4, read-write, /dev/sim0)\n", id(0))
    );
    let again = machine.run(&["mount", &url(0), &dir]).ok();
    assert!(again.out.ends_with("(it was so already)\n"), "{again:?}");
    let ran = machine.run(&["umount", &dir]).ok();
    assert_eq!(ran.out, format!("{} is no longer at {dir}\n", id(0)));
    let ran = machine.run(&["umount", &dir]).ok();
    assert_eq!(ran.out, format!("no volume is at {dir} (it was so already)\n"));
    machine.is_clean();
}

#[test]
fn mount_and_umount_in_json() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let value = machine
        .run(&["mount", "--output", "json", "--read-only", &url(1), &dir])
        .ok()
        .json();
    assert_eq!(value["outcome"], "changed");
    assert_eq!(value["published"]["access"], "readOnly");
    assert_eq!(value["staged"]["fsType"], "xfs");
    assert_eq!(
        machine.run(&["-o", "json", "umount", &dir]).ok().json()["outcome"],
        "changed"
    );
    assert_eq!(
        machine.run(&["-o", "json", "umount", &dir]).ok().json()["outcome"],
        "alreadySo"
    );
    machine.is_clean();
}

/// F1: a device is formatted only when it is blank and the user allowed it.
#[test]
fn f1_nothing_is_formatted_without_being_asked() {
    let machine = Machine::new();
    let dir = machine.target("a");
    machine
        .run(&["mount", &url(2), &dir])
        .fails(ExitCode::Refused, &["ifBlank"]);
    machine
        .run(&["mount", "--format", "ifBlank", &url(3), &dir])
        .fails(ExitCode::Refused, &["GPT"]);
    machine
        .run(&["mount", "--format", "ifBlank", "-t", "ext4", &url(1), &dir])
        .fails(ExitCode::Refused, &["xfs"]);
    machine.is_clean();
    let ran = machine
        .run(&["mount", "--format", "ifBlank", "-t", "xfs", &url(2), &dir])
        .ok();
    assert!(ran.out.contains("(xfs, newly made, read-write"), "{ran:?}");
    machine.run(&["umount", &dir]).ok();
    machine.is_clean();
}

#[test]
fn failures_have_their_exit_codes() {
    let machine = Machine::new();
    let dir = machine.target("a");
    machine
        .run(&["mount", &url(9), &dir])
        .fails(ExitCode::NotFound, &[]);
    machine
        .run(&["mount", &url(0), &machine.path("absent").display().to_string()])
        .fails(ExitCode::Usage, &["absent"]);
    machine
        .run(&["mount", "-o", "json", &url(0), &dir])
        .fails(ExitCode::Usage, &["--output json"]);
    machine
        .run(&["mount", "--wwid", "nonsense", &url(0), &dir])
        .fails(ExitCode::Usage, &["WWID"]);
    machine
        .run(&[
            "mount",
            "--wwid",
            "naa.6000000000000000000000000000ffff",
            &url(0),
            &dir,
        ])
        .fails(ExitCode::Refused, &["WWID"]);
    machine
        .sim
        .edit(|world| world.lun(&LunKey::iscsi(IQN, 1)).unreachable = true)
        .expect("edited");
    machine
        .run(&["mount", &url(1), &dir])
        .fails(ExitCode::Unreachable, &["help: "]);
    machine
        .run(&["show", "nothing-such"])
        .fails(ExitCode::NotFound, &["longshore ls"]);
    machine.run(&["show", "Nothing Such"]).fails(ExitCode::Usage, &[]);
    machine.run(&["show", &dir]).fails(ExitCode::NotFound, &[]);
    machine
        .run(&["down", "nobody"])
        .fails(ExitCode::NotFound, &["nobody"]);
    machine
        .run(&["up", "-f", "/absent.yaml"])
        .fails(ExitCode::Usage, &["/absent.yaml:1:1", "cannot read"]);
    machine.is_clean();
}

#[test]
fn a_failure_in_json_is_json() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let ran = machine.run(&["mount", "--output", "json", &url(2), &dir]);
    let value: Value = serde_json::from_str(&ran.err).expect("JSON");
    assert_eq!(
        (value["error"]["code"].as_u64(), value["error"]["kind"].as_str()),
        (Some(4), Some("Refused"))
    );
    let file = pod(&machine, |text| {
        text.replace("lun: 0", "lun: x").replace("lun: 1", "lun: y")
    });
    let ran = machine.run(&["up", "-f", &file, "-o", "json"]);
    let value: Value = serde_json::from_str(&ran.err).expect("JSON");
    assert_eq!(value["error"]["problems"][1]["line"], 17);
    assert_eq!(
        value["error"]["problems"][1]["field"],
        "spec.volumes[1].iscsi.lun"
    );
}

#[test]
fn a_secret_is_read_from_a_file_and_never_shown() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let secret = machine.path("secret");
    std::fs::write(&secret, "hunter2hunter2\n").expect("written");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("mode");
    let file = secret.display().to_string();
    let with_user = format!("iscsi://alice@127.0.0.1:3260/{IQN}/0");
    machine
        .run(&["mount", &with_user, &dir])
        .fails(ExitCode::Usage, &["--chap-secret-file"]);
    let ran = machine
        .run(&["mount", "--chap-secret-file", &file, &with_user, &dir])
        .ok();
    assert!(
        ran.err.starts_with("warning: ") && ran.err.contains("chmod 600"),
        "{ran:?}"
    );
    let shown = machine.run(&["show", &dir, "-o", "json"]).ok();
    assert!(
        shown.out.contains("alice") && !shown.out.contains("hunter2"),
        "{shown:?}"
    );
    machine.run(&["umount", &dir]).ok();
    machine.is_clean();
}

#[test]
fn attach_prints_the_device_and_detach_finds_it_by_any_name() {
    let machine = Machine::new();
    let ran = machine.run(&["attach", &url(2)]).ok();
    let path = ran.out.trim_end().to_owned();
    assert!(path.starts_with('/') && !path.contains(' '), "{ran:?}");
    assert_eq!(machine.run(&["attach", &url(2)]).ok().out, ran.out);
    assert!(
        machine
            .run(&["attach", &url(2), "-o", "wide"])
            .ok()
            .out
            .contains("naa.6")
    );
    machine
        .run(&["mount", &url(2), &machine.target("a")])
        .fails(ExitCode::Busy, &["raw block device"]);
    for word in [path.clone(), id(2), id(2)[..10].to_owned(), url(2)] {
        assert_eq!(
            machine.run(&["detach", &word]).ok().out,
            format!("{} is detached\n", id(2)),
            "{word}"
        );
        machine.run(&["attach", &url(2)]).ok();
    }
    let shown = machine.run(&["show", &id(2), "-o", "json"]).ok().json();
    machine
        .run(&["detach", shown["device"]["path"].as_str().expect("a path")])
        .ok();
    assert!(
        machine
            .run(&["detach", &url(2)])
            .ok()
            .out
            .ends_with("(it was so already)\n")
    );
    machine.is_clean();
}

#[test]
fn ls_and_show_find_what_is_there() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["ls"]).ok().out, "No volumes are in use.\n");
    let (a, b) = (machine.target("a"), machine.target("b"));
    machine.run(&["mount", "--read-only", &url(0), &a]).ok();
    machine.run(&["mount", &url(1), &b]).ok();
    let listed = machine.run(&["ls"]).ok().out;
    let mut lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| {
            line.split("   ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(
        lines.remove(0),
        ["ID", "STATE", "TYPE", "ACCESS", "SIZE", "SOURCE", "MOUNTED AT"]
    );
    lines.sort_by_key(|line| line[5].to_owned());
    assert_eq!(
        lines[0],
        [&*id(0), "Published", "ext4", "read-only", "64 MiB", &*url(0), &*a]
    );
    assert_eq!(
        lines[1],
        [&*id(1), "Published", "xfs", "read-write", "64 MiB", &*url(1), &*b]
    );
    assert!(machine.run(&["ls", "-o", "wide"]).ok().out.contains("naa.6"));
    assert_eq!(
        machine.run(&["ls", "-o", "json"]).ok().json()["volumes"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    for word in [id(0), id(0)[..9].to_owned(), a.clone(), url(0)] {
        let shown = machine.run(&["show", &word]).ok().out;
        assert!(
            shown.starts_with(&format!("Volume:         {}\nState:          Published\n", id(0))),
            "{shown}"
        );
        assert!(
            shown.contains(&format!("Mounted at:     {a} (read-only, for longshore mount)\n")),
            "{shown}"
        );
    }
    machine
        .run(&["show", "iscsi-"])
        .fails(ExitCode::Usage, &["more than one volume"]);
    machine.run(&["umount", &a]).ok();
    let shown = machine.run(&["show", &url(0)]).ok().out;
    assert!(
        shown.contains("State:          Detached\n") && shown.contains("(when it was last used)"),
        "{shown}"
    );
    machine.run(&["umount", &b]).ok();
    machine.is_clean();
}

/// F3: another disk behind a known LUN number is refused until the user says that it is meant.
#[test]
fn f3_a_changed_disk_is_refused_until_it_is_forgotten() {
    let machine = Machine::new();
    let dir = machine.target("a");
    machine.run(&["mount", &url(0), &dir]).ok();
    machine.run(&["forget", &url(0)]).fails(ExitCode::Busy, &[]);
    machine.run(&["umount", &dir]).ok();
    let other = "naa.600000000000000000000000000000ff".to_owned();
    machine
        .sim
        .edit(|world| world.lun(&LunKey::iscsi(IQN, 0)).wwid = other)
        .expect("edited");
    machine
        .run(&["mount", &url(0), &dir])
        .fails(ExitCode::Refused, &["WWID", "longshore forget"]);
    machine.run(&["forget", &url(0)]).ok();
    machine.run(&["mount", &url(0), &dir]).ok();
    machine.run(&["umount", &dir]).ok();
    machine.is_clean();
}

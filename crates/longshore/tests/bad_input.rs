//! Wrong input and hostile surroundings: each gets a clear error and its exit code, and nothing is lost or left.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use node::array::{Accounts, Array, Kind};
use node::{image, served, tgt};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Command;

// Exit codes of docs/cli/exit-codes.md.
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const REFUSED: i32 = 4;
const UNREACHABLE: i32 = 6;
const AUTHENTICATION: i32 = 7;
const CONFLICT: i32 = 9;

on_each_array!(
    a_lun_that_is_not_there,
    a_wrong_target_name,
    wrong_or_missing_chap_secrets,
    a_target_that_cannot_prove_itself,
    another_file_system_than_asked_for,
);

#[test]
fn a_refused_connection() {
    let node = Node::new();
    let portal = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("iscsi://{portal}/iqn.2003-01.org.example:a/0");
    let dir = node.directory("a");
    let done = node.run(&["mount", "--timeout", "5s", &url, dir.to_str().unwrap()]);
    done.refused(UNREACHABLE, &[&portal.to_string(), "refused"]);
    node.nothing_is_left();
}

#[test]
fn a_portal_where_something_else_listens() {
    let node = Node::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(
                &mut &stream,
                b"SSH-2.0-OpenSSH_9.2 and then some bytes to fill a header\r\n",
            );
        }
    });
    let url = format!("iscsi://{portal}/iqn.2003-01.org.example:a/0");
    let dir = node.directory("a");
    let done = node.run(&["mount", "--timeout", "5s", &url, dir.to_str().unwrap()]);
    assert!(matches!(done.code, Some(1..=11)), "{}", done.text());
    assert!(done.stderr.contains(&portal.to_string()), "{}", done.text());
    node.nothing_is_left();
}

#[test]
fn a_host_name_that_does_not_resolve() {
    let node = Node::new();
    let dir = node.directory("a");
    let url = "iscsi://no-such-array.invalid/iqn.2003-01.org.example:a/0";
    let done = node.run(&["mount", "--timeout", "5s", url, dir.to_str().unwrap()]);
    assert!([UNREACHABLE, 5].contains(&done.code.unwrap()), "{}", done.text());
    assert!(done.stderr.contains("no-such-array.invalid"), "{}", done.text());
    node.nothing_is_left();
}

#[test]
fn names_and_urls_that_break_the_grammar() {
    let node = Node::new();
    let dir = node.directory("a");
    for (url, word) in [
        (
            "iscsi://127.0.0.1/iqn.2003-01.org.example:a%20b/0",
            "iqn.2003-01.org.example",
        ),
        ("iscsi://127.0.0.1/iqn.2003-13.org.example:a/0", "iqn.2003-13"),
        ("iscsi://127.0.0.1/../../etc/0", "etc"),
        ("iscsi://127.0.0.1:99999/iqn.2003-01.org.example:a/0", "99999"),
        (
            "iscsi://user:secret@127.0.0.1/iqn.2003-01.org.example:a/0",
            "--chap-secret-file",
        ),
        ("http://127.0.0.1/iqn.2003-01.org.example:a/0", "iscsi://"),
    ] {
        let done = node
            .run(&["mount", url, dir.to_str().unwrap()])
            .refused(USAGE, &[word]);
        assert!(!done.stderr.contains("secret@"), "{}", done.text());
    }
    assert!(
        fs::read_dir(node.run_dir()).unwrap().next().is_none(),
        "nothing was started"
    );
}

fn a_lun_that_is_not_there(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    let url = format!("iscsi://{}/{}/99", array.portal(), array.iqn());
    node.run(&["mount", &url, dir.to_str().unwrap()])
        .refused(NOT_FOUND, &["99"]);
    node.nothing_is_left();
}

fn a_wrong_target_name(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    let url = format!("iscsi://{}/iqn.2003-01.org.example:another/0", array.portal());
    let done = node.run(&["mount", "--timeout", "20s", &url, dir.to_str().unwrap()]);
    done.refused(NOT_FOUND, &["iqn.2003-01.org.example:another"]);
    node.nothing_is_left();
}

fn wrong_or_missing_chap_secrets(kind: Kind) {
    let node = Node::new();
    let accounts = Accounts {
        user: "the-node",
        password: "secret-of-the-node",
        target: None,
    };
    let array = Array::with_chap(kind, node.folder(), &accounts);
    let dir = node.directory("a");
    let wrong = node.file("wrong", "another-secret-here");
    let url = array.url_as("the-node", 0);
    let words = [
        "mount",
        "--timeout",
        "20s",
        &url,
        dir.to_str().unwrap(),
        "--chap-secret-file",
        wrong.to_str().unwrap(),
    ];
    let done = node.run(&words).refused(AUTHENTICATION, &["CHAP"]);
    assert!(!done.text().contains("another-secret-here"));
    let bare = array.url(0);
    node.run(&["mount", "--timeout", "20s", &bare, dir.to_str().unwrap()])
        .refused(AUTHENTICATION, &["CHAP"]);
    node.nothing_is_left();
}

fn a_target_that_cannot_prove_itself(kind: Kind) {
    let node = Node::new();
    let target = Some(("the-array", "secret-of-the-array"));
    let accounts = Accounts {
        user: "the-node",
        password: "secret-of-the-node",
        target,
    };
    let array = Array::with_chap(kind, node.folder(), &accounts);
    let dir = node.directory("a");
    let ours = node.file("ours", accounts.password);
    let expected = node.file("expected", "what-we-expect-of-it");
    let url = array.url_as("the-node", 0);
    let mut words = vec!["mount", "--timeout", "20s", &url, dir.to_str().unwrap()];
    words.extend(["--chap-secret-file", ours.to_str().unwrap()]);
    words.extend([
        "--chap-user-in",
        "the-array",
        "--chap-secret-in-file",
        expected.to_str().unwrap(),
    ]);
    node.run(&words).refused(AUTHENTICATION, &["target"]);
    node.nothing_is_left();
}

fn another_file_system_than_asked_for(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    let url = array.url(0);
    let words = [
        "mount",
        "--fs-type",
        "xfs",
        "--format",
        "ifBlank",
        &url,
        dir.to_str().unwrap(),
    ];
    node.run(&words).refused(REFUSED, &["ext4", "xfs"]);
    node.nothing_is_left();
    node.run(&["mount", "--read-only", &url, dir.to_str().unwrap()])
        .ok();
    assert_eq!(
        fs::read_to_string(dir.join("hello.txt")).unwrap(),
        "from the array\n"
    );
}

#[test]
fn a_device_that_holds_anything_is_never_formatted() {
    // F1: each of these is somebody's data.
    type Make = fn(&std::path::Path);
    let one_byte: Make = |path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", 4096 * 3 + 5).unwrap();
    };
    let last_byte: Make = |path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", image::LEN - 1).unwrap();
    };
    let luks: Make = |path| {
        let script =
            "printf geheim-geheim | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        image::run(
            Command::new("sh")
                .arg("-c")
                .arg(format!("{script} {} -", path.display())),
        );
    };
    let swap: Make = |path| image::run(Command::new("mkswap").arg(path));
    let vfat: Make = |path| image::run(Command::new("mkfs.vfat").arg(path));
    let cases: [(&str, Make, &str); 5] = [
        ("a byte near the head", one_byte, ""),
        ("the last byte", last_byte, ""),
        ("LUKS", luks, "LUKS"),
        ("swap", swap, "swap"),
        ("FAT", vfat, "FAT"),
    ];
    for (name, make, word) in cases {
        let node = Node::new();
        let disk = image::blank(node.folder(), "disk.img");
        make(&disk);
        let before = checksum(&disk);
        let array = served::Served::start("iqn.2003-01.org.example:held", &[&disk], &[]);
        let dir = node.directory("a");
        let words = [
            "mount",
            "--fs-type",
            "ext4",
            "--format",
            "ifBlank",
            &array.url(0),
            dir.to_str().unwrap(),
        ];
        let done = node.run(&words);
        assert_eq!(done.code, Some(REFUSED), "{name}: {}", done.text());
        assert!(
            done.stderr.to_lowercase().contains(&word.to_lowercase()),
            "{name}: {}",
            done.text()
        );
        node.nothing_is_left();
        assert_eq!(checksum(&disk), before, "{name}: the disk was changed");
    }
}

fn checksum(path: &std::path::Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_blank_device_is_formatted_only_when_told_and_only_once() {
    let node = Node::new();
    let disk = image::blank(node.folder(), "disk.img");
    let array = served::Served::start("iqn.2003-01.org.example:blank", &[&disk], &[]);
    let (dir, url) = (node.directory("a"), array.url(0));
    let at = dir.to_str().unwrap();
    for fs_type in [&["--fs-type", "ext4"][..], &[]] {
        let words: Vec<&str> = ["mount", &url, at]
            .into_iter()
            .chain(fs_type.iter().copied())
            .collect();
        node.run(&words).refused(REFUSED, &["blank", "ifBlank"]);
    }
    let allowed = ["mount", "--fs-type", "ext4", "--format", "ifBlank", &url, at];
    node.run(&allowed).ok();
    fs::write(dir.join("precious"), "data").unwrap();
    node.run(&["umount", at]).ok();
    node.nothing_is_left();
    // F2: the array now reads as zeros, as a broken one does; the record of the first format vetoes a second.
    drop(array);
    let blank = image::blank(node.folder(), "disk.img");
    let array = served::Served::start("iqn.2003-01.org.example:blank", &[&blank], &[]);
    let url = array.url(0);
    let words = ["mount", "--fs-type", "ext4", "--format", "ifBlank", &url, at];
    node.run(&words).refused(REFUSED, &[]);
    node.nothing_is_left();
}

#[test]
fn a_lun_whose_wwid_changed_between_two_uses() {
    // F3: the same address, another disk.
    let node = Node::new();
    let array = Array::start(Kind::Ours, node.folder());
    let dir = node.directory("a");
    let at = dir.to_str().unwrap();
    let shown = node
        .run(&["mount", "--read-only", &array.url(0), at, "--output", "json"])
        .ok()
        .json();
    node.run(&["umount", at]).ok();
    node.nothing_is_left();
    let portal = array.portal();
    drop(array);
    let other = image::ext4_with_file(node.folder(), "other.img", "hello.txt", "another disk\n");
    let array = served::Served::start("iqn.2003-01.org.example:ours", &[&other], &["--portal", &portal]);
    let url = format!("iscsi://{}/{}/0", array.portal(), array.iqn);
    let known = find_text(&shown, "wwid").expect("mount prints the WWID");
    node.run(&["mount", "--read-only", &url, at])
        .refused(REFUSED, &[&known, "forget"]);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing is mounted");
    node.nothing_is_left();
    // The remedy works.
    node.run(&["forget", &url]).ok();
    node.run(&["mount", "--read-only", &url, at]).ok();
    assert_eq!(
        fs::read_to_string(dir.join("hello.txt")).unwrap(),
        "another disk\n"
    );
}

/// The first text under `key` anywhere in a JSON value.
fn find_text(value: &serde_json::Value, key: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(map) => match map.get(key).and_then(|v| v.as_str()) {
            Some(text) => Some(text.to_owned()),
            None => map.values().find_map(|v| find_text(v, key)),
        },
        serde_json::Value::Array(list) => list.iter().find_map(|v| find_text(v, key)),
        _ => None,
    }
}

#[test]
fn a_pinned_wwid_that_differs() {
    let node = Node::new();
    let array = Array::start(Kind::Ours, node.folder());
    let dir = node.directory("a");
    let words = [
        "mount",
        "--wwid",
        "naa.60000000000000000000000000000001",
        &array.url(0),
        dir.to_str().unwrap(),
    ];
    node.run(&words)
        .refused(REFUSED, &["naa.60000000000000000000000000000001"]);
    node.nothing_is_left();
}

#[test]
fn a_read_only_lun_asked_for_read_write() {
    let node = Node::new();
    let disk = image::ext4_with_file(node.folder(), "disk.img", "a", "b");
    let lun = format!("0={},ro", disk.display());
    let array = served::Served::start_with_luns("iqn.2003-01.org.example:ro", &[lun], &[]);
    let (dir, url) = (node.directory("a"), array.url(0));
    node.run(&["mount", &url, dir.to_str().unwrap()])
        .refused(REFUSED, &["read-only"]);
    node.nothing_is_left();
    node.run(&["mount", "--read-only", &url, dir.to_str().unwrap()])
        .ok();
}

#[test]
fn target_directories_that_cannot_be_taken() {
    let node = Node::new();
    let array = Array::start(Kind::Ours, node.folder());
    let url = array.url(0);
    let mount = |dir: &std::path::Path| node.run(&["mount", "--read-only", &url, dir.to_str().unwrap()]);

    let real = node.directory("real");
    let link = node.folder().join("mnt/link");
    symlink(&real, &link).unwrap();
    let done = mount(&link);
    assert!(matches!(done.code, Some(USAGE | CONFLICT)), "{}", done.text());
    assert!(
        done.stderr.contains("symbolic link") || done.stderr.contains("symlink"),
        "{}",
        done.text()
    );

    let full = node.directory("full");
    fs::write(full.join("something"), "x").unwrap();
    let done = mount(&full);
    assert!(
        matches!(done.code, Some(USAGE | CONFLICT)) && done.stderr.contains("empty"),
        "{}",
        done.text()
    );

    let taken = node.directory("taken");
    image::run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&taken));
    let done = mount(&taken);
    image::run(Command::new("umount").arg(&taken));
    assert!(
        matches!(done.code, Some(USAGE | CONFLICT)) && done.stderr.contains("mount"),
        "{}",
        done.text()
    );

    let file = node.folder().join("mnt/file");
    fs::write(&file, "x").unwrap();
    let done = mount(&file);
    assert!(
        matches!(done.code, Some(USAGE | CONFLICT)) && done.stderr.contains("director"),
        "{}",
        done.text()
    );

    let missing = node.folder().join("mnt/missing/deep");
    let done = mount(&missing);
    assert!(matches!(done.code, Some(USAGE | NOT_FOUND)), "{}", done.text());
    assert!(!missing.exists());
    node.nothing_is_left();
}

#[test]
fn two_volumes_with_one_target_directory() {
    let node = Node::new();
    let array = Array::start(Kind::Ours, node.folder());
    let dir = node.directory("a");
    node.run(&["mount", "--read-only", &array.url(0), dir.to_str().unwrap()])
        .ok();
    let done = node.run(&["mount", &array.url(1), dir.to_str().unwrap()]);
    done.refused(CONFLICT, &[dir.to_str().unwrap()]);
    assert_eq!(
        fs::read_to_string(dir.join("hello.txt")).unwrap(),
        "from the array\n"
    );
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

#[test]
fn a_mount_option_that_is_not_on_the_list() {
    let node = Node::new();
    let array = Array::start(Kind::Ours, node.folder());
    let dir = node.directory("a");
    for option in ["journal_path=/dev/sda", "errors=panic", "loop"] {
        let words = ["mount", "-o", option, &array.url(0), dir.to_str().unwrap()];
        let name = option.split('=').next().unwrap();
        node.run(&words).refused(USAGE, &[name]);
    }
    node.nothing_is_left();
}

#[test]
fn malformed_manifests_name_the_line_and_the_field() {
    let node = Node::new();
    let head = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: c\n    image: none\n    volumeMounts: [{name: v, mountPath: /v}]\n  volumes:\n  - name: v\n    iscsi:\n";
    for (text, line, word) in [
        (
            format!("{head}      {{targetPortal: 10.0.0.1, iqn: nonsense, lun: 0}}\n"),
            12,
            "iqn",
        ),
        (
            format!(
                "{head}      targetPortal: 10.0.0.1\n      iqn: iqn.2003-01.org.example:a\n      lun: many\n"
            ),
            14,
            "lun",
        ),
        ("kind: Pod\nmetadata: {name: a\nspec: {}\n".to_owned(), 3, ""),
    ] {
        let file = node.file("pod.yaml", &text);
        let done = node
            .run(&["up", "-f", file.to_str().unwrap()])
            .refused(USAGE, &["pod.yaml", word]);
        assert!(
            done.stderr.contains(&format!(":{line}")) || done.stderr.contains(&format!("line {line}")),
            "{}",
            done.text()
        );
    }
    node.run(&["up", "-f", "/nonexistent/pod.yaml"])
        .refused(USAGE, &["/nonexistent/pod.yaml"]);
}

#[test]
fn what_was_never_mounted() {
    let node = Node::new();
    let dir = node.directory("a");
    // Unmounting what is not mounted is done already; a volume that was never seen cannot be shown.
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.run(&["show", "iscsi-000000000000"])
        .refused(NOT_FOUND, &["iscsi-000000000000"]);
    node.nothing_is_left();
}

#[test]
fn tgt_and_our_target_never_share_an_identity() {
    // Some targets derive WWIDs from small numbers: equal ones from two targets are two disks.
    let node = Node::new();
    let first = image::ext4_with_file(node.folder(), "first.img", "name", "first");
    let second = image::ext4_with_file(node.folder(), "second.img", "name", "second");
    let a = tgt::Tgt::start_with_plain_serials("iqn.2003-01.org.example:first", &[&first]);
    let b = tgt::Tgt::start_with_plain_serials("iqn.2003-01.org.example:second", &[&second]);
    let (at_a, at_b) = (node.directory("a"), node.directory("b"));
    node.run(&["mount", "--read-only", &a.url(0), at_a.to_str().unwrap()])
        .ok();
    node.run(&["mount", "--read-only", &b.url(0), at_b.to_str().unwrap()])
        .ok();
    assert_eq!(fs::read_to_string(at_a.join("name")).unwrap(), "first");
    assert_eq!(fs::read_to_string(at_b.join("name")).unwrap(), "second");
    node.run(&["umount", at_a.to_str().unwrap()]).ok();
    node.run(&["umount", at_b.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

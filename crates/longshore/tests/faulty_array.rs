//! Arrays that fail in ways that a real one does only on its worst day: our target in this process, with its faults.
#![allow(clippy::unwrap_used)]

mod node;

use longshore_target::faults::ReadFault;
use longshore_target::{LunConfig, Server, TargetConfig};
use node::{Node, image};
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const IQN: &str = "iqn.2003-01.org.example:faulty";
const REFUSED: i32 = 4;

/// Serves one disk.
fn serve(lun: LunConfig) -> Server {
    let mut target = TargetConfig::new(IQN);
    target.luns.push(lun);
    Server::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .target(target)
        .start()
        .unwrap()
}

fn url(server: &Server) -> String {
    format!("iscsi://{}/{IQN}/0", server.local_addr())
}

fn stop(server: Server) {
    server.stop(Instant::now() + Duration::from_secs(20)).unwrap();
}

fn checksum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn f1_a_device_whose_reads_fail_or_come_short_is_never_formatted() {
    // A disk that holds data in its middle and blocks that cannot be read at its head: "unknown", never "blank".
    for fault in [ReadFault::MediumError, ReadFault::Short] {
        for first_block in [0u64, 8, 2048, image::LEN / 512 - 8] {
            let node = Node::new();
            let disk = image::blank(node.folder(), "disk.img");
            let server = serve(LunConfig::new(0, &disk));
            assert!(
                server
                    .faults()
                    .fail_reads(IQN, 0, first_block..first_block + 8, fault)
            );
            let before = checksum(&disk);
            let dir = node.directory("a");
            let words = [
                "mount",
                "--timeout",
                "30s",
                "--fs-type",
                "ext4",
                "--format",
                "ifBlank",
                &url(&server),
                dir.to_str().unwrap(),
            ];
            let done = node.run(&words);
            assert_ne!(done.code, Some(0), "{fault:?} at {first_block}: {}", done.text());
            assert!(
                done.code == Some(REFUSED) || done.code == Some(5),
                "{fault:?} at {first_block}: {}",
                done.text()
            );
            assert!(node::machine::mount_at(&dir).is_none());
            node.nothing_is_left();
            assert_eq!(
                checksum(&disk),
                before,
                "{fault:?} at {first_block}: the disk was written"
            );
            stop(server);
        }
    }
}

#[test]
fn f3_another_disk_behind_the_same_lun_during_an_outage_gets_no_write() {
    let node = Node::new();
    let disk = image::formatted(node.folder(), "disk.img", "ext4");
    let other = image::ext4_with_file(node.folder(), "other.img", "precious", "of somebody else");
    let server = serve(LunConfig::new(0, &disk));
    let dir = node.directory("a");
    node.run(&["mount", &url(&server), dir.to_str().unwrap()]).ok();
    let mut file = File::create(dir.join("file")).unwrap();
    file.write_all(&[1; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    let before = checksum(&other);
    // The array loses its connections and comes back with another disk under the number.
    server.faults().pause();
    server
        .target(IQN)
        .unwrap()
        .replace_lun(&LunConfig::new(0, &other))
        .unwrap();
    file.write_all(&[2; 1 << 20]).unwrap();
    server.faults().drop_connections();
    server.faults().resume();
    file.sync_all().expect_err("nothing may say that this is durable");
    drop(file);
    assert_eq!(checksum(&other), before, "a write reached another's disk");
    let shown = node.run(&["show", dir.to_str().unwrap()]).text();
    assert!(
        shown.contains("naa."),
        "the condition names the identities: {shown}"
    );
    node.run(&["umount", "--timeout", "60s", dir.to_str().unwrap()]);
    assert!(node::machine::mount_at(&dir).is_none(), "it can be taken away");
    assert_eq!(checksum(&other), before, "a write reached another's disk");
    stop(server);
}

#[test]
fn f11_an_array_that_stops_answering_does_not_hold_up_the_tear_down() {
    let node = Node::new();
    let disk = image::ext4_with_file(node.folder(), "disk.img", "a", "b");
    let server = serve(LunConfig::new(0, &disk));
    let dir = node.directory("a");
    node.run(&["mount", "--read-only", &url(&server), dir.to_str().unwrap()])
        .ok();
    server.faults().pause();
    node.run(&["umount", "--timeout", "60s", dir.to_str().unwrap()])
        .ok();
    node.nothing_is_left();
    server.faults().resume();
    stop(server);
}

#[test]
fn f13_an_array_that_falls_silent_during_the_probe_does_not_hold_the_command() {
    let node = Node::new();
    let disk = image::blank(node.folder(), "disk.img");
    let server = serve(LunConfig::new(0, &disk));
    // Slow enough that the probe is still reading when the array falls silent.
    server.faults().delay_commands(Duration::from_millis(30));
    let (dir, url) = (node.directory("a"), url(&server));
    let before = node::machine::loops().len();
    let words = [
        "mount",
        "--timeout",
        "8s",
        "--fs-type",
        "ext4",
        url.as_str(),
        dir.to_str().unwrap(),
    ];
    std::thread::scope(|scope| {
        let call = scope.spawn(|| node.run(&words));
        let attached = || node::machine::loops().len() > before || call.is_finished();
        assert!(
            node::wait(Duration::from_secs(60), attached),
            "the LUN was never attached"
        );
        server.faults().pause();
        let done = call.join().unwrap();
        assert_ne!(done.code, Some(0), "{}", done.text());
    });
    // The array is still silent: nothing waits for it.
    node.nothing_is_left();
    server.faults().resume();
    stop(server);
}

#[test]
fn f18_a_dead_and_a_silent_portal_beside_a_living_one() {
    let node = Node::new();
    let disk = image::ext4_with_file(node.folder(), "disk.img", "a", "b");
    let server = serve(LunConfig::new(0, &disk));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = node.directory("a");
    let first = format!("iscsi://{dead}/{IQN}/0");
    let (second, third) = (
        silent.local_addr().unwrap().to_string(),
        server.local_addr().to_string(),
    );
    let words = [
        "mount",
        "--timeout",
        "30s",
        "--read-only",
        &first,
        dir.to_str().unwrap(),
        "--portal",
        &second,
        "--portal",
        &third,
    ];
    node.run(&words).ok();
    assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "b");
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
    stop(server);
}

#[test]
fn a_lun_with_blocks_of_4096_bytes() {
    for fs_type in ["ext4", "xfs", "btrfs"] {
        let node = Node::new();
        let disk = image::blank(node.folder(), &format!("{fs_type}.img"));
        let mut lun = LunConfig::new(0, &disk);
        lun.block_size_bytes = 4096;
        let server = serve(lun);
        let dir = node.directory(fs_type);
        let words = [
            "mount",
            "--fs-type",
            fs_type,
            "--format",
            "ifBlank",
            &url(&server),
            dir.to_str().unwrap(),
        ];
        node.run(&words).ok();
        assert_eq!(node::machine::mount_at(&dir).unwrap().fs_type, fs_type);
        fs::write(dir.join("file"), vec![7; 3_000_000]).unwrap();
        node.run(&["umount", dir.to_str().unwrap()]).ok();
        node.run(&["mount", "--read-only", &url(&server), dir.to_str().unwrap()])
            .ok();
        assert!(
            fs::read(dir.join("file")).unwrap() == vec![7; 3_000_000],
            "{fs_type}"
        );
        node.run(&["umount", dir.to_str().unwrap()]).ok();
        node.nothing_is_left();
        stop(server);
    }
}

#[test]
fn an_interface_or_a_source_address_to_bind_to() {
    let node = Node::new();
    let disk = image::ext4_with_file(node.folder(), "disk.img", "a", "b");
    let server = serve(LunConfig::new(0, &disk));
    let (dir, url) = (node.directory("a"), url(&server));
    for interface in ["lo", "127.0.0.77", "default"] {
        node.run(&[
            "mount",
            "--read-only",
            "--interface",
            interface,
            &url,
            dir.to_str().unwrap(),
        ])
        .ok();
        if interface == "127.0.0.77" {
            let port = server.local_addr().port();
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            let bound = table.lines().any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields[1].starts_with("4D00007F:") && fields[2].ends_with(&format!(":{port:04X}"))
            });
            assert!(bound, "the connection does not come from 127.0.0.77");
        }
        node.run(&["umount", dir.to_str().unwrap()]).ok();
        node.nothing_is_left();
    }
    let done = node.run(&[
        "mount",
        "--interface",
        "no-such-if0",
        "--timeout",
        "10s",
        &url,
        dir.to_str().unwrap(),
    ]);
    assert_ne!(done.code, Some(0));
    assert!(done.stderr.contains("no-such-if0"), "{}", done.text());
    node.nothing_is_left();
    stop(server);
}

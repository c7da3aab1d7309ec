//! Volumes from the array into a directory and away again, against our target and against tgt.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use node::array::{Accounts, Array, Kind};
use node::machine;
use std::fs;

on_each_array!(
    an_existing_ext4_read_only,
    an_xfs_read_write_keeps_what_is_written,
    one_lun_at_two_directories_is_mounted_once,
    two_luns_share_one_session,
    a_raw_block_device,
    a_pod_goes_up_and_down,
    chap_one_way_and_mutual,
    discovery_lists_the_target,
);

fn an_existing_ext4_read_only(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    node.run(&["mount", "--read-only", &array.url(0), dir.to_str().unwrap()])
        .ok();
    assert_eq!(
        fs::read_to_string(dir.join("hello.txt")).unwrap(),
        "from the array\n"
    );
    let refused = fs::write(dir.join("new"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(30), "EROFS, not {refused}");
    let mounted = machine::mount_at(&dir).unwrap();
    assert_eq!(mounted.fs_type, "ext4");
    assert!(
        mounted
            .super_options
            .split(',')
            .any(|o| o == "norecovery" || o == "noload"),
        "{mounted:?}"
    );
    let device = mounted.source.trim_start_matches("/dev/");
    assert_eq!(
        fs::read_to_string(format!("/sys/block/{device}/ro"))
            .unwrap()
            .trim(),
        "1"
    );
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

fn an_xfs_read_write_keeps_what_is_written(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    let content: Vec<u8> = (0..4_000_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    node.run(&["mount", &array.url(1), dir.to_str().unwrap()]).ok();
    fs::write(dir.join("data"), &content).unwrap();
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
    let again = node
        .run(&["mount", &array.url(1), dir.to_str().unwrap(), "--output", "json"])
        .ok()
        .json();
    assert_eq!(again["outcome"], "changed");
    assert!(
        fs::read(dir.join("data")).unwrap() == content,
        "what was written is not what is read"
    );
    let repeat = node
        .run(&["mount", &array.url(1), dir.to_str().unwrap(), "--output", "json"])
        .ok()
        .json();
    assert_eq!(repeat["outcome"], "alreadySo");
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.run(&["umount", dir.to_str().unwrap(), "--output", "json"])
        .ok();
    node.nothing_is_left();
}

fn one_lun_at_two_directories_is_mounted_once(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let (a, b) = (node.directory("a"), node.directory("b"));
    node.run(&["mount", &array.url(1), a.to_str().unwrap()]).ok();
    node.run(&["mount", "--read-only", &array.url(1), b.to_str().unwrap()])
        .ok();
    let (at_a, at_b) = (machine::mount_at(&a).unwrap(), machine::mount_at(&b).unwrap());
    assert_eq!(at_a.device, at_b.device, "one file system, mounted once");
    fs::write(a.join("seen"), "by both").unwrap();
    assert_eq!(fs::read_to_string(b.join("seen")).unwrap(), "by both");
    assert!(
        fs::write(b.join("refused"), "x").is_err(),
        "the second is read-only"
    );
    // F5: the first user leaves, the second keeps its volume.
    node.run(&["umount", a.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(b.join("seen")).unwrap(), "by both");
    node.run(&["umount", b.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

fn two_luns_share_one_session(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let (a, b) = (node.directory("a"), node.directory("b"));
    node.run(&["mount", "--read-only", &array.url(0), a.to_str().unwrap()])
        .ok();
    node.run(&["mount", &array.url(1), b.to_str().unwrap()]).ok();
    assert_eq!(
        connections_to(&node, &array.portal()),
        1,
        "one session serves both LUNs"
    );
    // F5: a logout for one LUN must not take the other's session away.
    node.run(&["umount", a.to_str().unwrap()]).ok();
    fs::write(b.join("still"), "here").unwrap();
    assert_eq!(connections_to(&node, &array.portal()), 1);
    node.run(&["umount", b.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

/// Established TCP connections of the node's data plane to a portal on 127.0.0.1, from the kernel's table.
fn connections_to(node: &Node, portal: &str) -> usize {
    let port: u16 = portal.rsplit_once(':').unwrap().1.parse().unwrap();
    let pid = node.data_plane().expect("a data plane");
    let inodes: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|to| {
            Some(
                to.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    let wanted = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let established = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[2] == wanted && fields[3] == "01" && inodes.iter().any(|inode| inode == fields[9])
    });
    established.count()
}

fn a_raw_block_device(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let attached = node
        .run(&["attach", &array.url(0), "--output", "json"])
        .ok()
        .json();
    let device = attached["device"].as_str().unwrap().to_owned();
    let name = device.trim_start_matches("/dev/");
    let sectors: u64 = fs::read_to_string(format!("/sys/block/{name}/size"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert_eq!(
        sectors * 512,
        node::image::LEN,
        "the device is as large as the LUN"
    );
    let block = fs::read_to_string(format!("/sys/block/{name}/queue/logical_block_size")).unwrap();
    assert_eq!(block.trim(), "512");
    let mut head = vec![0; 2048];
    std::io::Read::read_exact(&mut fs::File::open(&device).unwrap(), &mut head).unwrap();
    assert_eq!(
        head[1024 + 56..1024 + 58],
        [0x53, 0xef],
        "the ext4 superblock's magic number"
    );
    // A LUN is used either raw or as a file system.
    let dir = node.directory("a");
    let refused = node.run(&["mount", &array.url(0), dir.to_str().unwrap()]);
    assert!([8, 9].contains(&refused.code.unwrap()), "{}", refused.text());
    node.run(&["detach", &array.url(0)]).ok();
    node.run(&["detach", &array.url(0)]).ok();
    node.nothing_is_left();
}

fn a_pod_goes_up_and_down(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let (portal, iqn) = (array.portal(), array.iqn().to_owned());
    let pod = node.file(
        "pod.yaml",
        &format!(
            "apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: reader
    image: none
    volumeMounts:
    - {{ name: first, mountPath: /mnt/first, readOnly: true }}
  - name: writer
    image: none
    volumeMounts:
    - {{ name: second, mountPath: /mnt/second }}
  volumes:
  - name: first
    iscsi: {{ targetPortal: \"{portal}\", iqn: \"{iqn}\", lun: {}, fsType: ext4, readOnly: true }}
  - name: second
    iscsi: {{ targetPortal: \"{portal}\", iqn: \"{iqn}\", lun: {}, fsType: xfs }}
",
            array.lun(0),
            array.lun(1)
        ),
    );
    let dir = node.folder().join("pod");
    let up = ["up", "-f", pod.to_str().unwrap(), "--dir", dir.to_str().unwrap()];
    node.run(&up).ok();
    assert_eq!(connections_to(&node, &portal), 1);
    assert_eq!(
        fs::read_to_string(dir.join("reader/mnt/first/hello.txt")).unwrap(),
        "from the array\n"
    );
    assert!(fs::write(dir.join("reader/mnt/first/no"), "x").is_err());
    fs::write(dir.join("writer/mnt/second/yes"), "x").unwrap();
    node.run(&up).ok();
    let listed = node.run(&["ls", "--output", "json"]).ok();
    assert!(listed.stdout.contains(&iqn), "{}", listed.text());
    node.run(&["down", "-f", pod.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

fn chap_one_way_and_mutual(kind: Kind) {
    for target in [None, Some(("the-array", "secret-of-the-array"))] {
        let node = Node::new();
        let accounts = Accounts {
            user: "the-node",
            password: "secret-of-the-node",
            target,
        };
        let array = Array::with_chap(kind, node.folder(), &accounts);
        let ours = node.file("ours", accounts.password);
        let theirs = node.file("theirs", "secret-of-the-array");
        let dir = node.directory("a");
        let url = array.url_as("the-node", 0);
        let mut words = vec!["mount", "--read-only", &url, dir.to_str().unwrap()];
        words.extend(["--chap-secret-file", ours.to_str().unwrap()]);
        if target.is_some() {
            words.extend([
                "--chap-user-in",
                "the-array",
                "--chap-secret-in-file",
                theirs.to_str().unwrap(),
            ]);
        }
        node.run(&words).ok();
        assert_eq!(
            fs::read_to_string(dir.join("hello.txt")).unwrap(),
            "from the array\n"
        );
        node.run(&["umount", dir.to_str().unwrap()]).ok();
        node.nothing_is_left();
    }
}

fn discovery_lists_the_target(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let found = node.run(&["discover", &array.portal()]).ok();
    assert!(found.stdout.contains(array.iqn()), "{}", found.text());
    node.nothing_is_left();
}

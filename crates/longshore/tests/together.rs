//! Many calls at once: the same call joins, the opposite one waits, and nothing is left half done.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use node::array::{Array, Kind};
use node::machine;
use std::fs;

on_each_array!(the_same_call_eight_times_at_once, opposite_calls_at_once);

fn the_same_call_eight_times_at_once(kind: Kind) {
    // F19, F37: a retry joins the operation under way.
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let (dir, url) = (node.directory("a"), array.url(1));
    let words = ["mount", &url, dir.to_str().unwrap(), "--output", "json"];
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| node.run(&words).ok().json()))
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap()["outcome"].as_str().unwrap().to_owned())
            .collect()
    });
    assert_eq!(
        outcomes.iter().filter(|o| *o == "changed").count(),
        1,
        "{outcomes:?}"
    );
    let layers = machine::mounts_below(&dir).len();
    assert_eq!(layers, 1, "one mount, not one for each call");
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

fn opposite_calls_at_once(kind: Kind) {
    let node = Node::new();
    let array = Array::start(kind, node.folder());
    let (dir, url) = (node.directory("a"), array.url(1));
    let (up, down) = (
        ["mount", &url, dir.to_str().unwrap()],
        ["umount", dir.to_str().unwrap()],
    );
    for _ in 0..6 {
        std::thread::scope(|scope| {
            let a = scope.spawn(|| node.run(&up));
            let b = scope.spawn(|| node.run(&down));
            a.join().unwrap().ok();
            b.join().unwrap().ok();
        });
        // Whichever came last, the volume is either there and works, or gone.
        if machine::mount_at(&dir).is_some() {
            fs::write(dir.join("works"), "x").unwrap();
        }
    }
    node.run(&down).ok();
    node.nothing_is_left();
}

#[test]
fn ten_volumes_at_once() {
    let node = Node::new();
    let disks: Vec<_> = (0..10)
        .map(|at| node::image::ext4_with_file(node.folder(), &format!("{at}.img"), "number", &at.to_string()))
        .collect();
    let disks: Vec<_> = disks.iter().map(std::path::PathBuf::as_path).collect();
    let array = node::served::Served::start("iqn.2003-01.org.example:many", &disks, &[]);
    std::thread::scope(|scope| {
        for at in 0..10u16 {
            let (node, array) = (&node, &array);
            scope.spawn(move || {
                let dir = node.directory(&at.to_string());
                node.run(&["mount", &array.url(at), dir.to_str().unwrap()]).ok();
                assert_eq!(fs::read_to_string(dir.join("number")).unwrap(), at.to_string());
                node.run(&["umount", dir.to_str().unwrap()]).ok();
            });
        }
    });
    node.nothing_is_left();
}

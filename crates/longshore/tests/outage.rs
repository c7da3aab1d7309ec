//! Arrays that die under load and come back, and arrays that never answer.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use node::array::{Array, Kind};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

on_each_array!(
    a_target_that_dies_under_load_and_comes_back,
    tear_down_with_a_dead_target_ends
);

/// Bytes of one block of the load.
const BLOCK: usize = 64 << 10;
const BLOCKS: u64 = 256;

fn a_target_that_dies_under_load_and_comes_back(kind: Kind) {
    let node = Node::new();
    let mut array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    node.run(&["mount", &array.url(1), dir.to_str().unwrap()]).ok();
    let stop = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(&dir.join("load"), &stop, &rounds));
        for _ in 0..3 {
            let before = rounds.load(Ordering::Relaxed);
            let goes_on = || rounds.load(Ordering::Relaxed) > before + 1 || load.is_finished();
            assert!(
                node::wait(Duration::from_secs(60), goes_on),
                "the load does not go on"
            );
            array.kill();
            std::thread::sleep(Duration::from_millis(300));
            array.start_again();
        }
        let before = rounds.load(Ordering::Relaxed);
        let goes_on = || rounds.load(Ordering::Relaxed) > before + 1 || load.is_finished();
        assert!(
            node::wait(Duration::from_secs(60), goes_on),
            "the load does not go on after the last outage"
        );
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    let last = rounds.load(Ordering::Relaxed);
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.run(&["mount", &array.url(1), dir.to_str().unwrap()]).ok();
    compare(&mut File::open(dir.join("load")).unwrap(), last);
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

/// Writes the file round by round with fsync, and reads each round back past the page cache of the writer.
fn load(path: &Path, stop: &AtomicBool, rounds: &AtomicU64) {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        file.seek(SeekFrom::Start(0)).unwrap();
        for block in 0..BLOCKS {
            file.write_all(&block_of(round, block)).unwrap();
        }
        file.sync_all().unwrap();
        compare(&mut file, round);
        rounds.store(round, Ordering::Relaxed);
    }
}

fn compare(file: &mut File, round: u64) {
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut found = vec![0; BLOCK];
    for block in 0..BLOCKS {
        file.read_exact(&mut found).unwrap();
        assert!(
            found == block_of(round, block),
            "block {block} is not the one of round {round}"
        );
    }
}

fn block_of(round: u64, block: u64) -> Vec<u8> {
    let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ block;
    (0..BLOCK / 8)
        .flat_map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()
        })
        .collect()
}

#[test]
fn a_target_that_never_answers_is_given_up_at_the_deadline() {
    let node = Node::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = silent.local_addr().unwrap();
    let url = format!("iscsi://{portal}/iqn.2003-01.org.example:silent/0");
    let dir = node.directory("a");
    let started = Instant::now();
    let words = ["mount", "--timeout", "3s", &url, dir.to_str().unwrap()];
    let done = node.run(&words);
    assert!([5, 6].contains(&done.code.unwrap_or(-1)), "{}", done.text());
    assert!(
        done.stderr.contains(&portal.to_string()),
        "the portal is named: {}",
        done.text()
    );
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "it did not even try: {}",
        done.text()
    );
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    node.nothing_is_left();
}

fn tear_down_with_a_dead_target_ends(kind: Kind) {
    // F11, F34: tear-down never asks the remote side whether it may proceed.
    let node = Node::new();
    let mut array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    node.run(&["mount", "--read-only", &array.url(0), dir.to_str().unwrap()])
        .ok();
    array.kill();
    node.run(&["umount", "--timeout", "60s", dir.to_str().unwrap()])
        .ok();
    node.nothing_is_left();
}

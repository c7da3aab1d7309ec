//! Long repetitions for `make soak`: outages, kills of the data plane, and of everything, under load.
#![allow(clippy::unwrap_used)]

mod node;

use node::Node;
use node::array::{Array, Kind};
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often each thing is done.
const OUTAGES: u32 = 50;
const KILLS: u32 = 200;
const UPS_AND_DOWNS: u32 = 200;

/// Writes, syncs and reads back until told to stop; gives how many rounds were done.
fn load(dir: &Path, stop: &AtomicBool, rounds: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let round = rounds.load(Ordering::Relaxed) + 1;
        let content = round.to_le_bytes().repeat(64 << 10);
        let path = dir.join(format!("file-{}", round % 8));
        fs::write(&path, &content).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        assert!(fs::read(&path).unwrap() == content, "round {round}");
        rounds.store(round, Ordering::Relaxed);
    }
}

/// Runs `disturb` so often under load; prints the longest time until the load went on.
fn under_load(node: &Node, dir: &Path, times: u32, mut disturb: impl FnMut()) {
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load(dir, &stop, &rounds));
        for time in 0..times {
            let before = rounds.load(Ordering::Relaxed);
            disturb();
            let started = Instant::now();
            let goes_on = || rounds.load(Ordering::Relaxed) > before + 1 || load.is_finished();
            assert!(
                node::wait(Duration::from_secs(120), goes_on),
                "disturbance {time}: the load does not go on"
            );
            longest = longest.max(started.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    let done = rounds.load(Ordering::Relaxed);
    println!(
        "{times} disturbances, {done} rounds of 512 KiB with fsync, longest wait {} ms",
        longest.as_millis()
    );
    node.run(&["umount", dir.to_str().unwrap()]).ok();
    node.nothing_is_left();
}

fn outages(kind: Kind) {
    let node = Node::new();
    let mut array = Array::start(kind, node.folder());
    let dir = node.directory("a");
    node.run(&["mount", &array.url(1), dir.to_str().unwrap()]).ok();
    under_load(&node, &dir, OUTAGES, || {
        array.kill();
        std::thread::sleep(Duration::from_millis(100));
        array.start_again();
    });
}

#[test]
#[ignore = "soak: 50 deaths of our target under load"]
fn our_target_dies_again_and_again() {
    outages(Kind::Ours);
}

#[test]
#[ignore = "soak: 50 deaths of tgt under load"]
fn tgt_dies_again_and_again() {
    outages(Kind::Tgt);
}

#[test]
#[ignore = "soak: 200 deaths of the data plane under load"]
fn the_data_plane_dies_again_and_again() {
    let node = Node::new();
    let array = Array::start(Kind::Ours, node.folder());
    let dir = node.directory("a");
    node.run(&["mount", &array.url(1), dir.to_str().unwrap()]).ok();
    under_load(&node, &dir, KILLS, || {
        let there = || node.data_plane().is_some();
        assert!(node::wait(Duration::from_secs(60), there), "no data plane");
        node::machine::kill(node.data_plane().unwrap());
    });
}

#[test]
#[ignore = "soak: 200 times up and down, on both arrays"]
fn up_and_down_again_and_again() {
    for kind in [Kind::Ours, Kind::Tgt] {
        let node = Node::new();
        let array = Array::start(kind, node.folder());
        let dir = node.directory("a");
        for round in 0..UPS_AND_DOWNS {
            node.run(&["mount", &array.url(1), dir.to_str().unwrap()]).ok();
            if round > 0 {
                assert_eq!(
                    fs::read_to_string(dir.join("round")).unwrap(),
                    (round - 1).to_string()
                );
            }
            fs::write(dir.join("round"), round.to_string()).unwrap();
            node.run(&["umount", dir.to_str().unwrap()]).ok();
        }
        node.nothing_is_left();
        println!("{kind:?}: {UPS_AND_DOWNS} times up and down");
    }
}

//! Calls that meet: a retry joins, the opposite call waits, and neighbours on one LUN keep out of each other's way.

use super::*;
use crate::sim::Hold;
use crate::{Outcome, Phase, Step};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

fn named(id: &str) -> VolumeSpec {
    VolumeSpec {
        id: Some(id.parse().unwrap()),
        ..spec(0)
    }
}

/// Waits until the backend's call has stopped in its middle.
fn reached(bench: &Bench, which: fn(&mut World) -> &mut Hold) {
    let patience = Instant::now() + Duration::from_secs(60);
    while bench.world(|world| *which(world)) != Hold::Reached {
        assert!(Instant::now() < patience, "the call did not get there");
        thread::sleep(Duration::from_millis(2));
    }
}

fn release(bench: &Bench, which: fn(&mut World) -> &mut Hold) {
    bench.world(|world| *which(world) = Hold::No);
}

fn attaching(world: &mut World) -> &mut Hold {
    &mut world.hold_attach
}

fn detaching(world: &mut World) -> &mut Hold {
    &mut world.hold_detach
}

/// Runs `second` while `first` stops at `hold`; lets `first` go on when `second` waits for it.
fn meet<A: Send, B: Send>(
    bench: &Bench,
    hold: fn(&mut World) -> &mut Hold,
    first: impl FnOnce(&Engine) -> A + Send,
    second: impl FnOnce(&Engine, &mut Call<'_>) -> B + Send,
) -> (A, B) {
    bench.world(|world| *hold(world) = Hold::Next);
    thread::scope(|scope| {
        let first = scope.spawn(|| first(&bench.engine()));
        reached(bench, hold);
        let (told, waits) = mpsc::channel();
        let second = scope.spawn(move || {
            let mut tell = |progress: crate::Progress| {
                if let (Step::Lock, Phase::Waiting { reason }) = (progress.step, progress.phase) {
                    told.send(reason).unwrap();
                }
            };
            second(&bench.engine(), &mut call().on_progress(&mut tell))
        });
        let reason = waits.recv_timeout(Duration::from_secs(60));
        release(bench, hold);
        let reason = reason.expect("the second call did not wait for the first");
        assert!(
            reason.contains(&format!("pid {}", std::process::id())),
            "{reason}"
        );
        (first.join().unwrap(), second.join().unwrap())
    })
}

/// Part of the proof of F19.
#[test]
fn a_retry_joins_the_call_under_way_f37() {
    let bench = Bench::with_ext4();
    let target = bench.target("a");
    let mount = |engine: &Engine, call: &mut Call<'_>| engine.mount(&spec(0), &target, call).unwrap().0;
    let outcomes = meet(&bench, attaching, |engine| mount(engine, &mut call()), mount);
    assert_eq!(outcomes, (Outcome::Changed, Outcome::AlreadySo));
    assert_eq!(bench.world(|world| (world.attached, world.mounted)), (1, 1));
}

#[test]
fn the_opposite_call_waits_and_then_undoes() {
    let bench = Bench::with_ext4();
    let target = bench.target("a");
    let (mounted, unmounted) = meet(
        &bench,
        attaching,
        |engine| {
            engine
                .mount(&spec(0), &target, &mut call())
                .map(|(outcome, _)| outcome)
        },
        |engine, call| engine.umount(&target, call).map(|(outcome, _)| outcome),
    );
    assert_eq!(
        (mounted.unwrap(), unmounted.unwrap()),
        (Outcome::Changed, Outcome::Changed)
    );
    bench.assert_clean();
}

#[test]
fn a_volume_that_comes_waits_for_its_sibling_that_goes_f5() {
    let bench = Bench::with_ext4();
    let (a, b) = (bench.target("a"), bench.target("b"));
    bench.engine().mount(&named("pod-a"), &a, &mut call()).unwrap();
    let (gone, came) = meet(
        &bench,
        detaching,
        |engine| engine.umount(&a, &mut call()).map(|(outcome, _)| outcome),
        |engine, call| {
            engine
                .mount(&named("pod-b"), &b, call)
                .map(|(outcome, _)| outcome)
        },
    );
    assert_eq!(
        (gone.unwrap(), came.unwrap()),
        (Outcome::Changed, Outcome::Changed)
    );
    assert_eq!(bench.world(|world| (world.attached, world.at(&b).len())), (2, 1));
    bench.assert_no_violation();
}

#[test]
fn two_volumes_cannot_race_for_one_directory() {
    let bench = Bench::with_ext4();
    bench.add(1, fs(FsType::Xfs, UUID));
    let target = bench.target("a");
    let (first, second) = meet(
        &bench,
        attaching,
        |engine| {
            engine
                .mount(&spec(0), &target, &mut call())
                .map(|(outcome, _)| outcome)
        },
        |engine, call| engine.mount(&spec(1), &target, call).map(|(outcome, _)| outcome),
    );
    assert_eq!(first.unwrap(), Outcome::Changed);
    refused(second, ErrorKind::Conflict, "is published there");
    assert_eq!(bench.engine().list(&mut call()).unwrap().len(), 1);
}

#[test]
fn who_cannot_wait_is_told_for_whom_and_nothing_changes_f37() {
    let bench = Bench::with_ext4();
    let target = bench.target("a");
    bench.world(|world| world.hold_attach = Hold::Next);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            bench
                .engine()
                .mount(&spec(0), &target, &mut call())
                .map(|(o, _)| o)
        });
        reached(&bench, attaching);
        let engine = bench.engine();
        let view = &engine.list(&mut call()).unwrap()[0];
        let holder = view.operation.clone().unwrap();
        assert_eq!((holder.pid, holder.step.as_str()), (std::process::id(), "attach"));
        let mut late = Call::until(Instant::now());
        let result = engine.umount(&target, &mut late);
        release(&bench, attaching);
        refused(result, ErrorKind::Busy, "step attach");
        assert_eq!(first.join().unwrap().unwrap(), Outcome::Changed);
    });
}

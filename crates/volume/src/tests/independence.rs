//! What the engine does not do by itself, and what does not depend on one another.

use super::*;
use crate::Outcome;
use crate::sim::Hold;
use std::thread;
use std::time::Instant;

/// F14: after a boot nothing logs in, attaches or mounts before somebody asks for it. F6: a start looks only.
#[test]
fn a_start_attaches_mounts_and_removes_nothing_f6_f14() {
    let bench = Bench::with_ext4();
    let look = |bench: &Bench| {
        let engine = bench.engine();
        engine.list(&mut call()).unwrap();
        engine.show(&spec(0).id(), &mut call()).unwrap();
        engine.reconcile(&mut call()).unwrap();
    };
    bench
        .engine()
        .mount(&spec(0), &bench.target("a"), &mut call())
        .unwrap();
    let before = bench.world(|world| world.clone());
    look(&bench);
    let after = bench.world(|world| world.clone());
    assert_eq!(format!("{before:?}"), format!("{after:?}"));

    bench.world(World::reboot);
    look(&bench);
    let world = bench.world(|world| world.clone());
    assert_eq!((world.attached, world.mounted), (1, 1));
    assert!(world.devices.is_empty() && world.mounts.is_empty());
    // The record is still there, for the call that asks.
    assert_eq!(bench.engine().list(&mut call()).unwrap().len(), 1);
}

/// F16: no lock is held for the whole node: a volume whose array does not answer holds up no other volume.
#[test]
fn a_volume_that_hangs_holds_up_no_other_f16() {
    let bench = Bench::with_ext4();
    bench.add(1, fs(FsType::Xfs, UUID));
    let (a, b) = (bench.target("a"), bench.target("b"));
    bench.world(|world| world.hold_attach = Hold::Next);
    thread::scope(|scope| {
        let hangs = scope.spawn(|| {
            bench
                .engine()
                .mount(&spec(0), &a, &mut call())
                .map(|(outcome, _)| outcome)
        });
        let patience = Instant::now() + Duration::from_secs(60);
        while bench.world(|world| world.hold_attach) != Hold::Reached {
            assert!(Instant::now() < patience, "the call did not get there");
            thread::sleep(Duration::from_millis(2));
        }
        let engine = bench.engine();
        let came = engine
            .mount(&spec(1), &b, &mut call())
            .map(|(outcome, _)| outcome);
        let listed = engine.list(&mut call()).map(|views| views.len());
        let went = engine.umount(&b, &mut call()).map(|(outcome, _)| outcome);
        let still = bench.world(|world| std::mem::take(&mut world.hold_attach));
        assert_eq!(still, Hold::Reached, "the first call did not hang all along");
        assert_eq!(
            (came.unwrap(), listed.unwrap(), went.unwrap()),
            (Outcome::Changed, 2, Outcome::Changed)
        );
        assert_eq!(hangs.join().unwrap().unwrap(), Outcome::Changed);
    });
}

/// F12: what was attached for a call that then fails, or whose volume goes, does not stay attached.
#[test]
fn no_device_stays_without_a_user_f12() {
    let bench = Bench::new();
    bench.add(0, Disk::Other("a LUKS2 header".into()));
    let engine = bench.engine();
    for _ in 0..5 {
        engine
            .mount(&spec(0), &bench.target("a"), &mut call())
            .unwrap_err();
        assert_eq!(bench.world(|world| world.devices.len()), 0);
    }
    assert_eq!(bench.world(|world| world.attached), 5);
    bench.assert_clean();
}

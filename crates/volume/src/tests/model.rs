//! Random sequences of operations with crashes, reboots and lost devices, against a small model.

use super::crashes::crash_at;
use super::*;
use crate::{Access, FormatPolicy};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;

/// What is done, to which of four volumes (0 and 1 share a LUN) and which of three directories.
#[derive(Debug, Clone, Copy)]
enum Op {
    Mount {
        volume: usize,
        target: usize,
        read_only: bool,
    },
    Umount {
        target: usize,
    },
    Stage {
        volume: usize,
    },
    Unstage {
        volume: usize,
    },
    Publish {
        volume: usize,
        target: usize,
        read_only: bool,
    },
    Unpublish {
        volume: usize,
        target: usize,
    },
    Attach {
        volume: usize,
    },
    Detach {
        volume: usize,
    },
    Grow {
        volume: usize,
    },
    Reboot,
    LoseDevice {
        volume: usize,
    },
    FailNextUnmount,
}

fn op() -> impl Strategy<Value = Op> {
    let (v, t, b) = (0..4usize, 0..3usize, any::<bool>());
    prop_oneof![
        6 => (v.clone(), t.clone(), b).prop_map(|(volume, target, read_only)| Op::Mount { volume, target, read_only }),
        5 => t.clone().prop_map(|target| Op::Umount { target }),
        2 => v.clone().prop_map(|volume| Op::Stage { volume }),
        2 => v.clone().prop_map(|volume| Op::Unstage { volume }),
        2 => (v.clone(), t.clone(), b)
            .prop_map(|(volume, target, read_only)| Op::Publish { volume, target, read_only }),
        2 => (v.clone(), t).prop_map(|(volume, target)| Op::Unpublish { volume, target }),
        1 => v.clone().prop_map(|volume| Op::Attach { volume }),
        1 => v.clone().prop_map(|volume| Op::Detach { volume }),
        1 => v.clone().prop_map(|volume| Op::Grow { volume }),
        1 => Just(Op::Reboot),
        1 => v.prop_map(|volume| Op::LoseDevice { volume }),
        1 => Just(Op::FailNextUnmount),
    ]
}

fn volume(number: usize, read_only: bool) -> VolumeSpec {
    let (id, lun, format) = match number {
        0 => (Some("pod-a"), 0, FormatPolicy::Never),
        1 => (Some("pod-b"), 0, FormatPolicy::IfBlank),
        2 => (None, 1, FormatPolicy::IfBlank),
        _ => (None, 2, FormatPolicy::IfBlank),
    };
    VolumeSpec {
        id: id.map(|id| id.parse().unwrap()),
        access: Access::from_read_only(read_only),
        format,
        ..spec(lun)
    }
}

/// LUN 0: an ext4. LUN 1: blank. LUN 2: something that must never be formatted.
fn machine() -> Bench {
    let bench = Bench::with_ext4();
    bench.add(1, Disk::Blank);
    bench.add(2, Disk::Other("a partition table".into()));
    bench
}

/// What is certainly so: which volume is in which directory, and whether it refuses writes.
#[derive(Default)]
struct Model {
    published: BTreeMap<usize, (usize, bool)>,
}

impl Model {
    /// Runs one operation; a crash makes what it touched uncertain.
    fn step(&mut self, bench: &Bench, op: Op, crash: Option<u32>) {
        let mut succeeded = false;
        let mut run = || succeeded = execute(bench, op);
        let crashed = match crash {
            Some(n) => crash_at(n, run).is_some(),
            None => {
                run();
                false
            }
        };
        match op {
            Op::Mount {
                volume,
                target,
                read_only,
            }
            | Op::Publish {
                volume,
                target,
                read_only,
            } if succeeded => {
                if let Some((owner, _)) = self.published.get(&target) {
                    assert_eq!(*owner, volume, "two volumes at one directory");
                }
                self.published.insert(target, (volume, read_only));
            }
            Op::Umount { target } | Op::Unpublish { target, .. } if succeeded || crashed => {
                let by_owner = match op {
                    Op::Unpublish { volume, .. } => {
                        self.published.get(&target).is_some_and(|p| p.0 == volume)
                    }
                    _ => true,
                };
                if by_owner {
                    self.published.remove(&target);
                }
            }
            Op::Reboot => self.published.clear(),
            Op::LoseDevice { volume: lost } => {
                let lun = volume(lost, false).lun_key();
                self.published
                    .retain(|_, (owner, _)| volume(*owner, false).lun_key() != lun);
            }
            _ => {}
        }
        self.check(bench);
    }

    fn check(&self, bench: &Bench) {
        bench.assert_no_violation();
        let world = bench.world(|world| world.clone());
        for (target, (owner, read_only)) in &self.published {
            let place = bench.target(&target.to_string());
            let there = world.at(&place);
            assert_eq!(
                there.len(),
                1,
                "{} is to be at {}",
                volume(*owner, false).id(),
                place.display()
            );
            assert_eq!(there[0].read_only, *read_only);
            let device = world
                .devices
                .iter()
                .find(|d| d.minor == there[0].minor)
                .expect("its device is there");
            assert_eq!(
                device.lun,
                volume(*owner, false).lun_key(),
                "the wrong LUN is in a directory"
            );
        }
        let names = entries(&bench.dir.path().join("state/volumes"));
        for device in &world.devices {
            let known = names
                .iter()
                .any(|name| name.starts_with(&format!("{}@", device.lun)));
            assert!(known, "device of {} without a record", device.lun);
        }
        let formatted = world.luns[&volume(3, false).lun_key().to_string()].disk.clone();
        assert_eq!(formatted, Disk::Other("a partition table".into()));
        assert!(world.formatted <= 1);
    }
}

/// Gives whether it succeeded. An error is fine here: the model knows what must hold after a success.
fn execute(bench: &Bench, op: Op) -> bool {
    let engine = bench.engine();
    let at = |target: usize| bench.target(&target.to_string());
    let id = |number: usize| volume(number, false).id();
    let call = &mut call();
    match op {
        Op::Mount {
            volume: v,
            target,
            read_only,
        } => engine.mount(&volume(v, read_only), &at(target), call).is_ok(),
        Op::Umount { target } => engine.umount(&at(target), call).is_ok(),
        Op::Stage { volume: v } => engine.stage(&volume(v, false), call).is_ok(),
        Op::Unstage { volume } => engine.unstage(&id(volume), call).is_ok(),
        Op::Publish {
            volume,
            target,
            read_only,
        } => engine
            .publish(&id(volume), &at(target), Access::from_read_only(read_only), call)
            .is_ok(),
        Op::Unpublish { volume, target } => engine.unpublish(&id(volume), &at(target), call).is_ok(),
        Op::Attach { volume: v } => engine.attach(&volume(v, false), call).is_ok(),
        Op::Detach { volume } => engine.detach(&id(volume), call).is_ok(),
        Op::Grow { volume } => engine.grow(&id(volume), call).is_ok(),
        Op::Reboot => {
            bench.world(World::reboot);
            true
        }
        Op::LoseDevice { volume: v } => {
            bench.world(|world| world.lose_device(&volume(v, false).lun_key()));
            true
        }
        Op::FailNextUnmount => {
            bench.world(|world| world.fail_unmounts = 1);
            true
        }
    }
}

/// Whatever happened, everything can be taken down.
fn take_down(bench: &Bench) {
    bench.world(|world| world.fail_unmounts = 0);
    let engine = bench.engine();
    for target in 0..3 {
        match engine.umount(&bench.target(&target.to_string()), &mut call()) {
            Ok(_) | Err(VolumeError::NotPublished { .. }) => {}
            Err(error) => panic!("umount {target}: {error}"),
        }
    }
    for number in 0..4 {
        let id = volume(number, false).id();
        for target in 0..3 {
            let target = bench.target(&target.to_string());
            engine
                .unpublish(&id, &target, &mut call())
                .unwrap_or_else(|e| panic!("unpublish {id}: {e}"));
        }
        engine
            .unstage(&id, &mut call())
            .unwrap_or_else(|e| panic!("unstage {id}: {e}"));
        engine
            .detach(&id, &mut call())
            .unwrap_or_else(|e| panic!("detach {id}: {e}"));
    }
    bench.assert_clean();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, rng_seed: RngSeed::Fixed(2026), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_data_is_safe_and_everything_comes_down(
        steps in proptest::collection::vec((op(), proptest::option::weighted(0.35, 0..24u32)), 1..25),
    ) {
        let bench = machine();
        let mut model = Model::default();
        for (op, crash) in steps {
            model.step(&bench, op, crash);
        }
        take_down(&bench);
    }
}

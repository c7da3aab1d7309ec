//! Several processes work on the same volumes at once, and some of them are killed.

use super::*;
use std::process::{Child, Command, Stdio};

const DIR: &str = "LONGSHORE_TEST_BENCH";
const SEED: &str = "LONGSHORE_TEST_SEED";
const ROUNDS: u64 = 12;

/// What a child does: mounts and unmounts a few volumes in a few directories. Nothing when it is run as a test.
#[test]
fn child() {
    let (Ok(dir), Ok(seed)) = (std::env::var(DIR), std::env::var(SEED)) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let sim = Sim::open(&dir.join("machine")).unwrap();
    let engine = sim.engine(&dir).unwrap();
    let mut random: u64 = seed.parse().unwrap();
    for _ in 0..ROUNDS {
        // Knuth's MMIX generator; the upper bits are good enough.
        random = random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let (pod, target) = ((random >> 33) % 3, (random >> 40) % 3);
        let lun = u16::from(pod == 2);
        let volume = VolumeSpec {
            id: Some(format!("pod-{pod}").parse().unwrap()),
            ..spec(lun)
        };
        let target = dir.join("pods").join(format!("{pod}-{target}"));
        let result = match random >> 63 {
            0 => engine.mount(&volume, &target, &mut call()).map(|_| ()),
            _ => engine.umount(&target, &mut call()).map(|_| ()),
        };
        match result {
            Ok(()) | Err(VolumeError::NotPublished { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn spawn(bench: &Bench, seed: u64, failpoint: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "tests::processes::child"])
        .env(DIR, bench.dir.path())
        .env(SEED, seed.to_string());
    command.env("LONGSHORE_FAILPOINT", failpoint.unwrap_or_default());
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn prepared() -> Bench {
    let bench = Bench::with_ext4();
    bench.add(1, fs(FsType::Xfs, "aaaaaaaa-89ab-4def-8123-456789abcdef"));
    for pod in 0..3 {
        for target in 0..3 {
            bench.target(&format!("{pod}-{target}"));
        }
    }
    bench
}

fn take_all_down(bench: &Bench) {
    bench.assert_no_violation();
    let engine = bench.engine();
    for pod in 0..3 {
        for target in 0..3 {
            match engine.umount(&bench.target(&format!("{pod}-{target}")), &mut call()) {
                Ok(_) | Err(VolumeError::NotPublished { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // A process that died before it published left a record without a directory.
        engine
            .unstage(&format!("pod-{pod}").parse().unwrap(), &mut call())
            .unwrap();
    }
    bench.assert_clean();
}

#[test]
fn four_processes_at_once_agree() {
    let bench = prepared();
    let children: Vec<Child> = (1..=4).map(|seed| spawn(&bench, seed, None)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    take_all_down(&bench);
}

/// Part of the proof of F37.
#[test]
fn killed_processes_leave_nothing_that_others_cannot_finish() {
    let bench = prepared();
    let points = [
        "attach:recorded:1",
        "mount:done:1",
        "publish:recorded:2",
        "unmount:done:1",
        "journal:renamed:9",
    ];
    for (seed, point) in points.iter().enumerate() {
        let doomed = spawn(&bench, seed as u64 + 10, Some(point));
        let healthy = spawn(&bench, seed as u64 + 20, None);
        doomed.wait_with_output().unwrap();
        let output = healthy.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{point}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    take_all_down(&bench);
}

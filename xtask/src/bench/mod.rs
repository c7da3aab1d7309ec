//! `cargo xtask bench`: Longshore beside its peers in one run, as ratios. The method stands in docs/benchmarks.md.

mod arrays;
mod devices;
mod fio;
mod initiators;
mod memory;
mod mounting;
mod peer_root;
mod process;
mod table;

use std::path::{Path, PathBuf};
use table::Table;

/// What every benchmark needs to know.
pub(crate) struct Bench {
    /// The release binary of Longshore.
    longshore: PathBuf,
    /// The release build of the initiator's `perf` example.
    perf: PathBuf,
    /// A folder of this run, with the images in memory (tmpfs); removed at the end.
    folder: PathBuf,
    /// How often each pair is measured; the median of the ratios is printed.
    rounds: usize,
    /// How long one measurement takes, in seconds.
    seconds: u64,
}

/// Size of each LUN's image; it lies in memory, so that the disk is not what is measured.
const IMAGE_LEN: u64 = 1 << 30;

const USAGE: &str = "usage: cargo xtask bench --binary FILE [--rounds N] [--seconds N] [target|initiator|device|memory|mount …]";

/// Runs the benchmarks that are named, or all.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut binary = None;
    let (mut rounds, mut seconds) = (3, 3);
    let mut parts = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(USAGE);
        match *word {
            "--binary" => binary = Some(PathBuf::from(value()?)),
            "--rounds" => rounds = value()?.parse().map_err(|_| USAGE)?,
            "--seconds" => seconds = value()?.parse().map_err(|_| USAGE)?,
            part if ["target", "initiator", "device", "memory", "mount"].contains(&part) => parts.push(part),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let longshore = binary
        .ok_or(USAGE)?
        .canonicalize()
        .map_err(|e| format!("the binary cannot be found: {e}"))?;
    let perf = initiators::build_example(root)?;
    let folder = PathBuf::from(format!("/dev/shm/longshore-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let bench = Bench {
        longshore,
        perf,
        folder,
        rounds,
        seconds,
    };
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let done = run_parts(&bench, wanted);
    std::fs::remove_dir_all(&bench.folder)
        .map_err(|e| format!("cannot remove {}: {e}", bench.folder.display()))?;
    done
}

fn run_parts(bench: &Bench, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    println!(
        "{} rounds of {} s each; a ratio above 1.00 means that Longshore does more",
        bench.rounds, bench.seconds
    );
    if wanted("target") {
        initiators::targets_side_by_side(bench)?.print();
    }
    if wanted("initiator") {
        initiators::initiators_side_by_side(bench)?.print();
    }
    if wanted("device") {
        devices::side_by_side(bench)?.print();
    }
    if wanted("memory") {
        memory::of_the_data_plane(bench)?.print();
    }
    if wanted("mount") {
        mounting::cold(bench)?.print();
    }
    Ok(())
}

//! Targets under one client, and clients on one target.

use super::arrays::{self, Array};
use super::process::output;
use super::table::{median, ratios};
use super::{Bench, Table};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One way of reading: name, block size in bytes, commands in flight, random or in order.
struct Load {
    name: &'static str,
    block_len: u64,
    depth: u32,
    random: bool,
}

const LOADS: [Load; 3] = [
    Load {
        name: "4 KiB random read, depth 1",
        block_len: 4096,
        depth: 1,
        random: true,
    },
    Load {
        name: "4 KiB random read, depth 32",
        block_len: 4096,
        depth: 32,
        random: true,
    },
    Load {
        name: "1 MiB sequential read, depth 8",
        block_len: 1 << 20,
        depth: 8,
        random: false,
    },
];

/// Builds the initiator's `perf` example as a release.
pub(super) fn build_example(root: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words = [
        "build",
        "--quiet",
        "--release",
        "-p",
        "longshore-initiator",
        "--example",
        "perf",
    ];
    let built = Command::new(&cargo)
        .args(words)
        .arg("--message-format=json")
        .current_dir(root)
        .output();
    let built = built.map_err(|e| format!("cannot run cargo build: {e}"))?;
    if !built.status.success() {
        return Err("the initiator's example perf does not build".to_owned());
    }
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "perf")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo named no executable for the example perf".to_owned())
}

/// Our target against tgt, both driven by libiscsi's iscsi-perf.
pub(super) fn targets_side_by_side(bench: &Bench) -> Result<Table, String> {
    let ours = arrays::longshore(bench, "target", 1, true)?;
    let tgt = arrays::tgt(bench, "tgt")?;
    let mut table = Table::new(
        "The target: iscsi-perf against `longshore target` and against tgt (commands per second)",
        &["load", "longshore", "tgt", "ratio"],
    );
    for load in &LOADS {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            a.push(iscsi_perf(bench, &ours, load)?);
            b.push(iscsi_perf(bench, &tgt, load)?);
        }
        table.row(&[
            load.name.to_owned(),
            format!("{:.0}", median(&a)),
            format!("{:.0}", median(&b)),
            ratios(&a, &b),
        ]);
    }
    Ok(table)
}

/// Our initiator against libiscsi, both on tgt and both on our target.
pub(super) fn initiators_side_by_side(bench: &Bench) -> Result<Table, String> {
    let mut table = Table::new(
        "The initiator: Longshore's and libiscsi's on the same target (commands per second)",
        &["load", "longshore", "libiscsi", "ratio"],
    );
    let arrays = [
        ("longshore target", arrays::longshore(bench, "both", 1, true)?),
        ("tgt", arrays::tgt(bench, "both-tgt")?),
    ];
    for (name, array) in &arrays {
        let mut figures: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); LOADS.len()];
        for _ in 0..bench.rounds {
            let ours = our_perf(bench, array)?;
            for ((load, mine), (a, b)) in LOADS.iter().zip(ours).zip(&mut figures) {
                a.push(mine);
                b.push(iscsi_perf(bench, array, load)?);
            }
        }
        for (load, (a, b)) in LOADS.iter().zip(&figures) {
            let title = format!("{name}: {}", load.name);
            table.row(&[
                title,
                format!("{:.0}", median(a)),
                format!("{:.0}", median(b)),
                ratios(a, b),
            ]);
        }
    }
    Ok(table)
}

/// Commands per second by libiscsi's iscsi-perf.
fn iscsi_perf(bench: &Bench, array: &Array, load: &Load) -> Result<f64, String> {
    let mut command = Command::new("iscsi-perf");
    let blocks = (load.block_len / 512).to_string();
    command.args([
        "-m",
        &load.depth.to_string(),
        "-b",
        &blocks,
        "-t",
        &bench.seconds.to_string(),
    ]);
    if load.random {
        command.arg("-r");
    }
    command.arg(array.url(0));
    let text = output(&mut command, Duration::from_secs(bench.seconds + 20))?;
    // "iops average 10552 (41 MB/s)" on its own, after many progress lines that end in a carriage return.
    text.split(['\r', '\n'])
        .filter_map(|line| line.trim().strip_prefix("iops average "))
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .next_back()
        .ok_or_else(|| format!("iscsi-perf printed no average: {}", text.trim()))
}

/// Commands per second by our initiator's example, which measures each of the loads in one go.
fn our_perf(bench: &Bench, array: &Array) -> Result<[f64; 3], String> {
    let mut command = Command::new(&bench.perf);
    command.args([
        &array.portal,
        &array.iqn,
        &array.first_lun.to_string(),
        &bench.seconds.to_string(),
    ]);
    let text = output(&mut command, Duration::from_secs(3 * bench.seconds + 30))?;
    let json: serde_json::Value = serde_json::from_str(text.trim())
        .map_err(|e| format!("the example perf printed no JSON: {e}: {}", text.trim()))?;
    let figure = |name: &str| {
        json[name]
            .as_f64()
            .ok_or_else(|| format!("the example perf printed no {name}"))
    };
    let mib_per_s = figure("sequential_read_1m_depth_8_mb_per_s")? * 1e6 / f64::from(1 << 20);
    Ok([
        figure("random_read_4k_depth_1_per_s")?,
        figure("random_read_4k_depth_32_per_s")?,
        mib_per_s,
    ])
}

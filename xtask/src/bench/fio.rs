//! fio on a block device: one load, one figure.

use super::process::output;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One load of fio.
pub(super) struct Load {
    pub(super) name: &'static str,
    pattern: &'static str,
    block: &'static str,
    depth: &'static str,
}

/// The loads that block devices are compared by.
pub(super) const LOADS: [Load; 6] = [
    Load {
        name: "4 KiB random read, depth 1",
        pattern: "randread",
        block: "4k",
        depth: "1",
    },
    Load {
        name: "4 KiB random read, depth 32",
        pattern: "randread",
        block: "4k",
        depth: "32",
    },
    Load {
        name: "4 KiB random write, depth 1",
        pattern: "randwrite",
        block: "4k",
        depth: "1",
    },
    Load {
        name: "4 KiB random write, depth 32",
        pattern: "randwrite",
        block: "4k",
        depth: "32",
    },
    Load {
        name: "1 MiB sequential read, depth 8",
        pattern: "read",
        block: "1M",
        depth: "8",
    },
    Load {
        name: "1 MiB sequential write, depth 8",
        pattern: "write",
        block: "1M",
        depth: "8",
    },
];

/// Operations per second of `load` on `device`, past the page cache.
pub(super) fn measure(device: &Path, load: &Load, seconds: u64) -> Result<f64, String> {
    let mut command = Command::new("fio");
    command.args([
        "--name=bench",
        "--ioengine=io_uring",
        "--direct=1",
        "--time_based",
        "--group_reporting",
        "--output-format=json",
    ]);
    command
        .arg(format!("--filename={}", device.display()))
        .arg(format!("--runtime={seconds}"));
    command
        .arg(format!("--rw={}", load.pattern))
        .arg(format!("--bs={}", load.block))
        .arg(format!("--iodepth={}", load.depth));
    let text = output(&mut command, Duration::from_secs(seconds + 60))?;
    let start = text
        .find('{')
        .ok_or_else(|| format!("fio printed no JSON: {}", text.trim()))?;
    let json: serde_json::Value =
        serde_json::from_str(&text[start..]).map_err(|e| format!("fio's JSON cannot be read: {e}"))?;
    let job = &json["jobs"][0];
    if job["error"].as_i64() != Some(0) {
        return Err(format!(
            "fio met an error on {}: {}",
            device.display(),
            job["error"]
        ));
    }
    let side = if load.pattern.contains("read") {
        "read"
    } else {
        "write"
    };
    job[side]["iops"]
        .as_f64()
        .ok_or_else(|| "fio's JSON has no iops".to_owned())
}

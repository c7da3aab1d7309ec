//! `longshore mount` of a formatted LUN, cold: from the command to the mounted file system, with its steps.

use super::devices::longshore;
use super::process::output;
use super::table::median;
use super::{Bench, Table, arrays};
use std::process::Command;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(60);
const TIMES: usize = 9;

/// Mounts and unmounts several times; every mount starts a data plane and a session of its own.
pub(super) fn cold(bench: &Bench) -> Result<Table, String> {
    let array = arrays::longshore(bench, "mount", 1, false)?;
    let image = bench.folder.join("mount-0.img");
    output(Command::new("mkfs.ext4").arg("-q").arg(&image), SHORT)?;
    let directory = bench.folder.join("mounted");
    std::fs::create_dir(&directory).map_err(|e| format!("cannot make {}: {e}", directory.display()))?;
    let url = array.url(0);
    let mut totals = Vec::new();
    let mut steps: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        let text = output(
            longshore(bench)
                .args(["--output", "json", "mount", &url])
                .arg(&directory),
            SHORT,
        )?;
        totals.push(started.elapsed().as_secs_f64() * 1000.0);
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| format!("mount printed no JSON: {e}"))?;
        for step in json["steps"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let name = step["name"].as_str().unwrap_or_default();
            let took = step["micros"].as_f64().unwrap_or(f64::NAN) / 1000.0;
            match steps.iter_mut().find(|(known, _)| known == name) {
                Some((_, times)) => times.push(took),
                None => steps.push((name.to_owned(), vec![took])),
            }
        }
        output(longshore(bench).arg("umount").arg(&directory), SHORT)?;
        super::process::wait_for("the data plane to end", || {
            super::memory::data_plane(bench).is_err()
        })?;
    }
    let mut table = Table::new(
        &format!("`longshore mount` of an ext4 on loopback, cold, median of {TIMES} (milliseconds)"),
        &["step", "ms"],
    );
    for (name, times) in &steps {
        table.row(&[name.clone(), format!("{:.1}", median(times))]);
    }
    table.row(&[
        "from the command to its end".to_owned(),
        format!("{:.1}", median(&totals)),
    ]);
    Ok(table)
}

//! Resident memory of the data plane: with one volume at rest, and for each further one.

use super::devices::{Attached, longshore};
use super::process::{output, resident_kib};
use super::{Bench, Table, arrays};
use std::time::Duration;

/// How many volumes the growth is measured over.
const VOLUMES: u16 = 16;

/// The figures beside their goals.
pub(super) fn of_the_data_plane(bench: &Bench) -> Result<Table, String> {
    let array = arrays::longshore(bench, "memory", VOLUMES, false)?;
    let mut attached = vec![Attached::new(bench, &array, 0)?];
    let pid = data_plane(bench)?;
    settle();
    let first = resident_kib(pid)?;
    for lun in 1..VOLUMES {
        attached.push(Attached::new(bench, &array, lun)?);
    }
    settle();
    let all = resident_kib(pid)?;
    let each = all.saturating_sub(first) as f64 / f64::from(VOLUMES - 1);
    let hold = resident_kib(hold(pid)?)?;
    for device in attached {
        device.detach(bench)?;
    }
    let mut table = Table::new("Memory of the data plane, resident", &["", "KiB", "goal"]);
    table.row(&[
        "with one volume at rest".to_owned(),
        first.to_string(),
        "12288".to_owned(),
    ]);
    table.row(&[
        "for each further volume at rest".to_owned(),
        format!("{each:.0}"),
        "1024".to_owned(),
    ]);
    table.row(&["hold".to_owned(), hold.to_string(), String::new()]);
    Ok(table)
}

/// A volume is at rest when its requests are answered and nothing is retained any more.
fn settle() {
    std::thread::sleep(Duration::from_secs(4));
}

/// The process id of the data plane that serves this run's folders.
pub(super) fn data_plane(bench: &Bench) -> Result<u32, String> {
    let text = output(
        longshore(bench).args(["--output", "json", "doctor"]),
        Duration::from_secs(20),
    )
    .or_else(|e| {
        // doctor's exit status tells about the host; only its report matters here.
        if e.contains('{') { Ok(e) } else { Err(e) }
    })?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| format!("doctor printed no JSON: {e}"))?;
    let pid = json["dataPlane"]["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok());
    pid.ok_or_else(|| "doctor names no running data plane".to_owned())
}

/// The process id of `hold`: the data plane's parent.
fn hold(pid: u32) -> Result<u32, String> {
    let file = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent
        .and_then(|p| p.trim().parse().ok())
        .ok_or_else(|| format!("{file} names no parent"))
}

//! Resident memory of the data plane: with one volume at rest, and for each further one.

use super::devices::Attached;
use super::process::resident_kib;
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
    let hold = resident_kib(process(bench, " hold ")?)?;
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
    process(bench, " dataplane ")
}

/// The process that has this run's folder and `word` in its command line.
fn process(bench: &Bench, word: &str) -> Result<u32, String> {
    let folder = bench.folder.join("run").display().to_string();
    let entries = std::fs::read_dir("/proc").map_err(|e| format!("cannot read /proc: {e}"))?;
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&folder) && line.contains(word)
        })
        .ok_or_else(|| format!("no process with{word}and {folder} runs"))
}

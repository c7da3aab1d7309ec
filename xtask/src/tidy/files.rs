//! Checks of whole files: each names its one job, none is too long, none holds what the project must not say.

use super::{Problem, read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// No source file may be longer, in lines.
const LONGEST_FILE: usize = 700;
/// The median length of a crate's source files may not be greater, in lines.
const LARGEST_MEDIAN: usize = 300;

/// Files beside the PDUs that serve all of them.
const NOT_A_PDU: [&str; 5] = ["mod", "tests", "codes", "error", "wire"];

/// Marks of work left undone. Spelled in halves, so that this file does not hold them.
const UNDONE: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

pub(super) fn check(root: &Path, files: &[PathBuf], problems: &mut Vec<Problem>) -> Result<(), String> {
    let mut lengths: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for file in files {
        let is_rust = file.extension().is_some_and(|e| e == "rs");
        let is_text = is_rust
            || file
                .extension()
                .is_some_and(|e| ["md", "toml", "yaml", "yml", "sh", "txt"].iter().any(|t| e == *t))
            || file.file_name().is_some_and(|n| n == "Makefile");
        if !is_text {
            continue;
        }
        let text = read(root, file)?;
        for (at, line) in text.lines().enumerate() {
            if UNDONE.iter().any(|mark| line.contains(mark)) {
                problems.push(Problem::new(
                    file,
                    at + 1,
                    "marks work left undone; do it, or file an issue",
                ));
            }
        }
        if is_rust {
            check_source(file, &text, problems);
            if let Some(unit) = source_folder(file) {
                lengths.entry(unit).or_default().push(text.lines().count());
            }
        }
    }
    for (folder, mut counts) in lengths {
        counts.sort_unstable();
        let median = counts[counts.len() / 2];
        if median > LARGEST_MEDIAN {
            let text = format!("the median file has {median} lines, more than {LARGEST_MEDIAN}");
            problems.push(Problem::new(&folder, 0, text));
        }
    }
    Ok(())
}

fn check_source(file: &Path, text: &str, problems: &mut Vec<Problem>) {
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") {
        problems.push(Problem::new(
            file,
            1,
            "the first line does not name the file's job (`//! …`)",
        ));
    }
    let is_pdu = file.starts_with("crates/iscsi/src/pdu")
        && file
            .file_stem()
            .is_some_and(|name| !NOT_A_PDU.iter().any(|other| name == *other));
    if is_pdu && !first.contains("RFC 7143") {
        problems.push(Problem::new(
            file,
            1,
            "a PDU's file names its section of RFC 7143 in its first line",
        ));
    }
    let count = text.lines().count();
    if count > LONGEST_FILE {
        problems.push(Problem::new(
            file,
            0,
            format!("{count} lines, more than {LONGEST_FILE}: give it one job"),
        ));
    }
}

/// The `src` folder that a source file belongs to; tests and fuzz targets are not counted.
fn source_folder(file: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = file.iter().collect();
    match parts.as_slice() {
        [crates, name, src, ..] if *crates == "crates" && *src == "src" => {
            Some(Path::new(crates).join(name).join(src))
        }
        _ => None,
    }
}

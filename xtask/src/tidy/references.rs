//! Checks that every test and file that the documentation names in backticks is there.

use super::{Problem, read};
use std::path::{Path, PathBuf};

/// Folders whose paths count as references when they stand in backticks.
const FOLDERS: [&str; 5] = ["crates/", "xtask/", "docs/", "examples/", "fuzz/"];

pub(super) fn check(root: &Path, files: &[PathBuf], problems: &mut Vec<Problem>) -> Result<(), String> {
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "md") && !f.starts_with("docs/plans"))
    {
        for (at, line) in read(root, file)?.lines().enumerate() {
            for quoted in line.split('`').skip(1).step_by(2) {
                if let Err(text) = check_one(root, quoted) {
                    problems.push(Problem::new(file, at + 1, text));
                }
            }
        }
    }
    Ok(())
}

/// A text in backticks is a reference if it is one word that begins with a folder of ours: `FILE` or `FILE::FUNCTION`.
fn check_one(root: &Path, quoted: &str) -> Result<(), String> {
    let is_path = FOLDERS.iter().any(|folder| quoted.starts_with(folder));
    if !is_path || quoted.contains([' ', '*', '<', '…']) {
        return Ok(());
    }
    let (path, function) = match quoted.split_once("::") {
        Some((path, function)) => (path, function.rsplit("::").next()),
        None => (quoted, None),
    };
    let full = root.join(path);
    // A name without an ending may stand for a module: a file or a folder.
    if !full.exists() && !full.with_extension("rs").exists() {
        return Err(format!("names `{path}`, which is not there"));
    }
    let Some(function) = function else { return Ok(()) };
    let text =
        std::fs::read_to_string(&full).map_err(|e| format!("names `{path}`, which cannot be read: {e}"))?;
    let is_there = text.match_indices(function).any(|(at, _)| {
        text[..at].ends_with("fn ")
            && !text[at + function.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    if is_there {
        Ok(())
    } else {
        Err(format!("names `{function}`, which is not a function of `{path}`"))
    }
}

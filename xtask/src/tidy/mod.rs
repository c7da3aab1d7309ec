//! `cargo xtask tidy`: what can be checked of the layout and of the absence-invariants, without building.

mod dependencies;
mod files;
mod references;
mod syntax;

use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that is not as ARCHITECTURE.md and CONTRIBUTING.md say.
pub(crate) struct Problem {
    file: PathBuf,
    /// Counted from 1; 0 where the whole file is meant.
    line: usize,
    text: String,
}

impl Problem {
    fn new(file: &Path, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            text: text.into(),
        }
    }
}

/// Runs every check and lists all problems, so that one run shows everything that is to be mended.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let files = tracked_files(root)?;
    let mut problems = Vec::new();
    files::check(root, &files, &mut problems)?;
    syntax::check(root, &files, &mut problems)?;
    references::check(root, &files, &mut problems)?;
    dependencies::check(root, &mut problems)?;
    if problems.is_empty() {
        println!("tidy: {} files, no problem", files.len());
        return Ok(());
    }
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let lines: Vec<String> = problems
        .iter()
        .map(|p| format!("{}:{}: {}", p.file.display(), p.line, p.text))
        .collect();
    Err(format!("{}\ntidy: {} problems", lines.join("\n"), problems.len()))
}

/// Every file of the project: what git tracks, and what it would track.
fn tracked_files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("tidy: cannot run git ls-files in {}: {e}", root.display()))?;
    if !listing.status.success() {
        return Err(format!(
            "tidy: git ls-files failed: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        ));
    }
    let text = String::from_utf8_lossy(&listing.stdout);
    Ok(text
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|f| root.join(f).is_file())
        .collect())
}

/// The text of a file of the project.
fn read(root: &Path, file: &Path) -> Result<String, String> {
    std::fs::read_to_string(root.join(file)).map_err(|e| format!("tidy: cannot read {}: {e}", file.display()))
}

//! Images of disks, made by others' tools, as an array has them before Longshore sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Large enough for every file system, mkfs.xfs included.
pub const LEN: u64 = 320 << 20;

/// A sparse image of zeros.
pub fn blank(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().set_len(LEN).unwrap();
    path
}

/// An image with a file system of the given type, made by its own mkfs.
pub fn formatted(folder: &Path, name: &str, fs_type: &str) -> PathBuf {
    let path = blank(folder, name);
    run(Command::new(format!("mkfs.{fs_type}"))
        .arg(if fs_type == "ext4" { "-q" } else { "-f" })
        .arg(&path));
    path
}

/// An ext4 image that holds one file.
pub fn ext4_with_file(folder: &Path, name: &str, file: &str, content: &str) -> PathBuf {
    let path = blank(folder, name);
    let tree = folder.join(format!("{name}.tree"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join(file), content).unwrap();
    run(Command::new("mkfs.ext4")
        .arg("-q")
        .arg("-d")
        .arg(&tree)
        .arg(&path));
    path
}

/// Runs a tool that must succeed.
#[track_caller]
pub fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?} cannot be run: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {} {errors}", output.status);
}

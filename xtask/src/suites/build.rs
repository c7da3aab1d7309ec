//! Builds all tests of the workspace in one go, so that no suite is built twice with other features.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One executable with tests in it.
pub(super) struct TestBinary {
    /// The executable.
    pub(super) executable: PathBuf,
    /// The folder of its crate, which is the working directory of its tests.
    pub(super) folder: PathBuf,
    crate_name: String,
    target: String,
    is_unit: bool,
}

impl TestBinary {
    /// `crate` for the tests beside the code, `crate/file` for those in `tests/`.
    pub(super) fn suite(&self) -> String {
        if self.is_unit {
            self.crate_name.clone()
        } else {
            format!("{}/{}", self.crate_name, self.target)
        }
    }
}

/// Builds every test with all features (`failpoints` among them, which no release has) and lists the executables.
pub(super) fn all(root: &Path) -> Result<Vec<TestBinary>, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "test",
            "--workspace",
            "--all-features",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot run cargo test --no-run: {e}"))?;
    if !output.status.success() {
        return Err("the tests do not build".to_owned());
    }
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
            continue;
        }
        let Some(executable) = message["executable"].as_str() else {
            continue;
        };
        let Some(manifest) = message["manifest_path"].as_str().map(Path::new) else {
            continue;
        };
        let folder = manifest.parent().unwrap_or(root).to_owned();
        let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
        if kind == "example" || kind == "bench" {
            continue;
        }
        found.push(TestBinary {
            executable: PathBuf::from(executable),
            crate_name: folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            folder,
            target: message["target"]["name"].as_str().unwrap_or_default().to_owned(),
            is_unit: kind != "test",
        });
    }
    found.sort_by_key(TestBinary::suite);
    Ok(found)
}

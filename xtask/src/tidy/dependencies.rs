//! Checks of Cargo's own picture: the arrows between the crates, and the licences of what we depend on.

use super::Problem;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crate may depend on which of ours (normal and build dependencies; tests may use any).
const ARROWS: [(&str, &[&str]); 9] = [
    ("scsi", &[]),
    ("iscsi", &[]),
    ("initiator", &["iscsi", "scsi"]),
    ("target", &["iscsi", "scsi"]),
    ("blockdev", &[]),
    ("dataplane", &["initiator", "blockdev", "iscsi", "scsi"]),
    ("disk", &[]),
    ("mount", &[]),
    ("volume", &["disk", "mount", "dataplane", "iscsi"]),
];

/// What protocol code must not depend on, not even indirectly.
const NOT_UNDER_PROTOCOL: [&str; 4] = ["tokio", "libc", "rustix", "getrandom"];

/// Licences that a dependency may have (CONTRIBUTING.md); an expression counts if one of its choices is here.
const LICENCES: [&str; 13] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "BSL-1.0",
    "MPL-2.0",
];

pub(super) fn check(root: &Path, problems: &mut Vec<Problem>) -> Result<(), String> {
    let metadata = metadata(root)?;
    let packages = array(&metadata, "packages");
    for package in packages {
        let name = text(package, "name");
        let manifest = PathBuf::from(text(package, "manifest_path"));
        let is_ours = manifest.starts_with(root);
        if is_ours {
            check_arrows(root, package, name, &manifest, problems);
        } else if !licence_allowed(text(package, "license")) {
            let licence = text(package, "license");
            problems.push(Problem::new(
                Path::new("Cargo.lock"),
                0,
                format!("the dependency {name} has the licence {licence:?}, which is not on the list"),
            ));
        }
    }
    for protocol in ["longshore-scsi", "longshore-iscsi"] {
        for found in reachable(&metadata, protocol) {
            if NOT_UNDER_PROTOCOL.contains(&found.as_str()) {
                let file = Path::new("crates")
                    .join(protocol.trim_start_matches("longshore-"))
                    .join("Cargo.toml");
                problems.push(Problem::new(
                    &file,
                    0,
                    format!("protocol code depends on {found}"),
                ));
            }
        }
    }
    Ok(())
}

fn check_arrows(root: &Path, package: &Value, name: &str, manifest: &Path, problems: &mut Vec<Problem>) {
    let short = name.trim_start_matches("longshore-");
    let file = manifest.strip_prefix(root).unwrap_or(manifest);
    let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
    if folder != short {
        problems.push(Problem::new(
            file,
            0,
            format!("the folder of {name} is not named {short}"),
        ));
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == short) else {
        return;
    };
    for dependency in array(package, "dependencies") {
        let to = text(dependency, "name");
        let Some(to) = to.strip_prefix("longshore-") else {
            continue;
        };
        if text(dependency, "kind") != "dev" && !allowed.contains(&to) {
            problems.push(Problem::new(
                file,
                0,
                format!("{short} may not depend on {to} (ARCHITECTURE.md)"),
            ));
        }
    }
}

/// Whether one choice of an SPDX expression is allowed as a whole.
fn licence_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|choice| LICENCES.contains(&choice.trim())))
        || plain
            .split(" OR ")
            .any(|choice| choice.split(" AND ").all(|part| LICENCES.contains(&part.trim())))
}

/// Names of all packages below `name` by normal dependencies.
fn reachable(metadata: &Value, name: &str) -> Vec<String> {
    let name_of = |id: &str| {
        array(metadata, "packages")
            .iter()
            .find(|p| text(p, "id") == id)
            .map(|p| text(p, "name").to_owned())
    };
    let nodes = array(&metadata["resolve"], "nodes");
    let Some(start) = nodes
        .iter()
        .find(|n| name_of(text(n, "id")).as_deref() == Some(name))
    else {
        return Vec::new();
    };
    let mut seen = vec![text(start, "id").to_owned()];
    let mut at = 0;
    while at < seen.len() {
        let node = nodes.iter().find(|n| text(n, "id") == seen[at]);
        for dependency in node.map(|n| array(n, "deps")).unwrap_or_default() {
            let kinds = array(dependency, "dep_kinds");
            let normal = kinds
                .iter()
                .any(|k| k["kind"].is_null() && target_is_linux(&k["target"]));
            let id = text(dependency, "pkg");
            if normal && !seen.iter().any(|s| s == id) {
                seen.push(id.to_owned());
            }
        }
        at += 1;
    }
    seen.iter().skip(1).filter_map(|id| name_of(id)).collect()
}

/// Whether a dependency's condition can hold on Linux. On arm64 the hashes find out the CPU's features through
/// libc (`cpufeatures`); that is no I/O and does not count.
fn target_is_linux(target: &Value) -> bool {
    let Some(condition) = target.as_str() else {
        return true;
    };
    let names_other = [
        "windows",
        "macos",
        "apple",
        "android",
        "loongarch",
        "wasi",
        "hermit",
        "miri",
        "aarch64",
    ];
    !names_other.iter().any(|other| condition.contains(other))
}

fn metadata(root: &Path) -> Result<Value, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--all-features"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("tidy: cannot run cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "tidy: cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("tidy: cargo metadata gave no JSON: {e}"))
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

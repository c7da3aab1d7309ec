//! A Debian 13 root with qemu-storage-daemon, unpacked beside the system: Debian 12's corrupts data under direct I/O.

use super::process::output;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PACKAGES: &str = "qemu-utils,qemu-block-extra,qemu-system-common";

/// Makes the root below `folder` from Debian packages, fetched from wherever this machine has its own from.
pub(super) fn make(folder: &Path) -> Result<PathBuf, String> {
    let root = folder.join("trixie");
    let within = Duration::from_secs(300);
    let sites = output(
        Command::new("apt-get").args(["indextargets", "--format", "$(SITE)"]),
        within,
    )?;
    let site = sites
        .lines()
        .next()
        .ok_or("apt knows no Debian mirror; run apt-get update")?;
    let mut command = Command::new("mmdebstrap");
    command
        .args([
            "--quiet",
            "--variant=extract",
            &format!("--include={PACKAGES}"),
            "trixie",
        ])
        .arg(&root)
        .arg(site);
    output(&mut command, within)?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        let link = root.join(name);
        if link.symlink_metadata().is_err() {
            symlink(format!("usr/{name}"), &link)
                .map_err(|e| format!("cannot link {}: {e}", link.display()))?;
        }
    }
    Ok(root)
}

//! The two arrays that are compared: Longshore's target and Debian's tgt, each with LUNs in memory.

use super::process::{Server, output, wait_for};
use super::{Bench, IMAGE_LEN};
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(10);

/// A running array.
pub(super) struct Array {
    /// `ADDRESS:PORT`.
    pub(super) portal: String,
    /// The target's name.
    pub(super) iqn: String,
    /// The number of the first LUN; tgt keeps LUN 0 for itself.
    pub(super) first_lun: u16,
    /// Ends when the array is dropped.
    _server: Server,
}

impl Array {
    /// The address that libiscsi's tools take.
    pub(super) fn url(&self, lun: u16) -> String {
        format!("iscsi://{}/{}/{}", self.portal, self.iqn, self.first_lun + lun)
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| format!("no free port: {e}"))?;
    Ok(listener
        .local_addr()
        .map_err(|e| format!("no free port: {e}"))?
        .port())
}

/// A filled image, so that reads come from memory and not from a hole.
fn image(bench: &Bench, name: &str, filled: bool) -> Result<PathBuf, String> {
    let path = bench.folder.join(name);
    let file = File::create(&path).map_err(|e| format!("cannot make {}: {e}", path.display()))?;
    file.set_len(IMAGE_LEN)
        .map_err(|e| format!("cannot size {}: {e}", path.display()))?;
    if filled {
        fill(&path)?;
    }
    Ok(path)
}

fn fill(path: &Path) -> Result<(), String> {
    use std::io::Write;
    let block: Vec<u8> = (0..1u32 << 20)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut file = File::options()
        .write(true)
        .open(path)
        .map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    for _ in 0..IMAGE_LEN >> 20 {
        file.write_all(&block)
            .map_err(|e| format!("cannot fill {}: {e}", path.display()))?;
    }
    Ok(())
}

/// Longshore's target with `luns` LUNs.
pub(super) fn longshore(bench: &Bench, name: &str, luns: u16, filled: bool) -> Result<Array, String> {
    let iqn = format!("iqn.2026-11.storage.longshore:bench-{name}");
    let portal = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new(&bench.longshore);
    command.args(["target", "serve", "--portal", &portal, "--iqn", &iqn]);
    for lun in 0..luns {
        let path = image(bench, &format!("{name}-{lun}.img"), filled)?;
        command.arg("--lun").arg(format!("{lun}={}", path.display()));
    }
    let (server, _) = Server::start_until_line("longshore target", &mut command)?;
    Ok(Array {
        portal,
        iqn,
        first_lun: 0,
        _server: server,
    })
}

/// Debian's tgt with one LUN.
pub(super) fn tgt(bench: &Bench, name: &str) -> Result<Array, String> {
    let iqn = format!("iqn.2026-11.storage.longshore:bench-{name}");
    let port = free_port()?;
    let portal = format!("127.0.0.1:{port}");
    let control = (20_000 + port % 10_000).to_string();
    let path = image(bench, &format!("{name}.img"), true)?;
    let mut command = Command::new("tgtd");
    command.args(["-f", "-C", &control, "--iscsi", &format!("portal={portal}")]);
    let server = Server::start("tgtd", &mut command)?;
    let admin = |words: &[&str]| {
        output(
            Command::new("tgtadm")
                .args(["-C", &control, "--lld", "iscsi"])
                .args(words),
            SHORT,
        )
        .map(drop)
    };
    wait_for("tgtd", || admin(&["--op", "show", "--mode", "sys"]).is_ok())?;
    admin(&["--op", "new", "--mode", "target", "--tid", "1", "-T", &iqn])?;
    let file = path.display().to_string();
    admin(&[
        "--op",
        "new",
        "--mode",
        "logicalunit",
        "--tid",
        "1",
        "--lun",
        "1",
        "-b",
        &file,
    ])?;
    admin(&["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"])?;
    Ok(Array {
        portal,
        iqn,
        first_lun: 1,
        _server: server,
    })
}

//! The block device: Longshore's against qemu-storage-daemon's FUSE export, both under a loop device, on one array.

use super::arrays::{self, Array};
use super::process::{Server, output, wait_for};
use super::table::{median, ratios};
use super::{Bench, Table, fio, peer_root};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(60);

/// Runs every load on both devices in turn.
pub(super) fn side_by_side(bench: &Bench) -> Result<Table, String> {
    let ours_array = arrays::longshore(bench, "device", 1, true)?;
    let qemu_array = arrays::longshore(bench, "device-qemu", 1, true)?;
    let ours = Attached::new(bench, &ours_array, 0)?;
    let root = peer_root::make(&bench.folder)?;
    let qemu = QemuDevice::new(&root, &qemu_array)?;
    let mut table = Table::new(
        "The block device: fio on Longshore's and on qemu-storage-daemon's (operations per second)",
        &["load", "longshore", "qemu", "ratio"],
    );
    for load in &fio::LOADS {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            a.push(fio::measure(&ours.device, load, bench.seconds)?);
            b.push(fio::measure(&qemu.device, load, bench.seconds)?);
        }
        table.row(&[
            load.name.to_owned(),
            format!("{:.0}", median(&a)),
            format!("{:.0}", median(&b)),
            ratios(&a, &b),
        ]);
    }
    let memory = [
        ours.data_plane_kib(bench)?,
        super::process::resident_kib(qemu.daemon.id())?,
    ];
    let ratio = format!("{:.2}", memory[0] as f64 / memory[1] as f64);
    table.row(&[
        "resident after the loads, KiB".to_owned(),
        memory[0].to_string(),
        memory[1].to_string(),
        ratio,
    ]);
    ours.detach(bench)?;
    qemu.remove()?;
    Ok(table)
}

/// A LUN that `longshore attach` made a block device.
pub(super) struct Attached {
    pub(super) device: PathBuf,
    url: String,
}

impl Attached {
    pub(super) fn new(bench: &Bench, array: &Array, lun: u16) -> Result<Self, String> {
        let url = array.url(lun);
        let text = output(longshore(bench).args(["--output", "json", "attach", &url]), SHORT)?;
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| format!("attach printed no JSON: {e}: {text}"))?;
        let device = json["device"]
            .as_str()
            .ok_or_else(|| format!("attach named no device: {text}"))?;
        Ok(Self {
            device: PathBuf::from(device),
            url,
        })
    }

    pub(super) fn detach(self, bench: &Bench) -> Result<(), String> {
        output(longshore(bench).args(["detach", &self.url]), SHORT).map(drop)
    }

    fn data_plane_kib(&self, bench: &Bench) -> Result<u64, String> {
        super::process::resident_kib(super::memory::data_plane(bench)?)
    }
}

/// The release binary with this run's own folders.
pub(super) fn longshore(bench: &Bench) -> Command {
    let mut command = Command::new(&bench.longshore);
    command
        .arg("--state-dir")
        .arg(bench.folder.join("state"))
        .arg("--run-dir")
        .arg(bench.folder.join("run"));
    command
}

/// A LUN behind qemu-storage-daemon and a loop device.
struct QemuDevice {
    device: PathBuf,
    daemon: Server,
}

impl QemuDevice {
    fn new(root: &Path, array: &Array) -> Result<Self, String> {
        let dev = root.join("dev");
        std::fs::create_dir_all(&dev).map_err(|e| format!("cannot make {}: {e}", dev.display()))?;
        let fuse = dev.join("fuse").display().to_string();
        output(Command::new("mknod").args([&fuse, "c", "10", "229"]), SHORT)?;
        let file = root.join("lun");
        std::fs::File::create(&file).map_err(|e| format!("cannot make {}: {e}", file.display()))?;
        let (portal, iqn, lun) = (&array.portal, &array.iqn, array.first_lun);
        let blockdev = format!(
            "driver=iscsi,node-name=lun,transport=tcp,portal={portal},target={iqn},lun={lun},cache.direct=on"
        );
        let export = "type=fuse,id=export,node-name=lun,mountpoint=/lun,writable=on,growable=off";
        let mut command = Command::new("chroot");
        command.arg(root).args([
            "/usr/bin/qemu-storage-daemon",
            "--blockdev",
            &blockdev,
            "--export",
            export,
        ]);
        let mut daemon = Server::start("qemu-storage-daemon", &mut command)?;
        wait_for("qemu's FUSE file", || {
            file.metadata().is_ok_and(|m| m.len() == super::IMAGE_LEN)
        })?;
        daemon.is_alive()?;
        let mut losetup = Command::new("losetup");
        let text = output(
            losetup.args(["--direct-io=on", "--show", "--find"]).arg(&file),
            SHORT,
        )?;
        Ok(Self {
            device: PathBuf::from(text.trim()),
            daemon,
        })
    }

    fn remove(self) -> Result<(), String> {
        output(Command::new("losetup").arg("--detach").arg(&self.device), SHORT).map(drop)
    }
}

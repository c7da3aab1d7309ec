//! One node with its target: directories, requests, processes; everything is taken away at the end.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use longshore_dataplane::client::ClientError;
use longshore_dataplane::proto::{AttachRequest, AttachedDevice, DataPath, DeviceKey, IscsiSource};
use longshore_dataplane::{DataplaneClient, Dirs};
use longshore_target::{LunConfig, Server, TargetConfig};
use rustix::process::{Pid, Signal};

pub const IQN: &str = "iqn.2026-11.example:disks";

/// A generous deadline: a test that waits so long has failed.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub struct Node {
    pub target: Server,
    pub dirs: Dirs,
    _base: tempfile::TempDir,
}

impl Node {
    /// A target with so many LUNs of this size.
    pub fn new(luns: u16, size_bytes: u64) -> Self {
        let base = tempfile::tempdir().unwrap();
        let mut target = TargetConfig::new(IQN);
        for number in 0..luns {
            let path = base.path().join(format!("lun{number}.img"));
            target.luns.push(LunConfig {
                size_bytes: Some(size_bytes),
                ..LunConfig::new(number, path)
            });
        }
        let target = Server::builder()
            .listen("127.0.0.1:0".parse().unwrap())
            .target(target)
            .start()
            .unwrap();
        let dirs = Dirs::new(base.path().join("run"), base.path().join("state"));
        Self {
            target,
            dirs,
            _base: base,
        }
    }

    pub fn request(&self, lun: u16) -> AttachRequest {
        AttachRequest {
            source: IscsiSource {
                portals: vec![self.target.local_addr().to_string()],
                iqn: IQN.to_owned(),
                lun,
                interface: None,
                initiator_name: "iqn.2026-11.example:node".to_owned(),
                isid: [0x80, 0x12, 0x34, 0x56, 0, 1],
                chap: None,
                mutual_chap: None,
            },
            read_only: false,
            expect_wwid: None,
            data_path: DataPath::Auto,
            owner: "a test".to_owned(),
        }
    }

    pub fn client(&self) -> DataplaneClient {
        DataplaneClient::connect_or_start(&self.dirs, &std::env::current_exe().unwrap(), soon())
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub fn try_attach(&self, request: &AttachRequest) -> Result<AttachedDevice, ClientError> {
        self.client().attach(request, soon())
    }

    pub fn attach(&self, lun: u16) -> AttachedDevice {
        self.try_attach(&self.request(lun))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    pub fn detach(&self, key: &DeviceKey) {
        self.client()
            .detach(key, false, soon())
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dirs.log()).unwrap_or_default()
    }

    /// The processes of this node's data plane, or of its `hold`.
    pub fn processes(&self, subcommand: &str) -> Vec<i32> {
        let run_dir = self.dirs.run_dir.to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments: Vec<_> = arguments.split(|byte| *byte == 0).collect();
            arguments.get(1) == Some(&subcommand.as_bytes()) && arguments.contains(&run_dir.as_bytes())
        })
        .collect()
    }

    pub fn data_plane(&self) -> i32 {
        wait_for("a data plane", || self.processes("dataplane").first().copied())
    }

    pub fn guard(&self) -> i32 {
        wait_for("a hold", || self.processes("hold").first().copied())
    }

    /// Ends everything by force, `hold` first, so that it starts no successor.
    pub fn kill_all(&self) {
        for subcommand in ["hold", "dataplane", "hold"] {
            self.processes(subcommand).into_iter().for_each(kill);
        }
    }

    /// Waits until no process of this node is left.
    pub fn expect_end(&self) {
        wait_for("the end of all processes", || {
            (self.processes("hold").is_empty() && self.processes("dataplane").is_empty()).then_some(())
        });
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill_all();
    }
}

pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = soon();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a loop device with this number is bound to something.
pub fn is_bound(minor: u32) -> bool {
    PathBuf::from(format!("/sys/block/loop{minor}/loop")).exists()
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs a tool, which must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}

/// A mount that is taken away again, also when the test fails.
pub struct Mounted(pub tempfile::TempDir);

impl Mounted {
    pub fn new(device: &AttachedDevice, fs_type: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(
            "mount",
            &[
                "-t",
                fs_type,
                device.device.to_str().unwrap(),
                dir.path().to_str().unwrap(),
            ],
        );
        Self(dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

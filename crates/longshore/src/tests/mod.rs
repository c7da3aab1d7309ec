//! Every command against a simulated machine: what it prints, what it leaves, and with which code it ends. No root.

mod node;
mod pods;
mod volumes;

use std::path::PathBuf;

use clap::FromArgMatches;
use longshore_dataplane::Dirs;
use longshore_volume::sim::{Disk, Sim, SimFs};
use longshore_volume::{Engine, FsType, LunKey};
use serde_json::Value;

use crate::app::{App, EngineSource};
use crate::cli::{self, Cli};
use crate::exit::{CliError, ExitCode};
use crate::output::Output;

const IQN: &str = "iqn.2003-01.org.example:disk";

/// A machine with its storage and directories of its own.
struct Machine {
    dir: tempfile::TempDir,
    sim: Sim,
}

/// What a command did.
#[derive(Debug)]
struct Ran {
    code: ExitCode,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, ExitCode::Success, "{self:?}");
        self
    }

    #[track_caller]
    fn fails(self, code: ExitCode, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {self:?}");
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

struct SimEngine<'m>(&'m Machine);

impl EngineSource for SimEngine<'_> {
    fn open(&self, _: &Dirs, _: bool) -> Result<Engine, CliError> {
        Ok(self.0.sim.engine(self.0.dir.path())?)
    }
}

impl Machine {
    /// LUN 0 holds an ext4, LUN 1 an xfs, LUN 2 nothing, LUN 3 a partition table.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let sim = Sim::open(&dir.path().join("sim")).expect("machine");
        let machine = Self { dir, sim };
        machine
            .sim
            .edit(|world| {
                world.add_lun(IQN, 0, file_system(FsType::Ext4));
                world.add_lun(IQN, 1, file_system(FsType::Xfs));
                world.add_lun(IQN, 2, Disk::Blank);
                world.add_lun(IQN, 3, Disk::Other("a GPT partition table".into()));
            })
            .expect("storage");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An empty directory to mount at.
    fn target(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("made");
        path.display().to_string()
    }

    fn run(&self, words: &[&str]) -> Ran {
        let (state, run) = (self.path("state"), self.path("run"));
        let mut arguments = vec!["longshore", "--state-dir", state.to_str().expect("text")];
        arguments.extend(["--run-dir", run.to_str().expect("text")]);
        arguments.extend(words);
        let matches = cli::command()
            .try_get_matches_from(&arguments)
            .expect("a command line");
        let cli = Cli::from_arg_matches(&matches).expect("a command line");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let engines = SimEngine(self);
        let output = Output {
            format: cli.global.output,
            out: &mut out,
            err: &mut err,
            colour: false,
        };
        let mut app = App::new(&cli.global, output, &engines);
        let code = crate::commands::run(cli.command, &mut app).unwrap_or_else(|error| {
            app.output.failure(&error);
            error.code
        });
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran {
            code,
            out: text(out),
            err: text(err),
        }
    }

    /// Nothing is attached or mounted, and the engine did nothing that it must not do.
    #[track_caller]
    fn is_clean(&self) {
        let world = self.sim.edit(|world| world.clone()).expect("state");
        assert!(world.mounts.is_empty(), "{:?}", world.mounts);
        assert!(world.devices.is_empty(), "{:?}", world.devices);
        assert!(world.violations.is_empty(), "{:?}", world.violations);
        let pods = self.path("state/pods");
        let records = std::fs::read_dir(&pods)
            .map(|entries| entries.flatten().count())
            .unwrap_or(0);
        assert_eq!(records, 0, "no Pod's record stays");
    }

    fn mount_points(&self) -> Vec<(PathBuf, bool)> {
        let world = self.sim.edit(|world| world.clone()).expect("state");
        let staging = self.path("run");
        let mut points: Vec<_> = world
            .mounts
            .iter()
            .filter(|mount| !mount.at.starts_with(staging.join("staging")))
            .map(|mount| (mount.at.clone(), mount.read_only))
            .collect();
        points.sort();
        points
    }
}

fn file_system(fs_type: FsType) -> Disk {
    let uuid = "01234567-89ab-cdef-0123-456789abcdef".to_owned();
    Disk::Fs(SimFs {
        fs_type,
        uuid,
        label: String::new(),
        dirty: false,
        size_bytes: 64 << 20,
    })
}

fn url(lun: u16) -> String {
    format!("iscsi://127.0.0.1:3260/{IQN}/{lun}")
}

fn id(lun: u16) -> String {
    LunKey::iscsi(IQN, lun).to_string()
}

/// A Pod with LUN 0 read-only in one container, and LUN 1 in another twice, once of it read-only.
fn pod(machine: &Machine, change: impl Fn(String) -> String) -> String {
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: prod}}
spec:
  containers:
  - name: reader
    volumeMounts:
    - {{name: pages, mountPath: /srv/pages}}
  - name: writer
    volumeMounts:
    - {{name: data, mountPath: /data}}
    - {{name: data, mountPath: /view, readOnly: true}}
  volumes:
  - name: pages
    iscsi: {{targetPortal: '127.0.0.1:3260', iqn: '{IQN}', lun: 0, fsType: ext4, readOnly: true}}
  - name: data
    iscsi: {{targetPortal: '127.0.0.1:3260', iqn: '{IQN}', lun: 1, fsType: xfs}}
"
    );
    let path = machine.path("pod.yaml");
    std::fs::write(&path, change(text)).expect("written");
    path.display().to_string()
}

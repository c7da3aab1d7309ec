//! Every command against a simulated machine: what it prints, what it leaves, and with which code it ends. No root.

use std::path::{Path, PathBuf};

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

#[test]
fn mount_and_umount_say_what_they_did() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let ran = machine.run(&["mount", &url(0), &dir]).ok();
    assert_eq!(
        ran.out,
        format!("{} is at {dir} (ext4, read-write, /dev/sim0)\n", id(0))
    );
    let again = machine.run(&["mount", &url(0), &dir]).ok();
    assert!(again.out.ends_with("(it was so already)\n"), "{again:?}");
    let ran = machine.run(&["umount", &dir]).ok();
    assert_eq!(ran.out, format!("{} is no longer at {dir}\n", id(0)));
    let ran = machine.run(&["umount", &dir]).ok();
    assert_eq!(ran.out, format!("no volume is at {dir} (it was so already)\n"));
    machine.is_clean();
}

#[test]
fn mount_and_umount_in_json() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let value = machine
        .run(&["mount", "--output", "json", "--read-only", &url(1), &dir])
        .ok()
        .json();
    assert_eq!(value["outcome"], "changed");
    assert_eq!(value["published"]["access"], "readOnly");
    assert_eq!(value["staged"]["fsType"], "xfs");
    assert_eq!(
        machine.run(&["-o", "json", "umount", &dir]).ok().json()["outcome"],
        "changed"
    );
    assert_eq!(
        machine.run(&["-o", "json", "umount", &dir]).ok().json()["outcome"],
        "alreadySo"
    );
    machine.is_clean();
}

/// F1: a device is formatted only when it is blank and the user allowed it.
#[test]
fn f1_nothing_is_formatted_without_being_asked() {
    let machine = Machine::new();
    let dir = machine.target("a");
    machine
        .run(&["mount", &url(2), &dir])
        .fails(ExitCode::Refused, &["ifBlank"]);
    machine
        .run(&["mount", "--format", "ifBlank", &url(3), &dir])
        .fails(ExitCode::Refused, &["GPT"]);
    machine
        .run(&["mount", "--format", "ifBlank", "-t", "ext4", &url(1), &dir])
        .fails(ExitCode::Refused, &["xfs"]);
    machine.is_clean();
    let ran = machine
        .run(&["mount", "--format", "ifBlank", "-t", "xfs", &url(2), &dir])
        .ok();
    assert!(ran.out.contains("(xfs, newly made, read-write"), "{ran:?}");
    machine.run(&["umount", &dir]).ok();
    machine.is_clean();
}

#[test]
fn failures_have_their_exit_codes() {
    let machine = Machine::new();
    let dir = machine.target("a");
    machine
        .run(&["mount", &url(9), &dir])
        .fails(ExitCode::NotFound, &[]);
    machine
        .run(&["mount", &url(0), &machine.path("absent").display().to_string()])
        .fails(ExitCode::Usage, &["absent"]);
    machine
        .run(&["mount", "-o", "json", &url(0), &dir])
        .fails(ExitCode::Usage, &["--output json"]);
    machine
        .run(&["mount", "--wwid", "nonsense", &url(0), &dir])
        .fails(ExitCode::Usage, &["WWID"]);
    machine
        .run(&[
            "mount",
            "--wwid",
            "naa.6000000000000000000000000000ffff",
            &url(0),
            &dir,
        ])
        .fails(ExitCode::Refused, &["WWID"]);
    machine
        .sim
        .edit(|world| world.lun(&LunKey::iscsi(IQN, 1)).unreachable = true)
        .expect("edited");
    machine
        .run(&["mount", &url(1), &dir])
        .fails(ExitCode::Unreachable, &["help: "]);
    machine
        .run(&["show", "nothing-such"])
        .fails(ExitCode::NotFound, &["longshore ls"]);
    machine.run(&["show", "Nothing Such"]).fails(ExitCode::Usage, &[]);
    machine.run(&["show", &dir]).fails(ExitCode::NotFound, &[]);
    machine
        .run(&["down", "nobody"])
        .fails(ExitCode::NotFound, &["nobody"]);
    machine
        .run(&["up", "-f", "/absent.yaml"])
        .fails(ExitCode::Usage, &["/absent.yaml:1:1", "cannot read"]);
    machine.is_clean();
}

#[test]
fn a_failure_in_json_is_json() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let ran = machine.run(&["mount", "--output", "json", &url(2), &dir]);
    let value: Value = serde_json::from_str(&ran.err).expect("JSON");
    assert_eq!(
        (value["error"]["code"].as_u64(), value["error"]["kind"].as_str()),
        (Some(4), Some("Refused"))
    );
    let file = pod(&machine, |text| {
        text.replace("lun: 0", "lun: x").replace("lun: 1", "lun: y")
    });
    let ran = machine.run(&["up", "-f", &file, "-o", "json"]);
    let value: Value = serde_json::from_str(&ran.err).expect("JSON");
    assert_eq!(value["error"]["problems"][1]["line"], 17);
    assert_eq!(
        value["error"]["problems"][1]["field"],
        "spec.volumes[1].iscsi.lun"
    );
}

#[test]
fn a_secret_is_read_from_a_file_and_never_shown() {
    let machine = Machine::new();
    let dir = machine.target("a");
    let secret = machine.path("secret");
    std::fs::write(&secret, "hunter2hunter2\n").expect("written");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("mode");
    let file = secret.display().to_string();
    let with_user = format!("iscsi://alice@127.0.0.1:3260/{IQN}/0");
    machine
        .run(&["mount", &with_user, &dir])
        .fails(ExitCode::Usage, &["--chap-secret-file"]);
    let ran = machine
        .run(&["mount", "--chap-secret-file", &file, &with_user, &dir])
        .ok();
    assert!(
        ran.err.starts_with("warning: ") && ran.err.contains("chmod 600"),
        "{ran:?}"
    );
    let shown = machine.run(&["show", &dir, "-o", "json"]).ok();
    assert!(
        shown.out.contains("alice") && !shown.out.contains("hunter2"),
        "{shown:?}"
    );
    machine.run(&["umount", &dir]).ok();
    machine.is_clean();
}

#[test]
fn attach_prints_the_device_and_detach_finds_it_by_any_name() {
    let machine = Machine::new();
    let ran = machine.run(&["attach", &url(2)]).ok();
    let path = ran.out.trim_end().to_owned();
    assert!(path.starts_with('/') && !path.contains(' '), "{ran:?}");
    assert_eq!(machine.run(&["attach", &url(2)]).ok().out, ran.out);
    assert!(
        machine
            .run(&["attach", &url(2), "-o", "wide"])
            .ok()
            .out
            .contains("naa.6")
    );
    machine
        .run(&["mount", &url(2), &machine.target("a")])
        .fails(ExitCode::Busy, &["raw block device"]);
    for word in [path.clone(), id(2), id(2)[..10].to_owned(), url(2)] {
        assert_eq!(
            machine.run(&["detach", &word]).ok().out,
            format!("{} is detached\n", id(2)),
            "{word}"
        );
        machine.run(&["attach", &url(2)]).ok();
    }
    let shown = machine.run(&["show", &id(2), "-o", "json"]).ok().json();
    machine
        .run(&["detach", shown["device"]["path"].as_str().expect("a path")])
        .ok();
    assert!(
        machine
            .run(&["detach", &url(2)])
            .ok()
            .out
            .ends_with("(it was so already)\n")
    );
    machine.is_clean();
}

#[test]
fn ls_and_show_find_what_is_there() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["ls"]).ok().out, "No volumes are in use.\n");
    let (a, b) = (machine.target("a"), machine.target("b"));
    machine.run(&["mount", "--read-only", &url(0), &a]).ok();
    machine.run(&["mount", &url(1), &b]).ok();
    let listed = machine.run(&["ls"]).ok().out;
    let mut lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| {
            line.split("   ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(
        lines.remove(0),
        ["ID", "STATE", "TYPE", "ACCESS", "SIZE", "SOURCE", "MOUNTED AT"]
    );
    lines.sort_by_key(|line| line[5].to_owned());
    assert_eq!(
        lines[0],
        [&*id(0), "Published", "ext4", "read-only", "64 MiB", &*url(0), &*a]
    );
    assert_eq!(
        lines[1],
        [&*id(1), "Published", "xfs", "read-write", "64 MiB", &*url(1), &*b]
    );
    assert!(machine.run(&["ls", "-o", "wide"]).ok().out.contains("naa.6"));
    assert_eq!(
        machine.run(&["ls", "-o", "json"]).ok().json()["volumes"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    for word in [id(0), id(0)[..9].to_owned(), a.clone(), url(0)] {
        let shown = machine.run(&["show", &word]).ok().out;
        assert!(
            shown.starts_with(&format!("Volume:         {}\nState:          Published\n", id(0))),
            "{shown}"
        );
        assert!(
            shown.contains(&format!("Mounted at:     {a} (read-only, for longshore mount)\n")),
            "{shown}"
        );
    }
    machine
        .run(&["show", "iscsi-"])
        .fails(ExitCode::Usage, &["more than one volume"]);
    machine.run(&["umount", &a]).ok();
    let shown = machine.run(&["show", &url(0)]).ok().out;
    assert!(
        shown.contains("State:          Detached\n") && shown.contains("(when it was last used)"),
        "{shown}"
    );
    machine.run(&["umount", &b]).ok();
    machine.is_clean();
}

/// F3: another disk behind a known LUN number is refused until the user says that it is meant.
#[test]
fn f3_a_changed_disk_is_refused_until_it_is_forgotten() {
    let machine = Machine::new();
    let dir = machine.target("a");
    machine.run(&["mount", &url(0), &dir]).ok();
    machine.run(&["forget", &url(0)]).fails(ExitCode::Busy, &[]);
    machine.run(&["umount", &dir]).ok();
    let other = "naa.600000000000000000000000000000ff".to_owned();
    machine
        .sim
        .edit(|world| world.lun(&LunKey::iscsi(IQN, 0)).wwid = other)
        .expect("edited");
    machine
        .run(&["mount", &url(0), &dir])
        .fails(ExitCode::Refused, &["WWID", "longshore forget"]);
    machine.run(&["forget", &url(0)]).ok();
    machine.run(&["mount", &url(0), &dir]).ok();
    machine.run(&["umount", &dir]).ok();
    machine.is_clean();
}

#[test]
fn a_pod_goes_up_twice_and_down_twice() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    let ran = machine.run(&["up", "-f", &file]).ok();
    let dir = machine.path("run-pods/prod_web").canonicalize().expect("made");
    for part in [
        "Pod prod/web: 2 volumes, 3 mounts beneath ",
        "  volume \"pages\": iscsi://127.0.0.1:3260/iqn.2003-01.org.example:disk/0 is /dev/sim0 (64 MiB, ext4), identity ",
        "  container \"writer\": /view is at ",
        "Pod prod/web is up.\n\nCONTAINER   VOLUME   PATH",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    let expected = [
        ("reader/srv/pages", true),
        ("writer/data", false),
        ("writer/view", true),
    ];
    assert_eq!(
        machine.mount_points(),
        expected.map(|(path, read_only)| (dir.join(path), read_only))
    );
    assert_eq!(
        machine
            .sim
            .edit(|world| (world.attached, world.mounted))
            .expect("state"),
        (2, 2),
        "each once"
    );
    let again = machine.run(&["up", "-f", &file, "-o", "json"]).ok().json();
    assert_eq!(again["pods"][0]["outcome"], "alreadySo");
    assert_eq!(again["pods"][0]["mounts"].as_array().map(Vec::len), Some(3));

    let ran = machine.run(&["down", "-f", &file]).ok();
    assert!(
        ran.out
            .ends_with("Pod prod/web is down; nothing of it is left.\n"),
        "{ran:?}"
    );
    assert!(!dir.exists(), "the directories that `up` made are gone");
    machine.is_clean();
    assert_eq!(
        machine.run(&["down", "-f", &file]).ok().out,
        "Pod prod/web was not up.\n"
    );
    machine.run(&["down", "web"]).fails(ExitCode::NotFound, &["web"]);
}

#[test]
fn a_pod_goes_down_by_name_and_leaves_foreign_files() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    let dir = machine.target("pods");
    std::fs::write(machine.path("pods/kept"), "x").expect("written");
    machine.run(&["up", "-f", &file, "--dir", &dir]).ok();
    let other = machine.target("elsewhere");
    machine
        .run(&["up", "-f", &file, "--dir", &other])
        .fails(ExitCode::Conflict, &["longshore down prod/web"]);
    std::fs::remove_file(&file).expect("the manifest is not needed");
    machine.run(&["down", "prod/web"]).ok();
    let left: Vec<_> = std::fs::read_dir(&dir)
        .expect("stays")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["kept"]);
    machine.is_clean();
}

#[test]
fn a_failure_in_the_middle_is_undone() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text.replace("lun: 1", "lun: 2"));
    let ran = machine
        .run(&["up", "-f", &file])
        .fails(ExitCode::Refused, &["was undone", "reader/srv/pages unmounted"]);
    assert!(ran.out.contains("volume \"pages\""), "{ran:?}");
    machine.is_clean();
    assert!(!machine.path("run-pods/prod_web").exists());
}

#[test]
fn a_failure_does_not_take_down_what_was_up_before() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    machine.run(&["up", "-f", &file]).ok();
    let before = machine.mount_points();
    machine
        .run(&["up", "-f", &pod(&machine, |text| text.replace("/view", "/look"))])
        .fails(ExitCode::Conflict, &["mounts are others"]);
    assert_eq!(machine.mount_points(), before);
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn a_volume_that_somebody_else_uses_stays_for_them() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    let mine = machine.target("mine");
    machine.run(&["up", "-f", &file]).ok();
    machine.run(&["mount", &url(1), &mine]).ok();
    machine.run(&["down", "web"]).ok();
    assert_eq!(machine.mount_points(), [(PathBuf::from(&mine), false)]);
    machine.run(&["umount", &mine]).ok();
    machine.is_clean();
}

#[test]
fn a_read_only_view_alone_is_taken_down_too() {
    let machine = Machine::new();
    let file = pod(&machine, |text| {
        text.replace("    - {name: data, mountPath: /data}\n", "")
    });
    machine.run(&["up", "-f", &file]).ok();
    assert!(machine.mount_points().iter().all(|(_, read_only)| *read_only));
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn down_goes_on_after_a_failure_and_a_second_call_finishes() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    machine.run(&["up", "-f", &file]).ok();
    machine.sim.edit(|world| world.fail_unmounts = 1).expect("edited");
    let ran = machine.run(&["down", "web"]);
    assert!(ran.code != ExitCode::Success, "{ran:?}");
    let left = machine.mount_points();
    assert!(left.len() < 3, "the others are down: {left:?}");
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn the_pod_is_found_again_after_a_reboot() {
    let machine = Machine::new();
    let file = pod(&machine, |text| text);
    machine.run(&["up", "-f", &file]).ok();
    machine.sim.edit(|world| world.reboot()).expect("edited");
    machine.run(&["up", "-f", &file]).ok();
    assert_eq!(machine.mount_points().len(), 3);
    machine.sim.edit(|world| world.reboot()).expect("edited");
    machine.run(&["down", "web"]).ok();
    machine.is_clean();
}

#[test]
fn the_initiator_name_stays_and_can_be_set() {
    let machine = Machine::new();
    let first = machine.run(&["initiator", "-o", "json"]).ok().json();
    assert!(
        first["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("iqn.2026-11.storage.longshore:"))
    );
    assert_eq!(machine.run(&["initiator", "-o", "json"]).ok().json(), first);
    machine
        .run(&["initiator", "--set", "nonsense"])
        .fails(ExitCode::Usage, &["nonsense"]);
    machine
        .run(&["initiator", "--set", "iqn.2003-01.org.example:node-1"])
        .ok();
    let set = machine.run(&["initiator"]).ok().out;
    assert!(
        set.starts_with("Initiator name: iqn.2003-01.org.example:node-1\nISID:           80"),
        "{set}"
    );
    assert!(set.contains("Origin:         set by hand\n"), "{set}");
    let made = machine
        .run(&["initiator", "--generate", "-o", "json"])
        .ok()
        .json();
    assert_ne!(made["name"], first["name"]);
}

#[test]
fn doctor_version_completions_and_man_answer() {
    let machine = Machine::new();
    let ran = machine.run(&["doctor"]);
    assert!(matches!(ran.code, ExitCode::Success | ExitCode::Host), "{ran:?}");
    assert!(ran.out.contains("\nData path: "), "{ran:?}");
    assert!(
        machine.run(&["doctor", "-o", "json"]).json()["findings"]
            .as_array()
            .is_some_and(|list| list.len() > 10)
    );
    assert_eq!(
        machine.run(&["version"]).ok().out,
        format!("longshore {}\n", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            machine.run(&["completions", shell]).ok().out.contains("umount"),
            "{shell}"
        );
    }
    let pages = machine.path("man");
    machine.run(&["man", pages.to_str().expect("text")]).ok();
    assert!(Path::new(&pages).join("longshore-mount.1").exists());
}

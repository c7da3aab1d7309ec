//! What the demo does, step by step, in plain words.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use longshore_mount::MountInfo;
use serde_json::Value;

use crate::app::App;
use crate::doctor::{HostRoot, examine};
use crate::exit::{CliError, ExitCode};

use super::Stop;
use super::left::{UsedDevice, connections};
use super::stage::{Stage, write};

/// The Pod, as it stands in examples/.
const EXAMPLE: &str = include_str!("../../../../examples/iscsi-pd.yaml");
/// The portal that stands in the example.
const EXAMPLE_PORTAL: &str = "127.0.0.1:3260";
const IQN: &str = "iqn.2026-11.storage.longshore:demo";
const EXT4_BYTES: u64 = 64 << 20;
/// mkfs.xfs refuses less than 300 MiB.
const XFS_BYTES: u64 = 512 << 20;
const GREETING: &str = "Hello from the array.\n";
/// Tools of others that make the two disks, with their Debian packages.
const TOOLS: [(&str, &str); 2] = [("mkfs.ext4", "e2fsprogs"), ("mkfs.xfs", "xfsprogs")];

/// Refuses to begin where it cannot end well.
///
/// # Errors
/// What this host lacks, by name.
pub(super) fn check_host(app: &App<'_>) -> Result<(), CliError> {
    let report = examine(&HostRoot::this(), &app.dirs.state_dir, &app.dirs.run_dir);
    if report.data_path.is_none() {
        return Err(CliError::new(ExitCode::Host, report.reason).help("`longshore doctor` says what to do"));
    }
    for (tool, package) in TOOLS {
        let missing = |finding: &&crate::doctor::Finding| {
            finding.subject == tool && finding.verdict != crate::doctor::Verdict::Ok
        };
        if report.findings.iter().any(|finding| missing(&finding)) {
            return Err(
                CliError::new(ExitCode::Host, format!("the demo needs {tool} to make its disks"))
                    .help(format!("on Debian: apt-get install {package}")),
            );
        }
    }
    Ok(())
}

/// Does the job.
pub(super) fn tell(stage: &mut Stage<'_>, app: &mut App<'_>) -> Result<(), Stop> {
    make_disks(stage, app)?;
    let pod = serve(stage, app)?;
    bring_up(stage, &pod, app)?;
    use_volumes(stage, app)?;
    show_mounts(stage, app)?;
    take_down(stage, &pod, app)?;
    verify(stage, app)
}

fn title(app: &mut App<'_>, number: u8, text: &str) -> Result<(), Stop> {
    app.say(&format!("\n{number}. {text}"))?;
    Ok(())
}

fn say(app: &mut App<'_>, text: &str) -> Result<(), Stop> {
    app.say(&format!("   {text}"))?;
    Ok(())
}

fn quote(app: &mut App<'_>, text: &str) -> Result<(), Stop> {
    for line in text.lines() {
        app.say(&format!("   | {line}"))?;
    }
    Ok(())
}

fn make_disks(stage: &Stage<'_>, app: &mut App<'_>) -> Result<(), Stop> {
    title(
        app,
        1,
        "Two disks, as an array would have them: sparse files, formatted by the tools of ext4 and xfs.",
    )?;
    let content = stage.path("content");
    fs::create_dir(&content).map_err(|error| CliError::io("make", &content, &error))?;
    write(&content.join("hello.txt"), GREETING)?;
    let (ext4, xfs) = (stage.path("lun0.img"), stage.path("lun1.img"));
    for (path, len_bytes) in [(&ext4, EXT4_BYTES), (&xfs, XFS_BYTES)] {
        File::create(path)
            .and_then(|file| file.set_len(len_bytes))
            .map_err(|error| CliError::io("make the disk", path, &error))?;
    }
    let quiet = OsStr::new("-q");
    stage.tool(
        "mkfs.ext4",
        &[quiet, OsStr::new("-d"), content.as_os_str(), ext4.as_os_str()],
    )?;
    stage.tool("mkfs.xfs", &[quiet, xfs.as_os_str()])?;
    say(app, "LUN 0: ext4, 64 MiB, holds hello.txt (mkfs.ext4 -d)")?;
    say(app, "LUN 1: xfs, 512 MiB, empty (mkfs.xfs)")
}

fn serve(stage: &mut Stage<'_>, app: &mut App<'_>) -> Result<PathBuf, Stop> {
    title(
        app,
        2,
        "Longshore's own iSCSI target serves them; in your network this is the array.",
    )?;
    let (ext4, xfs) = (stage.path("lun0.img"), stage.path("lun1.img"));
    let portal = stage.start_target(IQN, &[(0, &ext4), (1, &xfs)])?;
    say(app, &format!("{IQN} listens at {portal}"))?;
    let pod = stage.path("iscsi-pd.yaml");
    write(&pod, &EXAMPLE.replace(EXAMPLE_PORTAL, &portal))?;
    say(
        app,
        "The Pod is examples/iscsi-pd.yaml, with this portal in it. Its volumes:",
    )?;
    let volumes = EXAMPLE
        .split_once("  volumes:\n")
        .map(|(_, rest)| rest.replace(EXAMPLE_PORTAL, &portal));
    quote(app, &volumes.unwrap_or_default())?;
    Ok(pod)
}

fn bring_up(stage: &mut Stage<'_>, pod: &Path, app: &mut App<'_>) -> Result<(), Stop> {
    title(
        app,
        3,
        "longshore up -f iscsi-pd.yaml: logs in once, proves each LUN's identity, mounts each once,",
    )?;
    say(
        app,
        "and places each in its container's directory. No iscsid, no iscsiadm, no mount helper.",
    )?;
    stage.go_on()?;
    stage.pod = Some(pod.to_owned());
    let dir = stage.path("pod");
    let words = ["up", "-f"].map(OsStr::new);
    let up = stage.longshore(&[
        words[0],
        words[1],
        pod.as_os_str(),
        OsStr::new("--dir"),
        dir.as_os_str(),
    ])?;
    quote(app, &up.stdout)?;
    let listed = stage.longshore(&["ls", "--output", "json"].map(OsStr::new))?;
    let listed: Value = serde_json::from_str(&listed.stdout)
        .map_err(|error| CliError::new(ExitCode::Failure, format!("`longshore ls` gave no JSON: {error}")))?;
    for volume in listed["volumes"].as_array().into_iter().flatten() {
        stage
            .devices
            .extend(volume["device"]["path"].as_str().map(UsedDevice::look));
    }
    let sessions = stage.port().map_or(0, connections);
    say(
        app,
        &format!("Sessions with the target, by the kernel's table of connections: {sessions}"),
    )?;
    if sessions == 1 {
        return Ok(());
    }
    Err(CliError::new(
        ExitCode::Failure,
        format!("{sessions} sessions instead of one for both LUNs"),
    )
    .into())
}

fn use_volumes(stage: &Stage<'_>, app: &mut App<'_>) -> Result<(), Stop> {
    title(app, 4, "The containers use their volumes.")?;
    stage.go_on()?;
    let read_only = stage.path("pod/iscsipd-ro/mnt/iscsipd");
    let read_write = stage.path("pod/iscsipd-rw/mnt/iscsipd");
    let hello = read_only.join("hello.txt");
    let read = fs::read_to_string(&hello).map_err(|error| CliError::io("read", &hello, &error))?;
    say(app, &format!("iscsipd-ro reads hello.txt: {}", read.trim_end()))?;
    if read != GREETING {
        return Err(CliError::new(ExitCode::Failure, "hello.txt does not hold what was written").into());
    }
    let note = read_write.join("note.txt");
    write(&note, "Written by the container.\n")?;
    File::open(&note)
        .and_then(|file| file.sync_all())
        .map_err(|error| CliError::io("write", &note, &error))?;
    let back = fs::read_to_string(&note).map_err(|error| CliError::io("read", &note, &error))?;
    say(
        app,
        &format!(
            "iscsipd-rw writes note.txt, makes it durable, and reads it: {}",
            back.trim_end()
        ),
    )?;
    match fs::write(read_only.join("note.txt"), "x") {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::ROFS.raw_os_error()) => say(
            app,
            &format!("iscsipd-ro tries to write note.txt, and is refused: {error}"),
        ),
        Err(error) => Err(CliError::io("see the refusal of a write in", &read_only, &error).into()),
        Ok(()) => Err(CliError::new(ExitCode::Failure, "the read-only volume took a write").into()),
    }
}

fn show_mounts(stage: &Stage<'_>, app: &mut App<'_>) -> Result<(), Stop> {
    title(
        app,
        5,
        "The mount table, as the kernel shows it (the device is mounted once, and placed in the container).",
    )?;
    let root = stage.path("");
    let info = MountInfo::read_own()
        .map_err(|error| CliError::new(ExitCode::Failure, format!("cannot read the mount table: {error}")))?;
    let mut table = crate::output::Table::new(&["DEVICE", "TYPE", "ACCESS", "MOUNTED AT"]);
    for entry in info
        .entries()
        .iter()
        .filter(|entry| entry.mount_point.starts_with(&root))
    {
        table.row([
            entry.source.to_string_lossy().into_owned(),
            entry.fs_type.to_string_lossy().into_owned(),
            if entry.is_read_only() {
                "read-only"
            } else {
                "read-write"
            }
            .to_owned(),
            entry.mount_point.display().to_string(),
        ]);
    }
    quote(app, &table.render())
}

fn take_down(stage: &mut Stage<'_>, pod: &Path, app: &mut App<'_>) -> Result<(), Stop> {
    title(
        app,
        6,
        "longshore down -f iscsi-pd.yaml: takes everything away again, and logs out.",
    )?;
    let down = stage.longshore(&[OsStr::new("down"), OsStr::new("-f"), pod.as_os_str()])?;
    stage.pod = None;
    quote(app, &down.stdout)
}

fn verify(stage: &mut Stage<'_>, app: &mut App<'_>) -> Result<(), Stop> {
    title(
        app,
        7,
        "The target is stopped, and the machine is compared with how it was before.",
    )?;
    stage.stop_target();
    let left = stage.wait_until_gone();
    if !left.is_empty() {
        return Err(CliError::new(ExitCode::LeftOver, format!("left over: {}", left.join("; "))).into());
    }
    say(app, "No mount, no device, no session and no process is left.")
}

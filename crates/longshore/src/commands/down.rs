//! `longshore down`: takes Pods down, goes on after errors, and verifies that nothing is left.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use longshore_mount::MountInfo;
use longshore_volume::engine::VolumeView;
use longshore_volume::{Engine, ErrorKind, Outcome};
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::manifest;
use crate::output::Render;
use crate::pods::{MountRecord, PodRecord, Pods, default_parent};
use crate::tree::Tree;

/// Take a Pod's volumes down again
///
/// Goes on after an error, tells them all, and verifies that nothing of the Pod is left. A volume that somebody else
/// still uses stays for them.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["file", "name"]).required(true))]
pub(crate) struct Down {
    /// The manifest with which the Pod was brought up; its Secrets are not needed
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The Pod's name, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    pods: Vec<PodReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodReport {
    namespace: String,
    name: String,
    outcome: Outcome,
}

impl Down {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let pods = Pods::new(&app.dirs.state_dir, &app.dirs.run_dir);
        let wanted = match (&self.file, &self.name) {
            (Some(file), _) => manifest::pod_names(file).map_err(CliError::manifest)?,
            (None, Some(name)) => {
                let record = pods.find(name)?;
                vec![(record.namespace, record.name)]
            }
            (None, None) => return Err(CliError::new(ExitCode::Usage, "give a manifest or a name")),
        };
        let engine = app.engine(false)?;
        let mut report = Report::default();
        let mut failures = Vec::new();
        for (namespace, name) in wanted {
            match take_down(&namespace, &name, &pods, &engine, app) {
                Ok(outcome) => report.pods.push(PodReport {
                    namespace,
                    name,
                    outcome,
                }),
                Err(mut errors) => failures.append(&mut errors),
            }
        }
        match failures.len() {
            0 => {
                app.result(&report)?;
                Ok(ExitCode::Success)
            }
            1 => Err(failures.remove(0)),
            _ => Err(several(&failures)),
        }
    }
}

/// Takes one Pod down.
fn take_down(
    namespace: &str,
    name: &str,
    pods: &Pods,
    engine: &Engine,
    app: &mut App<'_>,
) -> Result<Outcome, Vec<CliError>> {
    let one = |error: CliError| vec![error];
    let _lock = pods
        .lock(namespace, name, &format!("down {namespace}/{name}"), app.deadline)
        .map_err(one)?;
    let Some(record) = pods.get(namespace, name).map_err(one)? else {
        return Ok(Outcome::AlreadySo);
    };
    let views = app
        .call("longshore down", |call| engine.list(call))
        .map_err(one)?;
    app.say(&format!("Pod {}:", record.title())).map_err(one)?;
    let mut errors = Vec::new();
    for mount in record.mounts.iter().rev() {
        if let Err(error) = take_away(&record, mount, &views, engine, app) {
            errors.push(error);
        }
    }
    for id in record.volume_ids() {
        // An `up` that died may have left it mounted without a publication whose end would unmount it.
        let unstaged = app.call("longshore down", |call| match engine.unstage(&id, call) {
            // Somebody else still uses it.
            Err(error) if error.kind() == ErrorKind::InUse => Ok(Outcome::AlreadySo),
            other => other,
        });
        if let Err(error) = unstaged {
            errors.push(error);
        }
    }
    if errors.is_empty() {
        errors.extend(verify(&record, engine, app).err());
    }
    if errors.is_empty() {
        errors.extend(clear(&record, pods, &app.dirs.run_dir).err());
    }
    if errors.is_empty() {
        Ok(Outcome::Changed)
    } else {
        Err(errors)
    }
}

/// Takes one volume off one container's directory.
fn take_away(
    record: &PodRecord,
    mount: &MountRecord,
    views: &[VolumeView],
    engine: &Engine,
    app: &mut App<'_>,
) -> Result<(), CliError> {
    let target = real(&mount.target(&record.dir));
    let other = views.iter().find(|view| {
        view.id != mount.id
            && view
                .publications
                .iter()
                .any(|publication| publication.target == target)
    });
    if let Some(other) = other {
        return Err(CliError::new(
            ExitCode::Conflict,
            format!(
                "{} holds the volume {}, which is not the Pod's; it was left alone",
                target.display(),
                other.id
            ),
        )
        .help(format!("longshore umount {}", target.display())));
    }
    let outcome = app.call("longshore down", |call| match engine.umount(&target, call) {
        Ok((outcome, _)) => Ok(outcome),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::AlreadySo),
        Err(error) => Err(error),
    })?;
    app.say(&format!(
        "  container {:?}: volume {:?} taken off {}{}",
        mount.container,
        mount.volume,
        target.display(),
        super::already(outcome)
    ))
}

/// Success only when the journal and the kernel show nothing any more (F7).
fn verify(record: &PodRecord, engine: &Engine, app: &App<'_>) -> Result<(), CliError> {
    let left_over = |what: String| {
        CliError::new(
            ExitCode::LeftOver,
            format!("Pod {} is not down: {what}", record.title()),
        )
        .help("`longshore show VOLUME` says who uses it; then repeat the call")
    };
    let views = app.call("longshore down", |call| engine.list(call))?;
    for mount in &record.mounts {
        let target = real(&mount.target(&record.dir));
        if views.iter().any(|view| {
            view.publications
                .iter()
                .any(|publication| publication.target == target)
        }) {
            return Err(left_over(format!("{} is still published", target.display())));
        }
    }
    let mounts = MountInfo::read_own().map_err(|error| {
        CliError::new(
            ExitCode::Failure,
            format!("cannot verify that nothing is left: {error}"),
        )
    })?;
    let dir = real(&record.dir);
    match mounts
        .entries()
        .iter()
        .find(|entry| entry.mount_point.starts_with(&dir))
    {
        Some(entry) => Err(left_over(format!(
            "{} is still a mount",
            entry.mount_point.display()
        ))),
        None => Ok(()),
    }
}

/// Removes the directories that `up` made, and then the record.
fn clear(record: &PodRecord, pods: &Pods, run_dir: &Path) -> Result<(), CliError> {
    Tree::new(&record.dir).remove(&record.made)?;
    let parent = default_parent(run_dir);
    if record.dir.parent() == Some(&parent) {
        // Other Pods may still be in it; an empty directory that stays harms nobody.
        let _ = std::fs::remove_dir(&parent);
    }
    pods.remove(record)
}

/// The path without links in the directories above it; what is at its end is not touched.
fn real(path: &Path) -> PathBuf {
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

fn several(failures: &[CliError]) -> CliError {
    let texts: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
    let code = failures.first().map_or(ExitCode::Failure, |failure| failure.code);
    CliError::new(
        code,
        format!(
            "{} things failed, the rest was taken down: {}",
            failures.len(),
            texts.join("; ")
        ),
    )
    .help("repeat the call when the causes are gone")
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        let line = |pod: &PodReport| match pod.outcome {
            Outcome::Changed => format!(
                "Pod {}/{} is down; nothing of it is left.\n",
                pod.namespace, pod.name
            ),
            Outcome::AlreadySo => format!("Pod {}/{} was not up.\n", pod.namespace, pod.name),
        };
        self.pods.iter().map(line).collect()
    }
}

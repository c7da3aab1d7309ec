//! One Pod on its way up, and back down again when something fails.

use std::path::{Path, PathBuf};

use longshore_volume::engine::{StagedVolume, VolumeView};
use longshore_volume::lock::Lock;
use longshore_volume::{Access, Engine, ErrorKind, Outcome, RecordedSource, VolumeError, VolumeId};

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::manifest::Pod;
use crate::output::human_bytes;
use crate::pods::{MountRecord, PodRecord, Pods};
use crate::tree::Tree;

use super::report::{MountReport, PodReport};

/// What this call did, so that it can be undone.
enum Done {
    Record(Option<PodRecord>),
    Directories,
    /// May be mounted without being published anywhere.
    Staged(VolumeId),
    Published(PathBuf),
}

/// A Pod on its way up.
pub(super) struct PodUp<'a> {
    pod: &'a Pod,
    engine: &'a Engine,
    records: &'a Pods,
    record: PodRecord,
    /// Volumes of which it was said what they are.
    said: Vec<bool>,
    done: Vec<Done>,
    _lock: Option<Lock>,
}

impl<'a> PodUp<'a> {
    pub(super) fn new(pod: &'a Pod, engine: &'a Engine, records: &'a Pods) -> Self {
        Self {
            pod,
            engine,
            records,
            record: PodRecord::plan(pod, Path::new("")),
            said: vec![false; pod.volumes.len()],
            done: Vec::new(),
            _lock: None,
        }
    }

    /// Brings everything up; what it did is noted for [`PodUp::undo`].
    pub(super) fn run(&mut self, dir: &Path, app: &mut App<'_>) -> Result<PodReport, CliError> {
        let (namespace, name) = (&self.pod.namespace, &self.pod.name);
        let title = format!("{namespace}/{name}");
        self._lock = Some(
            self.records
                .lock(namespace, name, &format!("up {title}"), app.deadline)?,
        );
        app.say(&format!(
            "Pod {title}: {} beneath {}",
            counted(self.pod),
            dir.display()
        ))?;
        for skipped in &self.pod.skipped {
            app.say(&format!("  {skipped}"))?;
        }
        self.write_record(dir)?;
        let tree = Tree::new(dir);
        let mut placed = Vec::new();
        for index in 0..self.pod.mounts.len() {
            let target = tree.make(&self.record.mounts[index].path)?;
            let outcome = self.place(index, &target, app)?;
            placed.push((target, outcome));
        }
        let views = app.call("longshore up", |call| self.engine.list(call))?;
        let mounts: Vec<MountReport> = placed
            .into_iter()
            .enumerate()
            .map(|(index, (target, outcome))| self.mount_report(index, target, outcome, &views))
            .collect();
        let outcome = mounts
            .iter()
            .fold(Outcome::AlreadySo, |sum, mount| mount.outcome.and(sum));
        Ok(PodReport {
            namespace: namespace.clone(),
            name: name.clone(),
            dir: dir.to_owned(),
            outcome,
            mounts,
        })
    }

    /// Writes down what is to be done before anything is.
    fn write_record(&mut self, dir: &Path) -> Result<(), CliError> {
        let tree = Tree::new(dir);
        let mut record = PodRecord::plan(self.pod, dir);
        let before = self.records.get(&self.pod.namespace, &self.pod.name)?;
        if let Some(before) = &before {
            refuse_other_plan(before, &record)?;
        }
        let mut made = before
            .as_ref()
            .map(|before| before.made.clone())
            .unwrap_or_default();
        for mount in &record.mounts {
            for path in tree.missing(&mount.path)? {
                if !made.contains(&path) {
                    made.push(path);
                }
            }
        }
        record.made = made;
        self.record = record;
        // Noted first: a write that fails after its rename is undone too.
        let known = before.is_some();
        self.done.push(Done::Record(before));
        if !known {
            self.done.push(Done::Directories);
        }
        self.records.put(&self.record)
    }

    /// Brings one volume to one container's directory.
    fn place(&mut self, index: usize, target: &Path, app: &mut App<'_>) -> Result<Outcome, CliError> {
        let mount = &self.pod.mounts[index];
        let volume = &self.pod.volumes[mount.volume];
        let owner = format!(
            "pod {}/{}, container {}",
            self.pod.namespace, self.pod.name, mount.container
        );
        let outcome = if mount.access == volume.spec.access {
            self.mount(mount.volume, target, &owner, app)?
        } else {
            self.place_read_only(mount.volume, target, &owner, app)?
        };
        app.say(&format!(
            "  container {:?}: /{} is at {}, {}{}",
            mount.container,
            mount.mount_path.display(),
            target.display(),
            mount.access,
            crate::commands::already(outcome)
        ))?;
        Ok(outcome)
    }

    fn mount(
        &mut self,
        volume: usize,
        target: &Path,
        owner: &str,
        app: &mut App<'_>,
    ) -> Result<Outcome, CliError> {
        let spec = &self.pod.volumes[volume].spec;
        let (outcome, mounted) = app.call(owner, |call| self.engine.mount(spec, target, call))?;
        if outcome == Outcome::Changed {
            self.done.push(Done::Published(target.to_owned()));
        }
        self.say_staged(volume, mounted.staged, app)?;
        Ok(outcome)
    }

    /// A read-only view of a read-write volume. Where the volume is not up yet it is mounted as it is, once, and the
    /// view then replaces that mount.
    fn place_read_only(
        &mut self,
        volume: usize,
        target: &Path,
        owner: &str,
        app: &mut App<'_>,
    ) -> Result<Outcome, CliError> {
        let engine = self.engine;
        let id = self.pod.volumes[volume].spec.id();
        let view = |app: &App<'_>| {
            app.call(owner, |call| {
                match engine.publish(&id, target, Access::ReadOnly, call) {
                    Ok((outcome, _)) => Ok(Some(outcome)),
                    Err(VolumeError::NotStaged { .. } | VolumeError::UnknownVolume { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            })
        };
        let mut outcome = view(app)?;
        if outcome.is_none() {
            self.done.push(Done::Staged(id.clone()));
            self.mount(volume, target, owner, app)?;
            app.call(owner, |call| engine.unpublish(&id, target, call))?;
            outcome = view(app)?;
        }
        let outcome = outcome.ok_or_else(|| {
            CliError::new(
                ExitCode::Conflict,
                format!("volume {id} was taken down while it was brought up"),
            )
        })?;
        if outcome == Outcome::Changed {
            self.done.push(Done::Published(target.to_owned()));
        }
        Ok(outcome)
    }

    /// Says once what a volume turned out to be.
    fn say_staged(&mut self, index: usize, staged: StagedVolume, app: &mut App<'_>) -> Result<(), CliError> {
        let volume = &self.pod.volumes[index];
        if std::mem::replace(&mut self.said[index], true) {
            return Ok(());
        }
        let source = RecordedSource::from(&volume.spec.source);
        let made = if staged.formatted {
            ", blank before, now formatted"
        } else {
            ""
        };
        app.say(&format!(
            "  volume {:?}: {source} is {} ({}, {}{made}), identity {} verified, mounted once per node, {}",
            volume.name,
            staged.device.device.display(),
            human_bytes(staged.device.size_bytes),
            staged.fs_type,
            staged.device.wwid,
            staged.access
        ))?;
        for warning in &staged.warnings {
            app.output
                .warn(&format!("volume {:?}: {}", volume.name, warning.message));
        }
        Ok(())
    }

    fn mount_report(
        &self,
        index: usize,
        target: PathBuf,
        outcome: Outcome,
        views: &[VolumeView],
    ) -> MountReport {
        let MountRecord {
            container,
            volume,
            id,
            access,
            ..
        } = self.record.mounts[index].clone();
        let view = views.iter().find(|view| view.id == id);
        let device = view.and_then(|view| view.device.as_ref());
        MountReport {
            container,
            volume,
            id,
            mount_path: Path::new("/").join(&self.pod.mounts[index].mount_path),
            target,
            access,
            fs_type: view
                .and_then(|view| view.staging.as_ref())
                .map(|staging| staging.fs_type),
            device: device.map(|device| device.path.clone()),
            size_bytes: device.map(|device| device.size_bytes),
            outcome,
        }
    }

    /// Undoes what this call did, last thing first; tells what it undid and what it could not.
    pub(super) fn undo(&mut self, app: &mut App<'_>) -> Vec<String> {
        let mut told = Vec::new();
        let mut clean = true;
        while let Some(done) = self.done.pop() {
            match self.undo_one(done, clean, app) {
                Ok(text) => told.extend(text),
                Err(error) => {
                    clean = false;
                    told.push(format!("NOT undone: {}", error.message));
                }
            }
        }
        told
    }

    fn undo_one(&self, done: Done, clean: bool, app: &App<'_>) -> Result<Option<String>, CliError> {
        let owner = "longshore up (undo)";
        let engine = self.engine;
        match done {
            Done::Published(target) => {
                let outcome = app.call_with_grace(owner, |call| match engine.umount(&target, call) {
                    Err(VolumeError::NotPublished { .. }) => Ok(Outcome::AlreadySo),
                    other => other.map(|(outcome, _)| outcome),
                })?;
                Ok((outcome == Outcome::Changed).then(|| format!("{} unmounted", target.display())))
            }
            Done::Staged(id) => {
                app.call_with_grace(owner, |call| match engine.unstage(&id, call) {
                    // Somebody else uses it meanwhile.
                    Err(error) if error.kind() == ErrorKind::InUse => Ok(Outcome::AlreadySo),
                    other => other,
                })?;
                Ok(None)
            }
            // The record stays as long as something is left, so that `down` finds it.
            Done::Directories | Done::Record(_) if !clean => Ok(None),
            Done::Directories => Tree::new(&self.record.dir)
                .remove(&self.record.made)
                .map(|()| None),
            Done::Record(Some(before)) => self.records.put(&before).map(|()| None),
            Done::Record(None) => self.records.remove(&self.record).map(|()| None),
        }
    }
}

/// A Pod that is up can only be brought up again as it is.
fn refuse_other_plan(before: &PodRecord, now: &PodRecord) -> Result<(), CliError> {
    let what = if before.dir != now.dir {
        format!("it is beneath {}", before.dir.display())
    } else if before.mounts != now.mounts {
        "its mounts are others than those of the manifest".to_owned()
    } else {
        return Ok(());
    };
    Err(CliError::new(
        ExitCode::Conflict,
        format!("Pod {} is up already, and {what}", now.title()),
    )
    .help(format!("take it down first: longshore down {}", now.title())))
}

fn counted(pod: &Pod) -> String {
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {}",
        plural(pod.volumes.len(), "volume"),
        plural(pod.mounts.len(), "mount")
    )
}

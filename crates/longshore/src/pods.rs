//! The record of Pods that are up, so that `down NAME` works and a `down` after a crash finds everything.

use std::path::{Path, PathBuf};
use std::time::Instant;

use longshore_volume::lock::Lock;
use longshore_volume::{Access, VolumeId};
use serde::{Deserialize, Serialize};

use crate::durable::{self, Existing};
use crate::exit::{CliError, ExitCode};
use crate::manifest::Pod;

/// The largest record that is read.
const MAX_RECORD_BYTES: u64 = 4 << 20;
/// The most records in the directory.
const MAX_RECORDS: usize = 10_000;

/// A Pod that is up, or on its way up or down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodRecord {
    /// `metadata.namespace`.
    pub(crate) namespace: String,
    /// `metadata.name`.
    pub(crate) name: String,
    /// The directory with one directory per container.
    pub(crate) dir: PathBuf,
    /// Directories beneath it (the empty path is itself) that did not exist before, outermost first.
    pub(crate) made: Vec<PathBuf>,
    /// Where volumes are published.
    pub(crate) mounts: Vec<MountRecord>,
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MountRecord {
    /// The container.
    pub(crate) container: String,
    /// The volume's name in the Pod.
    pub(crate) volume: String,
    /// The engine's name of the volume.
    pub(crate) id: VolumeId,
    /// Beneath [`PodRecord::dir`].
    pub(crate) path: PathBuf,
    /// Read-only or read-write.
    pub(crate) access: Access,
}

impl MountRecord {
    /// Where it is, given the Pod's directory.
    pub(crate) fn target(&self, dir: &Path) -> PathBuf {
        dir.join(&self.path)
    }
}

impl PodRecord {
    /// What is to be up for `pod` in `dir`.
    pub(crate) fn plan(pod: &Pod, dir: &Path) -> Self {
        let mounts = pod
            .mounts
            .iter()
            .map(|mount| {
                let volume = &pod.volumes[mount.volume];
                MountRecord {
                    container: mount.container.clone(),
                    volume: volume.name.clone(),
                    id: volume.spec.id(),
                    path: Path::new(&mount.container).join(&mount.mount_path),
                    access: mount.access,
                }
            })
            .collect();
        Self {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            dir: dir.to_owned(),
            made: Vec::new(),
            mounts,
        }
    }

    /// `namespace/name`, for people.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The volumes of the Pod, each once.
    pub(crate) fn volume_ids(&self) -> Vec<VolumeId> {
        let mut ids: Vec<VolumeId> = Vec::new();
        for mount in &self.mounts {
            if !ids.contains(&mount.id) {
                ids.push(mount.id.clone());
            }
        }
        ids
    }
}

/// Where Pods are unless `--dir` says otherwise: beside the run directory (`/run/longshore-pods`), because nothing is
/// ever published beneath Longshore's own directories.
pub(crate) fn default_parent(run_dir: &Path) -> PathBuf {
    let mut name = run_dir.file_name().unwrap_or_default().to_owned();
    name.push("-pods");
    run_dir.with_file_name(name)
}

/// All records.
#[derive(Debug)]
pub(crate) struct Pods {
    records: PathBuf,
    locks: PathBuf,
}

impl Pods {
    /// The records in `state_dir`, with their locks in `run_dir`.
    pub(crate) fn new(state_dir: &Path, run_dir: &Path) -> Self {
        Self {
            records: state_dir.join("pods"),
            locks: run_dir.join("locks"),
        }
    }

    /// Keeps other `up` and `down` of the same Pod out, until the lock is dropped.
    ///
    /// # Errors
    /// Another one did not end before the deadline.
    pub(crate) fn lock(
        &self,
        namespace: &str,
        name: &str,
        operation: &str,
        deadline: Instant,
    ) -> Result<Lock, CliError> {
        std::fs::create_dir_all(&self.locks)
            .map_err(|error| CliError::io("make the directory", &self.locks, &error))?;
        let path = self.locks.join(format!("pod-{namespace}_{name}"));
        Ok(Lock::acquire(&path, operation, deadline, &mut |_| {})?)
    }

    /// The record of a Pod.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Result<Option<PodRecord>, CliError> {
        read(&self.path(namespace, name))
    }

    /// Writes a record durably.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn put(&self, record: &PodRecord) -> Result<(), CliError> {
        let path = self.path(&record.namespace, &record.name);
        let failed = |error: &std::io::Error| CliError::io("write", &path, error);
        let text = serde_json::to_vec_pretty(record).map_err(|error| failed(&error.into()))?;
        durable::write(&path, &text, Existing::Replace).map_err(|error| failed(&error))
    }

    /// Removes a record durably.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn remove(&self, record: &PodRecord) -> Result<(), CliError> {
        let path = self.path(&record.namespace, &record.name);
        durable::remove(&path).map_err(|error| CliError::io("remove", &path, &error))
    }

    /// Finds a Pod by `NAME` or `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// None or more than one.
    pub(crate) fn find(&self, word: &str) -> Result<PodRecord, CliError> {
        let (namespace, name) = match word.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, word),
        };
        let mut matching = self.all()?;
        matching.retain(|record| {
            record.name == name && namespace.is_none_or(|wanted| record.namespace == wanted)
        });
        match matching.len() {
            1 => Ok(matching.remove(0)),
            0 => Err(
                CliError::new(ExitCode::NotFound, format!("no Pod {word:?} is up on this node"))
                    .help("`longshore ls` shows which volumes are in use, and for whom"),
            ),
            _ => {
                let titles: Vec<String> = matching.iter().map(PodRecord::title).collect();
                Err(CliError::new(
                    ExitCode::Usage,
                    format!("{word:?} means more than one Pod: {}", titles.join(", ")),
                )
                .help("write NAMESPACE/NAME"))
            }
        }
    }

    fn all(&self) -> Result<Vec<PodRecord>, CliError> {
        let entries = match std::fs::read_dir(&self.records) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CliError::io("read", &self.records, &error)),
        };
        let mut records = Vec::new();
        for entry in entries.take(MAX_RECORDS) {
            let path = entry
                .map_err(|error| CliError::io("read", &self.records, &error))?
                .path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(read(&path)?);
            }
        }
        Ok(records)
    }

    // Both names are DNS labels or subdomains, and `_` is in neither: the pair cannot be mistaken, nor be a path.
    fn path(&self, namespace: &str, name: &str) -> PathBuf {
        self.records.join(format!("{namespace}_{name}.json"))
    }
}

fn read(path: &Path) -> Result<Option<PodRecord>, CliError> {
    let text = durable::read(path, MAX_RECORD_BYTES).map_err(|error| CliError::io("read", path, &error))?;
    let Some(text) = text else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        CliError::new(
            ExitCode::Journal,
            format!("the record {} is damaged: {error}", path.display()),
        )
        .help(
            "`longshore ls` shows what is up; take it down with `longshore umount DIR`, then remove the file",
        )
    })
}

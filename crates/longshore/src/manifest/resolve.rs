//! From a Pod as it is written to volumes that the engine takes: Secrets are looked up, names are checked.

use std::path::PathBuf;

use longshore_iscsi::name::IscsiName;
use longshore_volume::{Access, Chap, FormatPolicy, FsType, IscsiVolume, Source, VolumeSpec};

use super::iscsi::IscsiSource;
use super::pod::{IscsiVolumeEntry, PodManifest};
use super::secret::{ChapPairs, Secret};
use crate::yaml::problem::Problems;
use crate::yaml::tree::Position;

/// The namespace of a Pod that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// A Pod whose volumes are ready for the engine.
#[derive(Debug)]
pub(crate) struct Pod {
    /// `metadata.name`.
    pub(crate) name: String,
    /// `metadata.namespace`, or `default`.
    pub(crate) namespace: String,
    /// Its iSCSI volumes.
    pub(crate) volumes: Vec<PodVolume>,
    /// Where its containers want them, in the file's order.
    pub(crate) mounts: Vec<PodMount>,
    /// What is left alone, in words.
    pub(crate) skipped: Vec<String>,
}

impl Pod {
    /// Whether the Pod is in the namespace that a manifest gives (or does not give).
    pub(crate) fn is_in(&self, namespace: Option<&str>) -> bool {
        self.namespace == namespace_or_default(namespace)
    }
}

/// The namespace that an object is in.
pub(crate) fn namespace_or_default(namespace: Option<&str>) -> String {
    namespace.unwrap_or(DEFAULT_NAMESPACE).to_owned()
}

/// An iSCSI volume of a Pod.
#[derive(Debug)]
pub(crate) struct PodVolume {
    /// Its name in the Pod.
    pub(crate) name: String,
    /// What the engine is asked for.
    pub(crate) spec: VolumeSpec,
}

/// A volume in a container.
#[derive(Debug)]
pub(crate) struct PodMount {
    /// The container's name.
    pub(crate) container: String,
    /// Index into [`Pod::volumes`].
    pub(crate) volume: usize,
    /// The path in the container without its root.
    pub(crate) mount_path: PathBuf,
    /// Whether the container, or the volume, may only be read.
    pub(crate) access: Access,
}

/// Makes `manifest` ready for the engine.
pub(crate) fn pod(manifest: &PodManifest, secrets: &[Secret], problems: &mut Problems) -> Option<Pod> {
    let namespace = namespace_or_default(manifest.namespace.as_deref());
    let mut volumes = Vec::new();
    for entry in &manifest.volumes {
        if !manifest.mounts.iter().any(|mount| mount.volume == entry.name) {
            problems.warn(
                entry.source.at,
                &entry.source.path,
                "no container mounts this volume; left alone",
            );
            continue;
        }
        volumes.extend(volume(entry, &namespace, secrets, problems));
    }
    let mounts = manifest
        .mounts
        .iter()
        .filter_map(|mount| {
            let index = volumes.iter().position(|volume| volume.name == mount.volume)?;
            let read_only = mount.read_only || volumes[index].spec.access.is_read_only();
            Some(PodMount {
                container: mount.container.clone(),
                volume: index,
                mount_path: mount.mount_path.clone(),
                access: Access::from_read_only(read_only),
            })
        })
        .collect();
    Some(Pod {
        name: manifest.name.clone(),
        namespace,
        volumes,
        mounts,
        skipped: manifest.skipped.clone(),
    })
}

fn volume(
    entry: &IscsiVolumeEntry,
    namespace: &str,
    secrets: &[Secret],
    problems: &mut Problems,
) -> Option<PodVolume> {
    let source = &entry.source;
    let field = |name: &str| format!("{}.{name}", source.path);
    let iqn = iscsi_name(&source.iqn, source.iqn_at, &field("iqn"), problems);
    let initiator_name = match &source.initiator_name {
        Some(name) => Some(iscsi_name(
            name,
            source.initiator_name_at,
            &field("initiatorName"),
            problems,
        )?),
        None => None,
    };
    let fs_type = match source.fs_type.as_deref().map(str::parse::<FsType>) {
        Some(Err(problem)) => {
            problems.error(source.fs_type_at, &field("fsType"), problem);
            return None;
        }
        Some(Ok(fs_type)) => Some(fs_type),
        None => None,
    };
    let chap = match &source.secret {
        Some(reference) => chap(source, reference, namespace, secrets, problems)?,
        None => None,
    };
    let mut portals = source.portals.iter().map(ToString::to_string);
    let mut iscsi = IscsiVolume::new(portals.next()?, iqn?, source.lun);
    iscsi.portals = portals.collect();
    iscsi.iscsi_interface = source.interface.clone();
    iscsi.initiator_name = initiator_name;
    iscsi.chap = chap;
    let mut spec = VolumeSpec::new(Source::Iscsi(iscsi));
    spec.fs_type = fs_type;
    spec.access = Access::from_read_only(source.read_only);
    spec.mount_options = entry.annotations.mount_options.clone();
    spec.wwid = entry.annotations.wwid.clone();
    if entry.annotations.format_if_blank {
        spec.format = FormatPolicy::IfBlank;
    }
    if let Err(error) = spec.validate() {
        problems.error(source.at, &source.path, error.to_string());
        return None;
    }
    Some(PodVolume {
        name: entry.name.clone(),
        spec,
    })
}

fn iscsi_name(written: &str, at: Position, field: &str, problems: &mut Problems) -> Option<String> {
    match written.parse::<IscsiName>() {
        Ok(name) => Some(name.to_string()),
        Err(error) => {
            problems.error(at, field, error.to_string());
            None
        }
    }
}

/// `None`: the Secret lacks something, which is noted; `Some(None)`: the session needs no CHAP.
fn chap(
    source: &IscsiSource,
    (name, at): &(String, Position),
    namespace: &str,
    secrets: &[Secret],
    problems: &mut Problems,
) -> Option<Option<Chap>> {
    if !source.chap_session {
        return Some(None);
    }
    let field = format!("{}.secretRef.name", source.path);
    let fits = |secret: &&Secret| {
        secret.name == *name
            && secret
                .namespace
                .as_deref()
                .is_none_or(|theirs| theirs == namespace)
    };
    let Some(secret) = secrets.iter().find(fits) else {
        problems.error_with(
            *at,
            &field,
            format!("no Secret {name:?} in namespace {namespace:?} was given"),
            "add it to the file as a document of its own, or name its file with --secrets",
        );
        return None;
    };
    match secret.chap("node.session") {
        Ok(pairs) => Some(Some(pairs.into_chap())),
        Err(problem) => {
            problems.error(*at, &field, problem);
            None
        }
    }
}

impl ChapPairs {
    /// As the engine takes it.
    pub(crate) fn into_chap(self) -> Chap {
        Chap {
            username: self.ours.user,
            password: self.ours.secret,
            mutual: self.theirs.map(|theirs| (theirs.user, theirs.secret)),
        }
    }
}

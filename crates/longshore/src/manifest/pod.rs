//! A Kubernetes Pod: its iSCSI volumes, and where its containers want them.

use std::collections::HashMap;

use super::annotations::{self, Annotations};
use super::iscsi::{self, IscsiSource};
use super::metadata::{self, label};
use super::mounts::{self, ContainerMount};
use crate::yaml::fields::Object;
use crate::yaml::problem::Problems;
use crate::yaml::tree::Position;

/// Fields of PodSpec; Longshore reads `volumes`, `containers` and `initContainers`.
const POD_SPEC: [&str; 41] = [
    "volumes",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
];

/// Kinds of volumes that Kubernetes knows beside `iscsi`; Longshore leaves them alone.
const OTHER_VOLUMES: [&str; 29] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

/// The most volumes of one Pod.
const MAX_VOLUMES: usize = 256;

/// A Pod as far as its iSCSI volumes go.
#[derive(Debug, Clone)]
pub(crate) struct PodManifest {
    /// `metadata.name`.
    pub(crate) name: String,
    /// `metadata.namespace`.
    pub(crate) namespace: Option<String>,
    /// Its `iscsi:` volumes in the file's order.
    pub(crate) volumes: Vec<IscsiVolumeEntry>,
    /// Where containers want them; only mounts of `iscsi:` volumes.
    pub(crate) mounts: Vec<ContainerMount>,
    /// What Longshore leaves alone, in words.
    pub(crate) skipped: Vec<String>,
}

/// A volume of the Pod that is ours.
#[derive(Debug, Clone)]
pub(crate) struct IscsiVolumeEntry {
    /// Its name in the Pod.
    pub(crate) name: String,
    /// What `iscsi:` says.
    pub(crate) source: IscsiSource,
    /// What the annotations say of it.
    pub(crate) annotations: Annotations,
}

/// A volume's name and whether it is ours.
pub(crate) struct VolumeName {
    /// The kind of volume: `iscsi`, or one that we leave alone.
    pub(crate) kind: String,
    /// Where the name stands.
    pub(crate) at: Position,
}

impl PodManifest {
    /// Reads a document of kind Pod.
    pub(crate) fn of(document: &Object<'_>, problems: &mut Problems) -> Option<Self> {
        document.refuse_unknown(&["apiVersion", "kind", "metadata", "spec", "status"], problems);
        let metadata = metadata::read(document, problems);
        let spec_node = document.required("spec", problems)?;
        let spec = Object::of(spec_node, "spec", problems)?;
        spec.warn_unknown(&POD_SPEC, problems);

        let mut names = HashMap::new();
        let mut volumes = Vec::new();
        let items = spec.list("volumes", problems);
        if items.len() > MAX_VOLUMES {
            problems.error(
                spec.place("volumes"),
                "spec.volumes",
                format!("more than {MAX_VOLUMES} volumes"),
            );
            return None;
        }
        for (node, path) in items {
            if let Some(object) = Object::of(node, &path, problems) {
                volumes.extend(read_volume(&object, &mut names, problems));
            }
        }
        let mounts = mounts::read(&spec, &names, problems);
        let metadata = metadata?;
        annotations::read(&metadata, &names, &mut volumes, problems);
        let skipped = skipped(&names, &mounts);
        if volumes.is_empty() && !names.values().any(|name| name.kind == "iscsi") {
            problems.error_with(
                spec.place("volumes"),
                "spec.volumes",
                "no volume of kind `iscsi`: there is nothing to do",
                "add one under spec.volumes",
            );
        }
        Some(Self {
            name: metadata.name,
            namespace: metadata.namespace,
            volumes,
            mounts: mounts.mounts,
            skipped,
        })
    }
}

fn read_volume(
    object: &Object<'_>,
    names: &mut HashMap<String, VolumeName>,
    problems: &mut Problems,
) -> Option<IscsiVolumeEntry> {
    let name = label(object, "name", problems)?.to_owned();
    let at = object.place("name");
    if let Some(first) = names.get(&name) {
        problems.error(
            at,
            &object.path_of("name"),
            format!(
                "the volume {name:?} is given twice (first in line {})",
                first.at.line
            ),
        );
        return None;
    }
    let kinds: Vec<_> = object
        .entries()
        .iter()
        .filter(|entry| entry.key != "name")
        .collect();
    let (kind, source) = match kinds.as_slice() {
        [] => ("emptyDir".to_owned(), None),
        [one] if one.key == "iscsi" => ("iscsi".to_owned(), Some(*one)),
        [one] if OTHER_VOLUMES.contains(&one.key.as_str()) => (one.key.clone(), None),
        many => {
            let mut known = vec!["name", "iscsi"];
            known.extend(OTHER_VOLUMES);
            object.refuse_unknown(&known, problems);
            if many
                .iter()
                .filter(|entry| known.contains(&entry.key.as_str()))
                .count()
                > 1
            {
                problems.error(object.at, &object.path, "a volume must be of one kind only");
            }
            // Mounts of it are known, so that one mistake is not reported twice.
            ("iscsi".to_owned(), None)
        }
    };
    names.insert(name.clone(), VolumeName { kind, at });
    let source = source?;
    let path = object.path_of("iscsi");
    Some(IscsiVolumeEntry {
        name,
        source: iscsi::read(&source.value, &path, problems)?,
        annotations: Annotations::default(),
    })
}

fn skipped(names: &HashMap<String, VolumeName>, mounts: &mounts::Mounts) -> Vec<String> {
    let mut lines: Vec<String> = mounts
        .other
        .iter()
        .map(|(container, volume)| {
            let kind = names.get(volume).map_or("other", |name| name.kind.as_str());
            format!("container {container:?}: the volume {volume:?} is of kind {kind}; left alone")
        })
        .collect();
    lines.dedup();
    lines
}

//! `containers[].volumeMounts`: which volume each container wants, and where.

use std::collections::HashMap;
use std::path::PathBuf;

use super::metadata::label;
use super::pod::VolumeName;
use crate::yaml::fields::{Object, similar};
use crate::yaml::problem::Problems;
use crate::yaml::tree::Position;

/// Fields of Container; Longshore reads `name`, `volumeMounts` and `volumeDevices`.
const CONTAINER: [&str; 27] = [
    "name",
    "image",
    "volumeMounts",
    "volumeDevices",
    "args",
    "command",
    "env",
    "envFrom",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "workingDir",
    "targetContainerName",
    "stopSignal",
];
const VOLUME_MOUNT: [&str; 7] = [
    "name",
    "mountPath",
    "readOnly",
    "subPath",
    "subPathExpr",
    "mountPropagation",
    "recursiveReadOnly",
];

/// The longest path that Linux takes (PATH_MAX).
const MAX_PATH_BYTES: usize = 4096;
/// The longest name of a directory (NAME_MAX).
const MAX_NAME_BYTES: usize = 255;
/// The most mounts of one Pod.
const MAX_MOUNTS: usize = 1024;

/// A container's wish to have a volume at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerMount {
    /// The container's name: a DNS label, so a safe directory name.
    pub(crate) container: String,
    /// The volume's name in the Pod.
    pub(crate) volume: String,
    /// The path in the container, without its leading `/`, and without `.` and `..`.
    pub(crate) mount_path: PathBuf,
    /// Whether this container may only read.
    pub(crate) read_only: bool,
}

/// All mounts of a Pod.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// Mounts of `iscsi:` volumes.
    pub(crate) mounts: Vec<ContainerMount>,
    /// Container and volume name of mounts that are not ours.
    pub(crate) other: Vec<(String, String)>,
}

/// Reads the mounts of all containers of `spec`.
pub(crate) fn read(
    spec: &Object<'_>,
    names: &HashMap<String, VolumeName>,
    problems: &mut Problems,
) -> Mounts {
    let mut found = Mounts::default();
    let mut containers: HashMap<String, Position> = HashMap::new();
    if spec.get("containers").is_none() {
        problems.error(
            spec.at,
            "spec.containers",
            "this field is required and is missing",
        );
    }
    for key in ["initContainers", "containers"] {
        for (node, path) in spec.list(key, problems) {
            let Some(container) = Object::of(node, &path, problems) else {
                continue;
            };
            container.warn_unknown(&CONTAINER, problems);
            let Some(name) = label(&container, "name", problems).map(str::to_owned) else {
                continue;
            };
            let at = container.place("name");
            if let Some(first) = containers.insert(name.clone(), at) {
                problems.error(
                    at,
                    &container.path_of("name"),
                    format!(
                        "the container {name:?} is given twice (first in line {})",
                        first.line
                    ),
                );
                continue;
            }
            read_container(&container, &name, names, &mut found, problems);
        }
    }
    found
}

fn read_container(
    container: &Object<'_>,
    name: &str,
    names: &HashMap<String, VolumeName>,
    found: &mut Mounts,
    problems: &mut Problems,
) {
    let mut places: Vec<(PathBuf, Position)> = Vec::new();
    for (node, path) in container.list("volumeMounts", problems) {
        let Some(mount) = Object::of(node, &path, problems) else {
            continue;
        };
        mount.refuse_unknown(&VOLUME_MOUNT, problems);
        let volume = known_volume(&mount, names, problems);
        let read_only = mount.boolean("readOnly", problems);
        let mount_path = read_path(&mount, problems);
        let (Some(volume), Some(mount_path)) = (volume, mount_path) else {
            continue;
        };
        if names.get(&volume).is_some_and(|known| known.kind != "iscsi") {
            found.other.push((name.to_owned(), volume));
            continue;
        }
        refuse_sub_paths(&mount, problems);
        let at = mount.place("mountPath");
        if let Some((other, first)) = places
            .iter()
            .find(|(other, _)| other.starts_with(&mount_path) || mount_path.starts_with(other))
        {
            let relation = if *other == mount_path {
                "the same path as"
            } else {
                "inside of, or around,"
            };
            problems.error(
                at,
                &mount.path_of("mountPath"),
                format!(
                    "{relation} the mount in line {}; each mount needs a path of its own",
                    first.line
                ),
            );
            continue;
        }
        places.push((mount_path.clone(), at));
        if found.mounts.len() == MAX_MOUNTS {
            problems.error(at, &path, format!("more than {MAX_MOUNTS} mounts in one Pod"));
            return;
        }
        found.mounts.push(ContainerMount {
            container: name.to_owned(),
            volume,
            mount_path,
            read_only,
        });
    }
    refuse_devices(container, names, problems);
}

fn known_volume(
    mount: &Object<'_>,
    names: &HashMap<String, VolumeName>,
    problems: &mut Problems,
) -> Option<String> {
    let volume = mount.required_text("name", problems)?;
    if names.contains_key(volume) {
        return Some(volume.to_owned());
    }
    let (at, path) = (mount.place("name"), mount.path_of("name"));
    let known: Vec<&str> = names.keys().map(String::as_str).collect();
    let problem = format!("no volume of this Pod is named {volume:?}");
    match similar(volume, &known) {
        Some(meant) => problems.error_with(at, &path, problem, format!("did you mean {meant:?}?")),
        None => problems.error_with(at, &path, problem, "add it under spec.volumes"),
    }
    None
}

fn read_path(mount: &Object<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let written = mount.required_text("mountPath", problems)?;
    match clean_path(written) {
        Ok(path) => Some(path),
        Err(problem) => {
            problems.error(mount.place("mountPath"), &mount.path_of("mountPath"), problem);
            None
        }
    }
}

/// The path without its root, `.` and doubled slashes.
fn clean_path(written: &str) -> Result<PathBuf, String> {
    if written.len() > MAX_PATH_BYTES {
        return Err(format!("longer than {MAX_PATH_BYTES} bytes"));
    }
    let Some(rest) = written.strip_prefix('/') else {
        return Err(format!("{written:?} is not an absolute path"));
    };
    let mut clean = PathBuf::new();
    for part in rest.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err("`..` would lead out of the container's directory".to_owned());
        }
        if part.len() > MAX_NAME_BYTES {
            return Err(format!("a name in it is longer than {MAX_NAME_BYTES} bytes"));
        }
        if part.chars().any(|c| c.is_control() || c == ':') {
            return Err("control characters and `:` are not allowed".to_owned());
        }
        clean.push(part);
    }
    if clean.as_os_str().is_empty() {
        return Err("a volume cannot be mounted over the container's root".to_owned());
    }
    Ok(clean)
}

fn refuse_sub_paths(mount: &Object<'_>, problems: &mut Problems) {
    for key in ["subPath", "subPathExpr"] {
        if mount.text(key, problems).is_some_and(|path| !path.is_empty()) {
            problems.error_with(
                mount.place(key),
                &mount.path_of(key),
                "not supported: a volume is published whole",
                "mount the volume and use the directory inside it",
            );
        }
    }
    if mount
        .text("mountPropagation", problems)
        .is_some_and(|value| value != "None")
    {
        problems.error(
            mount.place("mountPropagation"),
            &mount.path_of("mountPropagation"),
            "only `None` is supported",
        );
    }
}

fn refuse_devices(container: &Object<'_>, names: &HashMap<String, VolumeName>, problems: &mut Problems) {
    for (node, path) in container.list("volumeDevices", problems) {
        let Some(device) = Object::of(node, &path, problems) else {
            continue;
        };
        device.refuse_unknown(&["name", "devicePath"], problems);
        let ours = known_volume(&device, names, problems)
            .is_some_and(|volume| names.get(&volume).is_some_and(|known| known.kind == "iscsi"));
        if ours {
            problems.error_with(
                device.at,
                &path,
                "raw block volumes of a Pod are not supported",
                "use `longshore attach`, which prints the device's path",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_paths_stay_beneath_the_container() {
        assert_eq!(clean_path("/data"), Ok(PathBuf::from("data")));
        assert_eq!(clean_path("//var/./lib//x/"), Ok(PathBuf::from("var/lib/x")));
        for bad in ["", "data", "/", "/./", "/a/../b", "/..", "/a\nb", "/a:b"] {
            assert!(clean_path(bad).is_err(), "{bad:?}");
        }
        assert!(clean_path(&format!("/{}", "x".repeat(256))).is_err());
        assert!(clean_path(&"/x".repeat(3000)).is_err());
    }
}

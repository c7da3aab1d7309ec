//! Kubernetes manifests: Pods with `iscsi:` volumes and the Secrets that they name.
//!
//! What is read is read strictly: a wrong type, an unknown field, a name that leads nowhere is an error with
//! file, line, column and field. What Longshore does not read (images, probes, other kinds of volumes) is left
//! alone; an unknown name there is a warning, because it may be a misspelt `volumeMounts`.

mod annotations;
mod iscsi;
mod metadata;
mod mounts;
mod pod;
mod resolve;
mod secret;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::yaml::fields::{self, Object};
use crate::yaml::problem::{Problem, Problems};
use crate::yaml::tree::{self, Position};
use crate::yaml::{display, read_file};

use pod::PodManifest;
pub(crate) use resolve::Pod;
use secret::Secret;

/// Reads the Pods of `file` (`-` is standard input), with the Secrets of it and of `secrets`.
///
/// # Errors
/// Everything that is wrong in the files, each with its place.
pub(crate) fn load(file: &Path, secrets: &[std::path::PathBuf]) -> Result<Manifest, Vec<Problem>> {
    let mut loader = Loader::default();
    loader.read_file(file, false);
    for file in secrets {
        loader.read_file(file, true);
    }
    loader.finish()
}

/// Reads the Secrets of `file`, for commands that take a volume from a URL.
///
/// # Errors
/// Everything that is wrong in the file, each with its place.
pub(crate) fn load_chap(file: &Path) -> Result<(secret::ChapPairs, Vec<Problem>), Vec<Problem>> {
    load_chap_for(file, "node.session")
}

/// As [`load_chap`], for discovery.
///
/// # Errors
/// Everything that is wrong in the file, each with its place.
pub(crate) fn load_discovery_chap(file: &Path) -> Result<(secret::ChapPairs, Vec<Problem>), Vec<Problem>> {
    load_chap_for(file, "discovery.sendtargets")
}

fn load_chap_for(file: &Path, phase: &str) -> Result<(secret::ChapPairs, Vec<Problem>), Vec<Problem>> {
    let mut loader = Loader::default();
    loader.read_file(file, true);
    if !loader.errors.is_empty() {
        return Err(loader.errors);
    }
    let whole_file = |problem: String| {
        let mut problems = Problems::new(display(file));
        problems.error(Position { line: 1, column: 1 }, "", problem);
        problems.into_parts().0
    };
    match loader.secrets.as_slice() {
        [one] => Ok((one.chap(phase).map_err(whole_file)?, loader.warnings)),
        [] => Err(whole_file("no document of kind Secret".to_owned())),
        _ => Err(whole_file(
            "more than one Secret: give a file with one".to_owned(),
        )),
    }
}

/// Namespace and name of the Pods of `file`; their volumes and Secrets are not looked at.
///
/// # Errors
/// The file is not YAML, or a Pod has no name.
pub(crate) fn pod_names(file: &Path) -> Result<Vec<(String, String)>, Vec<Problem>> {
    let mut problems = Problems::new(display(file));
    let start = Position { line: 1, column: 1 };
    let mut names = Vec::new();
    match read_file(file)
        .map_err(|problem| (start, problem))
        .and_then(|text| tree::parse(&text).map_err(|error| (error.at, error.problem)))
    {
        Err((at, problem)) => problems.error(at, "", problem),
        Ok(documents) => {
            for document in &documents {
                let Some(object) = Object::of(document, "", &mut problems) else {
                    continue;
                };
                if object.required_text("kind", &mut problems) != Some("Pod") {
                    continue;
                }
                if let Some(metadata) = metadata::read(&object, &mut problems) {
                    names.push((
                        resolve::namespace_or_default(metadata.namespace.as_deref()),
                        metadata.name,
                    ));
                }
            }
        }
    }
    let (mut errors, _) = problems.into_parts();
    if errors.is_empty() && names.is_empty() {
        let mut problems = Problems::new(display(file));
        problems.error(start, "", "no document of kind Pod");
        errors = problems.into_parts().0;
    }
    if errors.is_empty() { Ok(names) } else { Err(errors) }
}

/// What the files of a call hold.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// The Pods, at least one.
    pub(crate) pods: Vec<Pod>,
    /// What looks wrong but does not stop the work.
    pub(crate) warnings: Vec<Problem>,
}

#[derive(Default)]
struct Loader {
    pods: Vec<(PodManifest, String)>,
    secrets: Vec<Secret>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Loader {
    fn read_file(&mut self, file: &Path, only_secrets: bool) {
        let name = display(file);
        let mut problems = Problems::new(name.clone());
        match read_file(file) {
            Ok(text) => self.read_text(&text, &name, only_secrets, &mut problems),
            Err(problem) => problems.error(Position { line: 1, column: 1 }, "", problem),
        }
        let (errors, warnings) = problems.into_parts();
        self.errors.extend(errors);
        self.warnings.extend(warnings);
    }

    fn read_text(&mut self, text: &str, name: &str, only_secrets: bool, problems: &mut Problems) {
        let documents = match tree::parse(text) {
            Ok(documents) => documents,
            Err(error) => return problems.error(error.at, "", error.problem),
        };
        if documents.is_empty() {
            problems.error(Position { line: 1, column: 1 }, "", "the file is empty");
        }
        let mut pods = 0;
        for document in &documents {
            let Some(object) = Object::of(document, "", problems) else {
                continue;
            };
            let Some(kind) = object.required_text("kind", problems) else {
                continue;
            };
            let version = object.required_text("apiVersion", problems);
            match kind {
                "Pod" | "Secret" if version.is_some_and(|version| version != "v1") => {
                    problems.error(
                        object.place("apiVersion"),
                        "apiVersion",
                        format!("a {kind} is of `v1`"),
                    );
                }
                "Pod" if only_secrets => {
                    problems.warn(object.at, "kind", "a Pod in a file of Secrets is left alone");
                }
                "Pod" => {
                    pods += 1;
                    if let Some(pod) = PodManifest::of(&object, problems) {
                        self.pods.push((pod, name.to_owned()));
                    }
                }
                "Secret" => self.secrets.extend(Secret::of(&object, problems)),
                other => {
                    let hint = fields::similar(other, &["Pod", "Secret"])
                        .map(|meant| format!("; did you mean {meant}?"))
                        .unwrap_or_default();
                    problems.warn(
                        object.place("kind"),
                        "kind",
                        format!("a document of kind {other:?} is left alone{hint}"),
                    );
                }
            }
        }
        if pods == 0 && !only_secrets && !documents.is_empty() {
            problems.error(Position { line: 1, column: 1 }, "", "no document of kind Pod");
        }
    }

    fn finish(mut self) -> Result<Manifest, Vec<Problem>> {
        let mut pods: Vec<Pod> = Vec::new();
        if self.errors.is_empty() {
            for (pod, file) in &self.pods {
                let mut problems = Problems::new(file.clone());
                if pods
                    .iter()
                    .any(|known| known.name == pod.name && known.is_in(pod.namespace.as_deref()))
                {
                    let at = Position { line: 1, column: 1 };
                    problems.error(
                        at,
                        "metadata.name",
                        format!("the Pod {:?} is given twice", pod.name),
                    );
                }
                pods.extend(resolve::pod(pod, &self.secrets, &mut problems));
                let (errors, warnings) = problems.into_parts();
                self.errors.extend(errors);
                self.warnings.extend(warnings);
            }
        }
        if self.errors.is_empty() {
            Ok(Manifest {
                pods,
                warnings: self.warnings,
            })
        } else {
            Err(self.errors)
        }
    }
}

//! `metadata:` of a Kubernetes object, and the grammar of the names in it.

use crate::yaml::fields::Object;
use crate::yaml::problem::Problems;

/// The fields of ObjectMeta; most of them say nothing to Longshore.
const KNOWN: [&str; 15] = [
    "name",
    "namespace",
    "annotations",
    "labels",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "selfLink",
];

/// The parts of ObjectMeta that Longshore reads.
#[derive(Debug, Clone)]
pub(crate) struct Metadata<'a> {
    /// The object's name: a DNS subdomain.
    pub(crate) name: String,
    /// The object's namespace: a DNS label.
    pub(crate) namespace: Option<String>,
    /// Its annotations.
    pub(crate) annotations: Option<Object<'a>>,
}

/// Reads `metadata:` of `document`.
pub(crate) fn read<'a>(document: &Object<'a>, problems: &mut Problems) -> Option<Metadata<'a>> {
    let node = document.required("metadata", problems)?;
    let metadata = Object::of(node, &document.path_of("metadata"), problems)?;
    metadata.warn_unknown(&KNOWN, problems);
    let name = metadata.required_text("name", problems)?.to_owned();
    if !is_subdomain(&name) {
        problems.error(
            metadata.place("name"),
            &metadata.path_of("name"),
            "not a name of a Kubernetes object (lower-case letters, digits, `-` and `.`, at most 253)",
        );
        return None;
    }
    let namespace = metadata.text("namespace", problems).map(str::to_owned);
    if let Some(namespace) = &namespace {
        if !is_label(namespace) {
            label_problem(&metadata, "namespace", problems);
            return None;
        }
    }
    let annotations = metadata.object("annotations", problems);
    Some(Metadata {
        name,
        namespace,
        annotations,
    })
}

/// Reads a required field that must be a DNS label (names of volumes and containers).
pub(crate) fn label<'a>(object: &Object<'a>, key: &str, problems: &mut Problems) -> Option<&'a str> {
    let name = object.required_text(key, problems)?;
    if is_label(name) {
        return Some(name);
    }
    label_problem(object, key, problems);
    None
}

fn label_problem(object: &Object<'_>, key: &str, problems: &mut Problems) {
    problems.error(
        object.place(key),
        &object.path_of(key),
        "not a DNS label (lower-case letters, digits and `-`, beginning and ending with a letter or digit, at \
         most 63)",
    );
}

/// RFC 1123 label as Kubernetes checks it.
pub(crate) fn is_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// RFC 1123 subdomain as Kubernetes checks it.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["a", "web-0", "a.b", "0"] {
            assert!(is_subdomain(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "A",
            "-a",
            "a-",
            "a..b",
            "a b",
            "a_b",
            &"x".repeat(64),
        ] {
            assert!(!is_subdomain(bad), "{bad}");
        }
        assert!(!is_label("a.b"));
    }
}

//! Typed access to the fields of a mapping; a wrong type, a missing or an unknown field is noted with its place.

use super::problem::Problems;
use super::tree::{Entry, Node, Position, Value, is_boolean, is_number};

/// How alike two names must be (Jaro-Winkler) for one to be offered as a correction of the other.
const SIMILARITY: f64 = 0.84;

/// A mapping with the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    entries: &'a [Entry],
    /// Where the mapping starts.
    pub(crate) at: Position,
    /// The path from the document's root.
    pub(crate) path: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}", self.key, self.value)
    }
}

impl<'a> Object<'a> {
    /// Takes `node` as a mapping.
    pub(crate) fn of(node: &'a Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Mapping(entries) => Some(Self {
                entries,
                at: node.at,
                path: path.to_owned(),
            }),
            _ => {
                wrong_type(node, path, "a mapping", problems);
                None
            }
        }
    }

    /// The path of one of its fields.
    pub(crate) fn path_of(&self, key: &str) -> String {
        let plain = key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match (self.path.is_empty(), plain) {
            (true, true) => key.to_owned(),
            (false, true) => format!("{}.{key}", self.path),
            (_, false) => format!("{}[{key:?}]", self.path),
        }
    }

    /// All keys in the file's order.
    pub(crate) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// A field; an empty one counts as absent, as in Kubernetes.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
            .filter(|node| !matches!(node.value, Value::Null))
    }

    /// Where a field stands, or the mapping itself when it is absent.
    pub(crate) fn place(&self, key: &str) -> Position {
        self.get(key).map_or(self.at, |node| node.at)
    }

    /// A field that must be there.
    pub(crate) fn required(&self, key: &str, problems: &mut Problems) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            problems.error(
                self.at,
                &self.path_of(key),
                "this field is required and is missing",
            );
        }
        node
    }

    /// An optional text.
    pub(crate) fn text(&self, key: &str, problems: &mut Problems) -> Option<&'a str> {
        text(self.get(key)?, &self.path_of(key), problems)
    }

    /// A text that must be there and must not be empty.
    pub(crate) fn required_text(&self, key: &str, problems: &mut Problems) -> Option<&'a str> {
        let node = self.required(key, problems)?;
        let found = text(node, &self.path_of(key), problems)?;
        if found.is_empty() {
            problems.error(node.at, &self.path_of(key), "this field must not be empty");
            return None;
        }
        Some(found)
    }

    /// An optional boolean, `false` when absent.
    pub(crate) fn boolean(&self, key: &str, problems: &mut Problems) -> bool {
        let Some(node) = self.get(key) else { return false };
        match &node.value {
            Value::Plain(word) if matches!(word.as_str(), "true" | "True" | "TRUE") => return true,
            Value::Plain(word) if matches!(word.as_str(), "false" | "False" | "FALSE") => return false,
            Value::Plain(word) if is_boolean(word) => {
                problems.error(node.at, &self.path_of(key), "write `true` or `false`");
            }
            _ => wrong_type(node, &self.path_of(key), "true or false", problems),
        }
        false
    }

    /// A number that must be there, between `low` and `high`.
    pub(crate) fn required_number(
        &self,
        key: &str,
        low: u64,
        high: u64,
        problems: &mut Problems,
    ) -> Option<u64> {
        let node = self.required(key, problems)?;
        let path = self.path_of(key);
        let Value::Plain(word) = &node.value else {
            match &node.value {
                Value::Text(word) if word.parse::<u64>().is_ok() => {
                    problems.error_with(
                        node.at,
                        &path,
                        "expected a number, found a string",
                        "remove the quotes",
                    );
                }
                _ => wrong_type(node, &path, "a number", problems),
            }
            return None;
        };
        match word.parse::<u64>() {
            Ok(number) if (low..=high).contains(&number) => Some(number),
            _ if is_number(word) => {
                problems.error(
                    node.at,
                    &path,
                    format!("{} is not a whole number from {low} to {high}", word.as_str()),
                );
                None
            }
            _ => {
                wrong_type(node, &path, "a number", problems);
                None
            }
        }
    }

    /// An optional list; each item comes with its path.
    pub(crate) fn list(&self, key: &str, problems: &mut Problems) -> Vec<(&'a Node, String)> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        match &node.value {
            Value::Sequence(items) => items
                .iter()
                .enumerate()
                .map(|(i, item)| (item, format!("{path}[{i}]")))
                .collect(),
            _ => {
                wrong_type(node, &path, "a list", problems);
                Vec::new()
            }
        }
    }

    /// An optional mapping.
    pub(crate) fn object(&self, key: &str, problems: &mut Problems) -> Option<Object<'a>> {
        Object::of(self.get(key)?, &self.path_of(key), problems)
    }

    /// Refuses every field that is not in `known`, and offers the one that was probably meant.
    pub(crate) fn refuse_unknown(&self, known: &[&str], problems: &mut Problems) {
        for entry in self
            .entries
            .iter()
            .filter(|entry| !known.contains(&entry.key.as_str()))
        {
            let path = self.path_of(&entry.key);
            match similar(&entry.key, known) {
                Some(meant) => problems.error_with(
                    entry.key_at,
                    &path,
                    "unknown field",
                    format!("did you mean `{meant}`?"),
                ),
                None => problems.error_with(
                    entry.key_at,
                    &path,
                    "unknown field",
                    format!("known here: {}", known.join(", ")),
                ),
            }
        }
    }

    /// Warns of every field that is not in `known` (for objects that Longshore reads only in part).
    pub(crate) fn warn_unknown(&self, known: &[&str], problems: &mut Problems) {
        for entry in self
            .entries
            .iter()
            .filter(|entry| !known.contains(&entry.key.as_str()))
        {
            let path = self.path_of(&entry.key);
            let hint = similar(&entry.key, known)
                .map(|meant| format!("; did you mean `{meant}`?"))
                .unwrap_or_default();
            problems.warn(entry.key_at, &path, format!("unknown field, ignored{hint}"));
        }
    }
}

/// The most similar of `known` to `name`, when one is similar enough.
pub(crate) fn similar<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&name, &candidate.to_ascii_lowercase()),
                *candidate,
            )
        })
        .filter(|(score, _)| *score >= SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Takes `node` as a text. The text itself never appears in the problem: it may be a secret.
pub(crate) fn text<'a>(node: &'a Node, path: &str, problems: &mut Problems) -> Option<&'a str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Plain(word) if !is_boolean(word) && !is_number(word) => Some(word),
        Value::Plain(_) => {
            problems.error_with(
                node.at,
                path,
                format!("expected a string, found {}", node.kind()),
                "put it in quotes",
            );
            None
        }
        _ => {
            wrong_type(node, path, "a string", problems);
            None
        }
    }
}

fn wrong_type(node: &Node, path: &str, expected: &str, problems: &mut Problems) {
    problems.error(
        node.at,
        path,
        format!("expected {expected}, found {}", node.kind()),
    );
}

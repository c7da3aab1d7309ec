//! A Kubernetes Secret with CHAP names and secrets, as the in-tree iSCSI volume plugin reads it.

use std::collections::BTreeMap;

use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::metadata::{self, Metadata};
use crate::yaml::fields::{Object, similar, text};
use crate::yaml::problem::Problems;
use crate::yaml::tree::{Node, Position};

/// Keys of a Secret that the in-tree plugin knows.
const KNOWN_KEYS: [&str; 8] = [
    "node.session.auth.username",
    "node.session.auth.password",
    "node.session.auth.username_in",
    "node.session.auth.password_in",
    "discovery.sendtargets.auth.username",
    "discovery.sendtargets.auth.password",
    "discovery.sendtargets.auth.username_in",
    "discovery.sendtargets.auth.password_in",
];

/// A Secret: only its CHAP keys are kept.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace, when it says one.
    pub(crate) namespace: Option<String>,
    values: BTreeMap<&'static str, SecretString>,
}

/// A user name and its secret.
#[derive(Debug, Clone)]
pub(crate) struct ChapPair {
    /// CHAP_N.
    pub(crate) user: String,
    /// What CHAP_R is computed from.
    pub(crate) secret: SecretString,
}

/// What one phase (session or discovery) authenticates with.
#[derive(Debug, Clone)]
pub(crate) struct ChapPairs {
    /// The initiator to the target.
    pub(crate) ours: ChapPair,
    /// The target to the initiator (mutual CHAP).
    pub(crate) theirs: Option<ChapPair>,
}

impl Secret {
    /// Reads a document of kind Secret.
    pub(crate) fn of(document: &Object<'_>, problems: &mut Problems) -> Option<Self> {
        document.refuse_unknown(
            &[
                "apiVersion",
                "kind",
                "metadata",
                "data",
                "stringData",
                "type",
                "immutable",
            ],
            problems,
        );
        let Metadata { name, namespace, .. } = metadata::read(document, problems)?;
        let mut values = BTreeMap::new();
        if let Some(data) = document.object("data", problems) {
            read_values(&data, decode, &mut values, problems);
        }
        // As in Kubernetes, stringData wins over data.
        if let Some(data) = document.object("stringData", problems) {
            read_values(
                &data,
                |plain, _| Ok(SecretString::from(plain)),
                &mut values,
                problems,
            );
        }
        Some(Self {
            name,
            namespace,
            values,
        })
    }

    /// The names and secrets of `phase`: `node.session` or `discovery.sendtargets`.
    ///
    /// # Errors
    /// The key that is missing, or what a value lacks.
    pub(crate) fn chap(&self, phase: &str) -> Result<ChapPairs, String> {
        let ours = self.pair(phase, "").and_then(|pair| {
            pair.ok_or_else(|| {
                format!(
                    "the Secret {:?} has no {phase}.auth.username and {phase}.auth.password",
                    self.name
                )
            })
        })?;
        Ok(ChapPairs {
            ours,
            theirs: self.pair(phase, "_in")?,
        })
    }

    fn pair(&self, phase: &str, suffix: &str) -> Result<Option<ChapPair>, String> {
        let user_key = format!("{phase}.auth.username{suffix}");
        let secret_key = format!("{phase}.auth.password{suffix}");
        match (
            self.values.get(user_key.as_str()),
            self.values.get(secret_key.as_str()),
        ) {
            (Some(user), Some(secret)) => {
                let user = user.expose_secret().to_owned();
                Ok(Some(ChapPair {
                    user,
                    secret: secret.clone(),
                }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(format!(
                "the Secret {:?} has {user_key} but no {secret_key}",
                self.name
            )),
            (None, Some(_)) => Err(format!(
                "the Secret {:?} has {secret_key} but no {user_key}",
                self.name
            )),
        }
    }
}

fn read_values(
    data: &Object<'_>,
    convert: impl Fn(&str, Position) -> Result<SecretString, String>,
    values: &mut BTreeMap<&'static str, SecretString>,
    problems: &mut Problems,
) {
    for entry in data.entries() {
        let path = data.path_of(&entry.key);
        let Some(known) = KNOWN_KEYS.iter().find(|known| **known == entry.key) else {
            if let Some(meant) = similar(&entry.key, &KNOWN_KEYS) {
                problems.warn(
                    entry.key_at,
                    &path,
                    format!("unknown key, ignored; did you mean `{meant}`?"),
                );
            }
            continue;
        };
        if let Some(value) = read_value(&entry.value, &path, &convert, problems) {
            values.insert(known, value);
        }
    }
}

fn read_value(
    node: &Node,
    path: &str,
    convert: &impl Fn(&str, Position) -> Result<SecretString, String>,
    problems: &mut Problems,
) -> Option<SecretString> {
    let value = match convert(text(node, path, problems)?, node.at) {
        Ok(value) => value,
        Err(problem) => {
            problems.error(node.at, path, problem);
            return None;
        }
    };
    if value.expose_secret().is_empty() {
        problems.error(node.at, path, "the value is empty");
        return None;
    }
    if value.expose_secret().ends_with('\n') {
        problems.warn(
            node.at,
            path,
            "the value ends in a line break, which becomes part of it (`echo -n` writes none)",
        );
    }
    Some(value)
}

fn decode(encoded: &str, _: Position) -> Result<SecretString, String> {
    let compact: Zeroizing<String> =
        Zeroizing::new(encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(compact.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| "not base64 (plain text belongs under stringData)".to_owned())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "the decoded value is not UTF-8 text".to_owned())?;
    Ok(SecretString::from(text))
}

//! `volumes[].iscsi`: Kubernetes' ISCSIVolumeSource, field by field.

use longshore_initiator::Portal;

use super::metadata;
use crate::yaml::fields::{Object, text};
use crate::yaml::problem::Problems;
use crate::yaml::tree::{Node, Position};

/// All fields of Kubernetes' ISCSIVolumeSource.
const KNOWN: [&str; 11] = [
    "targetPortal",
    "portals",
    "iqn",
    "lun",
    "iscsiInterface",
    "initiatorName",
    "fsType",
    "readOnly",
    "chapAuthDiscovery",
    "chapAuthSession",
    "secretRef",
];

/// The highest LUN that Kubernetes accepts in a manifest.
const MAX_LUN: u64 = 255;
/// The most portals of one volume.
const MAX_PORTALS: usize = 16;

/// An `iscsi:` volume as it is written; the Secret that it names is not looked up yet.
#[derive(Debug, Clone)]
pub(crate) struct IscsiSource {
    /// Where `iscsi:` starts.
    pub(crate) at: Position,
    /// Its path in the document.
    pub(crate) path: String,
    /// `targetPortal` and then `portals`, each once.
    pub(crate) portals: Vec<Portal>,
    /// The target's name; its grammar is checked when the volume is built.
    pub(crate) iqn: String,
    /// Where `iqn` stands.
    pub(crate) iqn_at: Position,
    /// Logical unit number.
    pub(crate) lun: u16,
    /// A network interface to bind to; `default` counts as none.
    pub(crate) interface: Option<String>,
    /// An initiator name for this volume alone.
    pub(crate) initiator_name: Option<String>,
    /// Where `initiatorName` stands.
    pub(crate) initiator_name_at: Position,
    /// The file system that is expected.
    pub(crate) fs_type: Option<String>,
    /// Where `fsType` stands.
    pub(crate) fs_type_at: Position,
    /// No writes, whatever the mounts say.
    pub(crate) read_only: bool,
    /// CHAP in the session's log-in.
    pub(crate) chap_session: bool,
    /// The Secret's name and where it stands.
    pub(crate) secret: Option<(String, Position)>,
}

/// Reads the mapping under `iscsi:`.
pub(crate) fn read(node: &Node, path: &str, problems: &mut Problems) -> Option<IscsiSource> {
    let object = Object::of(node, path, problems)?;
    object.refuse_unknown(&KNOWN, problems);
    let portals = read_portals(&object, problems);
    let iqn = object.required_text("iqn", problems).map(str::to_owned);
    let lun = object.required_number("lun", 0, MAX_LUN, problems);
    let chap_session = object.boolean("chapAuthSession", problems);
    let chap_discovery = object.boolean("chapAuthDiscovery", problems);
    let secret = read_secret_ref(&object, problems);
    if secret.is_none() && (chap_session || chap_discovery) && object.get("secretRef").is_none() {
        let key = if chap_session {
            "chapAuthSession"
        } else {
            "chapAuthDiscovery"
        };
        problems.error_with(
            object.place(key),
            &object.path_of("secretRef"),
            format!("`{key}: true` needs a Secret"),
            "add `secretRef: {name: …}`",
        );
    }
    if secret.is_some() && !chap_session && !chap_discovery {
        problems.warn(
            object.place("secretRef"),
            &object.path_of("secretRef"),
            "not used: neither chapAuthSession nor chapAuthDiscovery is true",
        );
    }
    let optional = |key: &str, problems: &mut Problems| {
        object
            .text(key, problems)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let interface = optional("iscsiInterface", problems).filter(|name| name != "default");
    let initiator_name = optional("initiatorName", problems);
    let fs_type = optional("fsType", problems);
    let read_only = object.boolean("readOnly", problems);
    Some(IscsiSource {
        at: object.at,
        path: path.to_owned(),
        portals: portals?,
        iqn: iqn?,
        iqn_at: object.place("iqn"),
        lun: u16::try_from(lun?).ok()?,
        interface,
        initiator_name,
        initiator_name_at: object.place("initiatorName"),
        fs_type,
        fs_type_at: object.place("fsType"),
        read_only,
        chap_session,
        secret,
    })
}

fn read_portals(object: &Object<'_>, problems: &mut Problems) -> Option<Vec<Portal>> {
    let mut portals: Vec<Portal> = Vec::new();
    let mut all_good = true;
    let mut add =
        |written: &str, at: Position, path: &str, problems: &mut Problems| match written.parse::<Portal>() {
            Ok(portal) => {
                if !portals.contains(&portal) {
                    portals.push(portal);
                }
            }
            Err(error) => {
                problems.error(at, path, error.to_string());
                all_good = false;
            }
        };
    let first = object.required_text("targetPortal", problems);
    if let Some(first) = first {
        add(
            first,
            object.place("targetPortal"),
            &object.path_of("targetPortal"),
            problems,
        );
    }
    let more = object.list("portals", problems);
    if more.len() >= MAX_PORTALS {
        problems.error(
            object.place("portals"),
            &object.path_of("portals"),
            format!("at most {MAX_PORTALS} portals are tried"),
        );
        return None;
    }
    for (node, path) in more {
        match text(node, &path, problems) {
            Some(written) => add(written, node.at, &path, problems),
            None => return None,
        }
    }
    (all_good && first.is_some()).then_some(portals)
}

fn read_secret_ref(object: &Object<'_>, problems: &mut Problems) -> Option<(String, Position)> {
    let reference = object.object("secretRef", problems)?;
    reference.refuse_unknown(&["name"], problems);
    let name = reference.required_text("name", problems)?;
    let at = reference.place("name");
    if !metadata::is_subdomain(name) {
        problems.error(
            at,
            &reference.path_of("name"),
            "not a name of a Kubernetes object",
        );
        return None;
    }
    Some((name.to_owned(), at))
}

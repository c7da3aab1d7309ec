//! What tells this machine from its clone: the DMI UUID of the (virtual) board, and the machine-id.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// UUIDs that careless firmware writes into every board.
const MEANINGLESS_UUIDS: [&str; 3] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
];
/// The longest part of the host's name that goes into an initiator name.
const MAX_HOST_BYTES: usize = 64;

/// Witnesses of a machine, hashed: the machine-id is confidential (machine-id(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    /// Of `/etc/machine-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine_id: Option<String>,
    /// Of `/sys/class/dmi/id/product_uuid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dmi_uuid: Option<String>,
}

impl Machine {
    /// This machine.
    pub(crate) fn this() -> Self {
        Self {
            machine_id: read("/etc/machine-id")
                .filter(|id| id.len() == 32)
                .map(|id| hash(&id)),
            dmi_uuid: read("/sys/class/dmi/id/product_uuid")
                .map(|uuid| uuid.to_ascii_lowercase())
                .filter(|uuid| !MEANINGLESS_UUIDS.contains(&uuid.as_str()))
                .map(|uuid| hash(&uuid)),
        }
    }

    /// The witness by which `other` is another machine, if it is one.
    ///
    /// The board decides when both know it: a machine-id may be made anew on the same machine (image-based systems,
    /// containers). Without it the machine-id decides. Without either nothing can be told.
    pub(crate) fn differs_from(&self, other: &Self) -> Option<&'static str> {
        match (
            &self.dmi_uuid,
            &other.dmi_uuid,
            &self.machine_id,
            &other.machine_id,
        ) {
            (Some(ours), Some(theirs), ..) => (ours != theirs).then_some("the board's UUID"),
            (.., Some(ours), Some(theirs)) => (ours != theirs).then_some("the machine-id"),
            _ => None,
        }
    }

    /// Whether a clone of this machine could be told from it.
    pub(crate) fn is_known(&self) -> bool {
        self.machine_id.is_some() || self.dmi_uuid.is_some()
    }
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(Path::new(path)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn hash(text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"longshore initiator identity\0");
    hash.update(text.as_bytes());
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The host's name in the characters of an iqn (RFC 3722), possibly empty.
pub(crate) fn host_name() -> String {
    let uname = rustix::system::uname();
    iqn_part(&uname.nodename().to_string_lossy())
}

fn iqn_part(host: &str) -> String {
    let first = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let clean: String = first
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(MAX_HOST_BYTES)
        .collect();
    clean.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(dmi: Option<&str>, id: Option<&str>) -> Machine {
        Machine {
            machine_id: id.map(str::to_owned),
            dmi_uuid: dmi.map(str::to_owned),
        }
    }

    #[test]
    fn the_board_decides_and_the_machine_id_only_without_it() {
        let recorded = machine(Some("board"), Some("id"));
        assert_eq!(
            recorded.differs_from(&machine(Some("board"), Some("other"))),
            None
        );
        assert_eq!(
            recorded.differs_from(&machine(Some("clone"), Some("id"))),
            Some("the board's UUID")
        );
        assert_eq!(recorded.differs_from(&machine(None, Some("id"))), None);
        assert_eq!(
            recorded.differs_from(&machine(None, Some("other"))),
            Some("the machine-id")
        );
        assert_eq!(recorded.differs_from(&machine(None, None)), None);
    }

    #[test]
    fn host_names_become_parts_of_an_iqn() {
        assert_eq!(iqn_part("Node_1.example.org"), "node-1");
        assert_eq!(iqn_part("--ü--"), "");
        assert_eq!(iqn_part(&"x".repeat(200)).len(), 64);
    }

    #[test]
    fn the_machine_id_is_not_written_down() {
        assert!(!hash("0123456789abcdef0123456789abcdef").contains("0123456789abcdef"));
    }
}

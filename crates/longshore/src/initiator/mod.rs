//! This node's iSCSI identity: its initiator name and ISID, kept in the state directory.
//!
//! Arrays admit an initiator by its name, so the name must stay the same, and no two nodes may share one: an array
//! takes them for the same host and lets both write (F17). Hence the identity of the machine is recorded beside the
//! name, and a state directory that turns up on another machine is refused with the remedy.

mod host;
mod machine;

use std::path::{Path, PathBuf};

use longshore_iscsi::isid::Isid;
use longshore_iscsi::name::IscsiName;
use serde::{Deserialize, Serialize};

pub(crate) use host::{HostInitiator, is_running_in};
pub(crate) use machine::Machine;

use crate::durable;
pub(crate) use crate::durable::Existing;
use crate::exit::{CliError, ExitCode};

/// The file in the state directory.
const FILE: &str = "initiator.json";
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// What every generated name begins with.
const PREFIX: &str = "iqn.2026-11.storage.longshore:";

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Origin {
    /// Made on first use.
    Generated,
    /// Set by the user.
    Set,
    /// Taken over from the host's open-iscsi.
    Host,
}

/// What the state directory keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    /// The initiator's name (InitiatorName).
    pub(crate) name: String,
    /// The ISID in hexadecimal digits.
    pub(crate) isid: String,
    /// Where the name comes from.
    pub(crate) origin: Origin,
    /// The machine for which the name was made.
    pub(crate) machine: Machine,
}

impl Identity {
    /// An identity with a new random ISID.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub(crate) fn new(name: &IscsiName, origin: Origin, machine: Machine) -> Result<Self, CliError> {
        let mut random = [0; 5];
        fill(&mut random)?;
        let isid = Isid::random(
            [random[0], random[1], random[2]],
            u16::from_be_bytes([random[3], random[4]]),
        );
        Ok(Self {
            name: name.to_string(),
            isid: isid.to_string(),
            origin,
            machine,
        })
    }

    /// An identity with a name of its own: `iqn.2026-11.storage.longshore:<host>-<random>`.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub(crate) fn generate(machine: Machine) -> Result<Self, CliError> {
        let mut random = [0; 6];
        fill(&mut random)?;
        let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let host = machine::host_name();
        let name = if host.is_empty() {
            suffix
        } else {
            format!("{host}-{suffix}")
        };
        let name: IscsiName = format!("{PREFIX}{name}").parse().map_err(|error| {
            CliError::new(
                ExitCode::Failure,
                format!("cannot make an initiator name: {error}"),
            )
        })?;
        Self::new(&name, Origin::Generated, machine)
    }

    /// The ISID as bytes.
    ///
    /// # Errors
    /// The file was damaged by hand.
    pub(crate) fn isid(&self) -> Result<Isid, CliError> {
        self.isid.parse().map_err(|error| {
            CliError::new(
                ExitCode::Failure,
                format!("the ISID {:?} in {FILE} is not valid: {error}", self.isid),
            )
            .help("remove the file; a new name is made on the next use")
        })
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), CliError> {
    getrandom::fill(bytes).map_err(|error| {
        CliError::new(
            ExitCode::Host,
            format!("the kernel gives no random bytes: {error}"),
        )
    })
}

/// The identity in a state directory.
#[derive(Debug)]
pub(crate) struct Store {
    state_dir: PathBuf,
}

impl Store {
    /// The store of `state_dir`; the directory is made when something is written.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.state_dir.join(FILE)
    }

    /// What is recorded, if anything is.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub(crate) fn read(&self) -> Result<Option<Identity>, CliError> {
        let path = self.path();
        let text =
            durable::read(&path, MAX_FILE_BYTES).map_err(|error| CliError::io("read", &path, &error))?;
        let Some(text) = text else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            CliError::new(ExitCode::Failure, format!("{} is damaged: {error}", path.display())).help(
                "write the name that the arrays know with `longshore initiator --set NAME`, or remove the file",
            )
        })
    }

    /// The identity to log in with: the recorded one, or a new one on first use.
    ///
    /// # Errors
    /// The state directory belongs to another machine (F17), or it cannot be read or written.
    pub(crate) fn get_or_create(&self, machine: &Machine) -> Result<Identity, CliError> {
        if let Some(identity) = self.read()? {
            self.refuse_clone(&identity, machine)?;
            return Ok(identity);
        }
        self.write(&Identity::generate(machine.clone())?, Existing::Keep)?;
        // Another process may have been first: what is on disk counts.
        self.read()?.ok_or_else(|| {
            CliError::new(
                ExitCode::Failure,
                format!("{} vanished while it was written", self.path().display()),
            )
        })
    }

    /// Refuses a name that was made for another machine (F17).
    ///
    /// # Errors
    /// It was.
    pub(crate) fn refuse_clone(&self, identity: &Identity, machine: &Machine) -> Result<(), CliError> {
        let Some(witness) = identity.machine.differs_from(machine) else {
            return Ok(());
        };
        Err(CliError::new(
            ExitCode::Conflict,
            format!(
                "the initiator name {} was made on another machine ({witness} differs): {} was copied or this \
                 machine was cloned, and an array would take two nodes for one",
                identity.name,
                self.path().display()
            ),
        )
        .help(
            "on a clone, run `longshore initiator --generate` and admit the new name at the array; when this \
             machine replaces the old one, run `longshore initiator --keep`",
        ))
    }

    /// Writes it durably.
    ///
    /// # Errors
    /// What the operating system says.
    pub(crate) fn write(&self, identity: &Identity, existing: Existing) -> Result<(), CliError> {
        let path = self.path();
        let failed = |error: &std::io::Error| CliError::io("write", &path, error);
        let mut text = serde_json::to_vec_pretty(identity).map_err(|error| failed(&error.into()))?;
        text.push(b'\n');
        durable::write(&path, &text, existing).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(id: &str) -> Machine {
        Machine {
            machine_id: Some(id.to_owned()),
            dmi_uuid: None,
        }
    }

    #[test]
    fn the_first_use_makes_a_name_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::new(&dir.path().join("state"));
        let first = store.get_or_create(&machine("a")).expect("made");
        assert!(first.name.starts_with(PREFIX), "{}", first.name);
        assert_eq!(
            first.isid().expect("valid").isid_type(),
            longshore_iscsi::isid::IsidType::Random
        );
        assert_eq!(store.get_or_create(&machine("a")).expect("read"), first);
    }

    #[test]
    fn two_nodes_never_get_the_same_name() {
        let a = Identity::generate(machine("a")).expect("made");
        let b = Identity::generate(machine("a")).expect("made");
        assert_ne!(a.name, b.name);
        assert_ne!(a.isid, b.isid);
    }

    /// F17: cloned machines shared an initiator name.
    #[test]
    fn f17_a_cloned_state_directory_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::new(dir.path());
        store.get_or_create(&machine("a")).expect("made");
        let error = store.get_or_create(&machine("b")).expect_err("refused");
        assert_eq!(error.code, ExitCode::Conflict);
        assert!(error.message.contains("machine-id differs"), "{}", error.message);
        assert!(error.remedy.is_some_and(|remedy| remedy.contains("--generate")));
    }

    #[test]
    fn a_racing_first_use_keeps_the_winner() {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::new(dir.path());
        let winner = Identity::generate(machine("a")).expect("made");
        store.write(&winner, Existing::Keep).expect("written");
        store
            .write(&Identity::generate(machine("a")).expect("made"), Existing::Keep)
            .expect("kept");
        assert_eq!(store.read().expect("read"), Some(winner));
        let names: Vec<_> = std::fs::read_dir(dir.path()).expect("list").collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn a_damaged_file_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().expect("directory");
        let store = Store::new(dir.path());
        std::fs::write(store.path(), "{").expect("written");
        let error = store.get_or_create(&machine("a")).expect_err("refused");
        assert!(error.message.contains("damaged"), "{}", error.message);
        assert_eq!(std::fs::read_to_string(store.path()).expect("read"), "{");
    }
}

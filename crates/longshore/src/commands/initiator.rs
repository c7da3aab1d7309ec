//! `longshore initiator`: the node's initiator name, which arrays' access lists depend on.

use clap::{ArgGroup, Args};
use longshore_iscsi::name::IscsiName;
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::initiator::{Existing, HostInitiator, Identity, Machine, Origin, Store};
use crate::output::Render;

/// Show or set this node's initiator name
///
/// Arrays admit a node by this name. It is made on first use and then stays; it is bound to this machine, so that a
/// cloned machine does not log in as its original.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["set", "from_host", "generate", "keep"]))]
pub(crate) struct Initiator {
    /// Use this name
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Take over the name of the host's open-iscsi (/etc/iscsi/initiatorname.iscsi)
    #[arg(long)]
    from_host: bool,
    /// Make a new name: on a machine that was cloned
    #[arg(long)]
    generate: bool,
    /// Keep the name on this machine: when it replaces the one for which the name was made
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    name: String,
    isid: String,
    origin: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    clash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl Initiator {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let store = Store::new(&app.dirs.state_dir);
        let machine = Machine::this();
        let host = HostInitiator::look();
        let new = self.change(&store, &machine, &host)?;
        if let Some(new) = &new {
            store.write(new, Existing::Replace)?;
        }
        let changed = new.is_some();
        let identity = match new {
            Some(identity) => identity,
            None => store.get_or_create(&machine)?,
        };
        let clash = host.clash_with(&identity.name);
        if let Some(clash) = &clash {
            app.output.warn(clash);
        }
        let note = changed.then_some("sessions that are up keep the name they logged in with");
        app.result(&Report {
            name: identity.name,
            isid: identity.isid,
            origin: identity.origin,
            clash,
            note,
        })?;
        Ok(ExitCode::Success)
    }

    /// The identity to write, if the options ask for a change.
    fn change(
        &self,
        store: &Store,
        machine: &Machine,
        host: &HostInitiator,
    ) -> Result<Option<Identity>, CliError> {
        if let Some(name) = &self.set {
            return Identity::new(&parse(name)?, Origin::Set, machine.clone()).map(Some);
        }
        if self.from_host {
            let name = parse(host.require_name()?)?;
            return Identity::new(&name, Origin::Host, machine.clone()).map(Some);
        }
        if self.generate {
            return Identity::generate(machine.clone()).map(Some);
        }
        if self.keep {
            let recorded = store.read()?.ok_or_else(|| {
                CliError::new(ExitCode::NotFound, "there is no name to keep yet")
                    .help("longshore initiator makes one")
            })?;
            return Ok(Some(Identity {
                machine: machine.clone(),
                ..recorded
            }));
        }
        Ok(None)
    }
}

fn parse(name: &str) -> Result<IscsiName, CliError> {
    name.parse::<IscsiName>().map_err(|error| {
        CliError::new(ExitCode::Usage, error.to_string()).help("an example: iqn.2003-01.org.example:node-1")
    })
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        let origin = match self.origin {
            Origin::Generated => "made on first use",
            Origin::Set => "set by hand",
            Origin::Host => "taken over from the host's open-iscsi",
        };
        let mut text = format!(
            "Initiator name: {}\nISID:           {}\nOrigin:         {origin}\n",
            self.name, self.isid
        );
        if let Some(note) = self.note {
            text.push_str(&format!("Note:           {note}\n"));
        }
        text
    }
}

//! `longshore doctor`: what this host has, which data path that gives, and what is missing by name.

use clap::Args;
use longshore_dataplane::DataplaneClient;

use crate::app::App;
use crate::doctor::{Finding, HostRoot, examine};
use crate::exit::{CliError, ExitCode};
use crate::initiator::{HostInitiator, Machine, Store};

/// Show what this host has, which data path volumes will take and why, and what is missing
///
/// Ends with exit code 10 when volumes cannot work here.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let mut report = examine(&HostRoot::this(), &app.dirs.state_dir, &app.dirs.run_dir);
        report.findings.push(initiator(&Store::new(&app.dirs.state_dir)));
        report.findings.extend(data_plane(app));
        app.result(&report)?;
        Ok(if report.data_path.is_some() {
            ExitCode::Success
        } else {
            ExitCode::Host
        })
    }
}

/// What the data plane could set up for itself, if one runs. Starts nothing.
fn data_plane(app: &App<'_>) -> Vec<Finding> {
    let subject = "data plane";
    let asked = match DataplaneClient::connect_existing(&app.dirs, app.deadline) {
        Ok(None) => {
            return vec![Finding::note(
                subject,
                "does not run; it starts with the first volume",
            )];
        }
        Ok(Some(mut client)) => client.host(app.deadline),
        Err(error) => Err(error),
    };
    let report = match asked {
        Ok(report) => report,
        Err(error) => {
            let remedy = "look at dataplane.log in the run directory";
            return vec![Finding::warning(subject, error.to_string(), remedy)];
        }
    };
    let mut findings = vec![Finding::ok(
        subject,
        format!("runs as process {} ({})", report.pid, report.software),
    )];
    if report.hold_pid.is_none() {
        let found = "is not connected: if the data plane dies now, I/O fails instead of pausing";
        findings.push(Finding::warning(
            "hold",
            found,
            "take the volumes down and up again when you can",
        ));
    }
    findings.extend(report.facts.into_iter().map(|fact| {
        let subject = format!("data plane: {}", fact.name);
        if fact.ok {
            Finding::ok(&subject, fact.detail)
        } else {
            Finding::note(&subject, fact.detail)
        }
    }));
    findings
}

fn initiator(store: &Store) -> Finding {
    let subject = "initiator name";
    let machine = Machine::this();
    match store.read() {
        Ok(None) => Finding::note(subject, "none yet; made on first use"),
        Ok(Some(identity)) => {
            if let Err(error) = store.refuse_clone(&identity, &machine) {
                return Finding::warning(subject, error.message, error.remedy.unwrap_or_default());
            }
            match HostInitiator::look().clash_with(&identity.name) {
                Some(clash) => Finding::warning(
                    subject,
                    format!("{}: {clash}", identity.name),
                    "give Longshore a name of its own: longshore initiator --generate",
                ),
                None if !machine.is_known() => Finding::note(
                    subject,
                    format!(
                        "{} (this host has neither machine-id nor board UUID: a clone would not be noticed)",
                        identity.name
                    ),
                ),
                None => Finding::ok(subject, identity.name),
            }
        }
        Err(error) => Finding::warning(subject, error.message, error.remedy.unwrap_or_default()),
    }
}

//! `longshore ls`: the volumes of this node.

use clap::Args;
use longshore_volume::engine::{Report as Found, VolumeState, VolumeView};
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::output::{Render, Table, human_bytes};

/// List the volumes of this node
#[derive(Debug, Args)]
pub(crate) struct Ls {}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Found);

impl Ls {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let engine = app.engine(false)?;
        let report = Report(app.call("longshore ls", |call| engine.reconcile(call))?);
        app.result(&report)?;
        for warning in report.warnings() {
            app.output.warn(&warning);
        }
        Ok(ExitCode::Success)
    }
}

/// A state as tables show it.
pub(crate) fn state_word(state: VolumeState) -> &'static str {
    match state {
        VolumeState::Detached => "Detached",
        VolumeState::Partial => "Partial",
        VolumeState::Attached => "Attached",
        VolumeState::Staged => "Staged",
        VolumeState::Published => "Published",
        VolumeState::Damaged => "Damaged",
    }
}

impl Report {
    fn warnings(&self) -> Vec<String> {
        let conditions = self.0.volumes.iter().flat_map(|view| {
            view.conditions
                .iter()
                .map(|condition| format!("{}: {}", view.id, condition.message))
        });
        let devices = self
            .0
            .orphan_devices
            .iter()
            .map(|device| format!("attached, but for no volume: {device}"));
        let mounts = self
            .0
            .orphan_mounts
            .iter()
            .map(|path| format!("mounted, but for no volume: {}", path.display()));
        let unknown = self.0.unknown.iter().map(|what| format!("not looked at: {what}"));
        conditions.chain(devices).chain(mounts).chain(unknown).collect()
    }
}

impl Render for Report {
    fn human(&self, wide: bool) -> String {
        if self.0.volumes.is_empty() {
            return "No volumes are in use.\n".to_owned();
        }
        let mut headings = vec!["ID", "STATE", "TYPE", "ACCESS", "SIZE", "SOURCE", "MOUNTED AT"];
        if wide {
            headings.extend(["DEVICE", "WWID", "SESSION", "FOR"]);
        }
        let mut table = Table::new(&headings);
        for view in &self.0.volumes {
            table.row(row(view, wide));
        }
        table.render()
    }
}

fn row(view: &VolumeView, wide: bool) -> Vec<String> {
    let device = view.device.as_ref();
    let staging = view.staging.as_ref();
    let places: Vec<String> = view
        .publications
        .iter()
        .map(|publication| publication.target.display().to_string())
        .collect();
    let raw = || view.link.as_ref().map(|_| "raw".to_owned());
    let mut cells = vec![
        view.id.to_string(),
        state_word(view.state).to_owned(),
        staging
            .map(|staging| staging.fs_type.to_string())
            .or_else(raw)
            .unwrap_or_default(),
        staging
            .map(|staging| staging.access)
            .or(device.map(|device| device.access))
            .map_or_else(String::new, |access| access.to_string()),
        device
            .map(|device| human_bytes(device.size_bytes))
            .unwrap_or_default(),
        view.spec
            .as_ref()
            .map(|spec| spec.source.to_string())
            .unwrap_or_default(),
        places.join(", "),
    ];
    if wide {
        let mut owners: Vec<&str> = view
            .publications
            .iter()
            .map(|publication| publication.owner.as_str())
            .collect();
        owners.dedup();
        cells.extend([
            device
                .map(|device| device.path.display().to_string())
                .unwrap_or_default(),
            device.map(|device| device.wwid.clone()).unwrap_or_default(),
            device
                .and_then(|device| device.session.clone())
                .unwrap_or_default(),
            owners.join(", "),
        ]);
    }
    cells
}

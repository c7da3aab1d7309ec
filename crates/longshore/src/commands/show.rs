//! `longshore show`: all that is known of one volume.

use std::fmt::Write as _;

use clap::Args;
use longshore_volume::Severity;
use longshore_volume::engine::VolumeView;
use serde::Serialize;

use crate::app::App;
use crate::exit::{CliError, ExitCode};
use crate::locate;
use crate::output::{Render, human_bytes, printable};

use super::ls::state_word;

/// Show all that is known of one volume
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// An id, its unique beginning, a directory where it is mounted, its device or an iscsi:// URL
    #[arg(value_name = "VOLUME")]
    volume: String,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(VolumeView);

impl Show {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let engine = app.engine(false)?;
        let views = app.call("longshore show", |call| engine.list(call))?;
        let id = locate::volume(&self.volume, &views)?;
        let view = app.call("longshore show", |call| engine.show(&id, call))?;
        app.result(&Report(view))?;
        Ok(ExitCode::Success)
    }
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        let mut lines = Lines::default();
        identity(&self.0, &mut lines);
        use_of_it(&self.0, &mut lines);
        trouble(&self.0, &mut lines);
        lines.0
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, value: impl std::fmt::Display) {
        let label = format!("{label}:");
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{label:<15} {}", printable(&value.to_string()));
    }
}

fn identity(view: &VolumeView, lines: &mut Lines) {
    lines.add("Volume", &view.id);
    lines.add("State", state_word(view.state));
    if let Some(spec) = &view.spec {
        lines.add("Source", &spec.source);
        lines.add("Asked for", format!("{}, format {}", spec.access, spec.format));
        if !spec.mount_options.is_empty() {
            lines.add("Mount options", spec.mount_options.join(","));
        }
    }
    if let Some(device) = &view.device {
        let there = if device.is_there { "" } else { ", not there now" };
        lines.add(
            "Device",
            format!(
                "{} ({}, {}{there})",
                device.path.display(),
                device.number,
                device.access
            ),
        );
        lines.add(
            "Size",
            format!("{} ({} bytes)", human_bytes(device.size_bytes), device.size_bytes),
        );
        lines.add("WWID", &device.wwid);
        if let Some(description) = &device.description {
            lines.add("Product", description);
        }
        if let Some(session) = &device.session {
            lines.add("Session", session);
        }
    } else if let Some(wwid) = view.witness.as_ref().and_then(|witness| witness.wwid.as_ref()) {
        lines.add("WWID", format!("{wwid} (when it was last used)"));
    }
    if let Some(link) = &view.link {
        lines.add("Link", link.display());
    }
}

fn use_of_it(view: &VolumeView, lines: &mut Lines) {
    if let Some(staging) = &view.staging {
        lines.add(
            "File system",
            format!("{} {} ({})", staging.fs_type, staging.fs_uuid, staging.access),
        );
        let now = if staging.is_mounted {
            ""
        } else {
            " (not mounted now)"
        };
        lines.add("Staged at", format!("{}{now}", staging.path.display()));
    } else if let Some(witness) = &view.witness {
        if let (Some(fs_type), Some(uuid)) = (witness.fs_type, &witness.fs_uuid) {
            lines.add("File system", format!("{fs_type} {uuid} (when it was last used)"));
        }
    }
    for publication in &view.publications {
        let now = if publication.is_mounted {
            ""
        } else {
            ", not mounted now"
        };
        let owner = if publication.owner.is_empty() {
            String::new()
        } else {
            format!(", for {}", publication.owner)
        };
        lines.add(
            "Mounted at",
            format!(
                "{} ({}{owner}{now})",
                publication.target.display(),
                publication.access
            ),
        );
    }
}

fn trouble(view: &VolumeView, lines: &mut Lines) {
    if let Some(holder) = &view.operation {
        lines.add("Now", holder);
    }
    if let Some(step) = &view.interrupted_at {
        lines.add(
            "Interrupted at",
            format!("{step}; the same call, or the opposite one, goes on from there"),
        );
    }
    for condition in &view.conditions {
        let label = if condition.severity == Severity::Error {
            "Error"
        } else {
            "Warning"
        };
        lines.add(label, format!("{}: {}", condition.reason, condition.message));
    }
}

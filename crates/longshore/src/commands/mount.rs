//! `longshore mount`: a LUN's file system at a directory.

use std::path::PathBuf;

use clap::Args;
use longshore_volume::engine::MountedVolume;
use longshore_volume::{FormatPolicy, FsType, Outcome};
use serde::Serialize;

use crate::app::{App, StepTaken};
use crate::exit::{CliError, ExitCode};
use crate::output::{Format, Render};
use crate::volume_args::{FileSystemArgs, VolumeArgs};

use super::already;

/// Mount the file system of a LUN at a directory
///
/// Logs in (or uses the session that is there), proves which LUN it is, checks the file system and mounts it.
/// `longshore umount DIR` is the way back. A device is formatted only with --format ifBlank, and only when every
/// probed byte was read and is zero.
#[derive(Debug, Args)]
pub(crate) struct Mount {
    #[command(flatten)]
    volume: VolumeArgs,
    /// The directory; it must exist and be empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Mount options, comma-separated, from the list that the file system allows
    #[arg(short = 'o', long, value_name = "OPTIONS", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// Whether a device that is proven blank may be formatted: never or ifBlank
    #[arg(long, value_name = "POLICY", default_value = "never")]
    format: FormatPolicy,
    /// The file system that must be there, or is made: ext4, xfs, btrfs
    #[arg(short = 't', long, value_name = "TYPE")]
    fs_type: Option<FsType>,
    /// How results are printed (here without -o, which gives mount options)
    #[arg(
        id = "output",
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    outcome: Outcome,
    #[serde(flatten)]
    mounted: MountedVolume,
    /// What it did, and how long each step took.
    steps: Vec<StepTaken>,
}

impl Mount {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        if self
            .options
            .iter()
            .any(|option| option == "json" || option == "wide")
        {
            return Err(
                CliError::new(ExitCode::Usage, "-o of `mount` gives mount options")
                    .help("for the form of the output, write --output json"),
            );
        }
        let file_system = FileSystemArgs {
            fs_type: self.fs_type,
            format: self.format,
            mount_options: self.options,
        };
        let spec = self.volume.spec(file_system, app)?;
        let dir = std::path::absolute(&self.dir).map_err(|error| CliError::io("find", &self.dir, &error))?;
        let engine = app.engine(true)?;
        let (outcome, mounted) = app.call("longshore mount", |call| engine.mount(&spec, &dir, call))?;
        for warning in &mounted.staged.warnings {
            app.output.warn(&warning.message);
        }
        let steps = app.steps_taken();
        app.result(&Report {
            outcome,
            mounted,
            steps,
        })?;
        Ok(ExitCode::Success)
    }
}

impl Render for Report {
    fn human(&self, _: bool) -> String {
        let MountedVolume { staged, published } = &self.mounted;
        let made = if staged.formatted { ", newly made" } else { "" };
        format!(
            "{} is at {} ({}{made}, {}, {}){}\n",
            published.id,
            published.target.display(),
            staged.fs_type,
            published.access,
            staged.device.device.display(),
            already(self.outcome)
        )
    }
}

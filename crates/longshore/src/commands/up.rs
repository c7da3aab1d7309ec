//! `longshore up`: the iSCSI volumes of Kubernetes Pods, published into their containers' directories.

mod pod;
mod report;

use std::path::PathBuf;

use clap::Args;

use crate::app::App;
use crate::chap::warn_if_open;
use crate::exit::{CliError, ExitCode};
use crate::initiator::{HostInitiator, Store};
use crate::manifest::{self, Manifest};
use crate::pods::{Pods, default_parent};

use pod::PodUp;
use report::Report;

/// Bring up the iSCSI volumes of a Kubernetes Pod, each in its container's directory
///
/// Each volume is attached once, its LUN's identity is proven, and its file system is mounted once; then it is
/// placed at DIR/CONTAINER/MOUNTPATH for every container that mounts it. Repeating the call is harmless. When
/// something fails, what this call did is undone.
///
/// A device is formatted only when the Pod has the annotation longshore.storage/format: ifBlank (or
/// longshore.storage/format.VOLUME), and only when every probed byte was read and is zero.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The manifest: YAML with Pods, and perhaps their Secrets; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// A file with more Secrets; may be repeated
    #[arg(long, value_name = "FILE")]
    secrets: Vec<PathBuf>,
    /// Where the containers' directories are [default: RUN_DIR-pods/NAMESPACE_NAME]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Up {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        self.secrets
            .iter()
            .for_each(|file| warn_if_open(file, &mut |warning| app.output.warn(warning)));
        let Manifest { pods, warnings } =
            manifest::load(&self.file, &self.secrets).map_err(CliError::manifest)?;
        for warning in &warnings {
            app.output.warn(&warning.to_string());
        }
        if pods.len() > 1 && self.dir.is_some() {
            return Err(CliError::new(
                ExitCode::Usage,
                "--dir is for one Pod, and the manifest has several",
            ));
        }
        let engine = app.engine(true)?;
        warn_of_clash(app);
        let records = Pods::new(&app.dirs.state_dir, &app.dirs.run_dir);
        let mut report = Report::default();
        let mut up = Vec::new();
        for pod in &pods {
            let dir = self.dir_of(pod, app)?;
            let mut one = PodUp::new(pod, &engine, &records);
            let outcome = one.run(&dir, app);
            up.push(one);
            match outcome {
                Ok(pod_report) => report.pods.push(pod_report),
                Err(error) => {
                    // The last thing that was done is undone first.
                    let undone: Vec<String> = up.iter_mut().rev().flat_map(|one| one.undo(app)).collect();
                    return Err(with_undone(error, &undone));
                }
            }
        }
        app.result(&report)?;
        Ok(ExitCode::Success)
    }

    fn dir_of(&self, pod: &manifest::Pod, app: &App<'_>) -> Result<PathBuf, CliError> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => default_parent(&app.dirs.run_dir).join(format!("{}_{}", pod.namespace, pod.name)),
        };
        std::path::absolute(&dir).map_err(|error| CliError::io("find", &dir, &error))
    }
}

/// Says so when the host's own initiator has our name.
fn warn_of_clash(app: &mut App<'_>) {
    if let Ok(Some(identity)) = Store::new(&app.dirs.state_dir).read() {
        if let Some(clash) = HostInitiator::look().clash_with(&identity.name) {
            app.output.warn(&clash);
        }
    }
}

fn with_undone(mut error: CliError, undone: &[String]) -> CliError {
    let tail = if undone.is_empty() {
        "nothing had been changed".to_owned()
    } else {
        format!("what this call had done was undone: {}", undone.join("; "))
    };
    error.message = format!("{}; {tail}", error.message);
    error
}

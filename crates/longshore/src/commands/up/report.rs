//! What `up` prints at the end.

use std::path::PathBuf;

use longshore_volume::{Access, FsType, Outcome, VolumeId};
use serde::Serialize;

use crate::output::{Render, Table, human_bytes};

/// All Pods of the call.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) pods: Vec<PodReport>,
}

/// One Pod.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodReport {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) outcome: Outcome,
    pub(super) mounts: Vec<MountReport>,
}

/// One volume in one container.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MountReport {
    pub(super) container: String,
    pub(super) volume: String,
    pub(super) id: VolumeId,
    pub(super) mount_path: PathBuf,
    pub(super) target: PathBuf,
    pub(super) access: Access,
    pub(super) fs_type: Option<FsType>,
    pub(super) device: Option<PathBuf>,
    pub(super) size_bytes: Option<u64>,
    pub(super) outcome: Outcome,
}

impl Render for Report {
    fn human(&self, wide: bool) -> String {
        let mut headings = vec![
            "CONTAINER",
            "VOLUME",
            "PATH",
            "ACCESS",
            "TYPE",
            "SIZE",
            "MOUNTED AT",
        ];
        if wide {
            headings.extend(["DEVICE", "ID"]);
        }
        let mut text = String::new();
        for pod in &self.pods {
            let mut table = Table::new(&headings);
            for mount in &pod.mounts {
                let mut row = vec![
                    mount.container.clone(),
                    mount.volume.clone(),
                    mount.mount_path.display().to_string(),
                    mount.access.to_string(),
                    mount
                        .fs_type
                        .map(|fs_type| fs_type.to_string())
                        .unwrap_or_default(),
                    mount.size_bytes.map(human_bytes).unwrap_or_default(),
                    mount.target.display().to_string(),
                ];
                if wide {
                    row.push(
                        mount
                            .device
                            .as_ref()
                            .map(|path| path.display().to_string())
                            .unwrap_or_default(),
                    );
                    row.push(mount.id.to_string());
                }
                table.row(row);
            }
            let so = match pod.outcome {
                Outcome::Changed => "is up",
                Outcome::AlreadySo => "was up already",
            };
            text.push_str(&format!(
                "Pod {}/{} {so}.\n\n{}",
                pod.namespace,
                pod.name,
                table.render()
            ));
        }
        text
    }
}

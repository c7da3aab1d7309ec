//! `RecordedSpec`: a volume's specification without its secrets, as the journal keeps it and `show` prints it.

use super::id::LunKey;
use super::spec::{Source, VolumeSpec};
use super::words::{Access, DataPath, FormatPolicy, FsType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A [`VolumeSpec`] without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedSpec {
    /// Where the volume is.
    pub source: RecordedSource,
    /// `fsType`.
    #[serde(default)]
    pub fs_type: Option<FsType>,
    /// `readOnly`.
    #[serde(default)]
    pub access: Access,
    /// `mountOptions`.
    #[serde(default)]
    pub mount_options: Vec<String>,
    /// The format policy.
    #[serde(default)]
    pub format: FormatPolicy,
    /// The WWID that was asked for.
    #[serde(default)]
    pub wwid: Option<String>,
    /// The file system UUID that was asked for.
    #[serde(default)]
    pub fs_uuid: Option<String>,
    /// The data path.
    #[serde(default)]
    pub data_path: DataPath,
    /// Fields of a newer version, kept over a rewrite.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A [`Source`] without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum RecordedSource {
    /// A LUN of an iSCSI target.
    #[serde(rename_all = "camelCase")]
    Iscsi {
        /// `targetPortal`.
        target_portal: String,
        /// `portals`.
        #[serde(default)]
        portals: Vec<String>,
        /// `iqn`.
        iqn: String,
        /// `lun`.
        lun: u16,
        /// `iscsiInterface`.
        #[serde(default)]
        iscsi_interface: Option<String>,
        /// `initiatorName`, when the specification names one.
        #[serde(default)]
        initiator_name: Option<String>,
        /// The CHAP user's name.
        #[serde(default)]
        chap_user: Option<String>,
        /// The name that the target must prove (mutual CHAP).
        #[serde(default)]
        chap_user_in: Option<String>,
    },
}

impl RecordedSource {
    /// The word by which the registry finds the backend.
    pub fn scheme(&self) -> &'static str {
        match self {
            RecordedSource::Iscsi { .. } => "iscsi",
        }
    }

    /// The name of the LUN.
    pub fn lun_key(&self) -> LunKey {
        match self {
            RecordedSource::Iscsi { iqn, lun, .. } => LunKey::iscsi(iqn, *lun),
        }
    }
}

impl std::fmt::Display for RecordedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RecordedSource::Iscsi {
                target_portal,
                iqn,
                lun,
                ..
            } => {
                write!(f, "iscsi://{target_portal}/{iqn}/{lun}")
            }
        }
    }
}

impl From<&Source> for RecordedSource {
    fn from(source: &Source) -> Self {
        match source {
            Source::Iscsi(iscsi) => RecordedSource::Iscsi {
                target_portal: iscsi.target_portal.clone(),
                portals: iscsi.portals.clone(),
                iqn: iscsi.iqn.clone(),
                lun: iscsi.lun,
                iscsi_interface: iscsi.iscsi_interface.clone(),
                initiator_name: iscsi.initiator_name.clone(),
                chap_user: iscsi.chap.as_ref().map(|chap| chap.username.clone()),
                chap_user_in: iscsi
                    .chap
                    .as_ref()
                    .and_then(|chap| chap.mutual.as_ref().map(|(name, _)| name.clone())),
            },
        }
    }
}

impl From<&VolumeSpec> for RecordedSpec {
    fn from(spec: &VolumeSpec) -> Self {
        RecordedSpec {
            source: RecordedSource::from(&spec.source),
            fs_type: spec.fs_type,
            access: spec.access,
            mount_options: spec.mount_options.clone(),
            format: spec.format,
            wwid: spec.wwid.clone(),
            fs_uuid: spec.fs_uuid.clone(),
            data_path: spec.data_path,
            extra: Map::new(),
        }
    }
}

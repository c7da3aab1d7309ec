//! `VolumeSpec`: what a front end asks for, in Kubernetes' own words.

use super::id::{LunKey, VolumeId};
use super::words::{Access, DataPath, FormatPolicy, FsType};
use secrecy::SecretString;

/// A volume as asked for. Holds secrets, so it is never written down: the journal keeps its
/// [`RecordedSpec`](super::RecordedSpec).
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    /// A name of the front end's own; `None`: the name that follows from the source.
    pub id: Option<VolumeId>,
    /// Where the volume is.
    pub source: Source,
    /// `fsType`; `None`: whatever is there (and ext4 if a blank device may be formatted).
    pub fs_type: Option<FsType>,
    /// `readOnly`.
    pub access: Access,
    /// `mountOptions`, checked against an allow-list.
    pub mount_options: Vec<String>,
    /// Whether a blank device may be formatted.
    pub format: FormatPolicy,
    /// The WWID that the LUN must have (`naa.…`, `eui.…`, `t10.…`), as `longshore show` prints it.
    pub wwid: Option<String>,
    /// The UUID that the file system must have.
    pub fs_uuid: Option<String>,
    /// The data path.
    pub data_path: DataPath,
}

impl VolumeSpec {
    /// A read-write volume with the defaults: never format, any supported file system.
    pub fn new(source: Source) -> Self {
        VolumeSpec {
            id: None,
            source,
            fs_type: None,
            access: Access::ReadWrite,
            mount_options: Vec::new(),
            format: FormatPolicy::Never,
            wwid: None,
            fs_uuid: None,
            data_path: DataPath::Auto,
        }
    }

    /// The volume's name on this node.
    pub fn id(&self) -> VolumeId {
        self.id.clone().unwrap_or_else(|| VolumeId::from(&self.lun_key()))
    }

    /// The name of the LUN beneath it.
    pub fn lun_key(&self) -> LunKey {
        LunKey::of(&self.source)
    }
}

/// Where a volume is.
#[derive(Debug, Clone)]
pub enum Source {
    /// A LUN of an iSCSI target.
    Iscsi(IscsiVolume),
}

impl Source {
    /// The word by which the registry finds the backend.
    pub fn scheme(&self) -> &'static str {
        match self {
            Source::Iscsi(_) => "iscsi",
        }
    }
}

/// The fields of Kubernetes' `iscsi:` volume source.
#[derive(Debug, Clone)]
pub struct IscsiVolume {
    /// `targetPortal`: host or address, with or without a port.
    pub target_portal: String,
    /// `portals`: more portals of the same target.
    pub portals: Vec<String>,
    /// `iqn`: the target's name.
    pub iqn: String,
    /// `lun`: its number.
    pub lun: u16,
    /// `iscsiInterface`: a network interface or source address; `None` and `default`: the system's choice.
    pub iscsi_interface: Option<String>,
    /// `initiatorName`; `None`: the node's.
    pub initiator_name: Option<String>,
    /// `chapAuthSession` with the Secret's content.
    pub chap: Option<Chap>,
}

impl IscsiVolume {
    /// A volume with the fields that every iSCSI volume has.
    pub fn new(target_portal: impl Into<String>, iqn: impl Into<String>, lun: u16) -> Self {
        IscsiVolume {
            target_portal: target_portal.into(),
            portals: Vec::new(),
            iqn: iqn.into(),
            lun,
            iscsi_interface: None,
            initiator_name: None,
            chap: None,
        }
    }
}

/// CHAP credentials of a session, one-way or mutual.
#[derive(Debug, Clone)]
pub struct Chap {
    /// `node.session.auth.username`.
    pub username: String,
    /// `node.session.auth.password`.
    pub password: SecretString,
    /// `node.session.auth.username_in` and `password_in`: what the target must prove.
    pub mutual: Option<(String, SecretString)>,
}

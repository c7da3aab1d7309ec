//! The iSCSI backend: asks the data plane, which owns the sessions and the devices.

use super::{
    AttachRequest, Attached, Backend, BackendError, Cause, Device, DeviceKey, DeviceNumber, InitiatorIdentity,
};
use crate::error::ErrorKind;
use crate::model::{Condition, DataPath, IscsiVolume, LunKey, Outcome, RecordedSource, Source};
use longshore_dataplane::client::ClientError;
use longshore_dataplane::proto;
use longshore_dataplane::{DataplaneClient, Dirs};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// A data plane that is just ending is gone within a moment; then a new one is started.
const ENDING_NAP: Duration = Duration::from_millis(50);

/// Talks to the data plane of one pair of directories.
#[derive(Debug, Clone)]
pub struct IscsiBackend {
    dirs: Dirs,
    /// The program that is started as data plane: this one.
    exe: PathBuf,
    identity: InitiatorIdentity,
}

impl IscsiBackend {
    /// A backend; nothing is started before the first attach.
    pub fn new(dirs: Dirs, exe: PathBuf, identity: InitiatorIdentity) -> Self {
        IscsiBackend { dirs, exe, identity }
    }

    /// The running data plane; `None`: there is none, and so no device.
    fn existing(&self, deadline: Instant) -> Result<Option<DataplaneClient>, BackendError> {
        DataplaneClient::connect_existing(&self.dirs, deadline).map_err(failed)
    }

    fn request(&self, iscsi: &IscsiVolume, request: &AttachRequest<'_>) -> proto::AttachRequest {
        let portals = std::iter::once(&iscsi.target_portal)
            .chain(&iscsi.portals)
            .cloned()
            .collect();
        let interface = iscsi.iscsi_interface.clone().filter(|name| name != "default");
        let chap = iscsi.chap.as_ref();
        proto::AttachRequest {
            source: proto::IscsiSource {
                portals,
                iqn: iscsi.iqn.clone(),
                lun: iscsi.lun,
                interface,
                initiator_name: iscsi
                    .initiator_name
                    .clone()
                    .unwrap_or_else(|| self.identity.initiator_name.clone()),
                isid: self.identity.isid,
                chap: chap.map(|chap| proto::Chap {
                    user: chap.username.clone(),
                    secret: chap.password.clone(),
                }),
                mutual_chap: chap
                    .and_then(|chap| chap.mutual.clone())
                    .map(|(user, secret)| proto::Chap { user, secret }),
            },
            read_only: request.read_only,
            expect_wwid: request.expect_wwid.map(str::to_owned),
            data_path: match request.data_path {
                DataPath::Auto => proto::DataPath::Auto,
                DataPath::User => proto::DataPath::User,
            },
            owner: request.owner.to_owned(),
        }
    }
}

impl Backend for IscsiBackend {
    fn attach(&self, request: &AttachRequest<'_>, deadline: Instant) -> Result<Attached, BackendError> {
        let Source::Iscsi(iscsi) = request.source;
        let asked = self.request(iscsi, request);
        loop {
            let mut client =
                DataplaneClient::connect_or_start(&self.dirs, &self.exe, deadline).map_err(failed)?;
            match client.attach(&asked, deadline) {
                Ok(device) => return Ok(attached(&device)),
                Err(error) if is_ending(&error) && Instant::now() < deadline => thread::sleep(ENDING_NAP),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn find(&self, source: &RecordedSource, deadline: Instant) -> Result<Option<Device>, BackendError> {
        let key = source.lun_key();
        Ok(self.list(deadline)?.into_iter().find(|device| device.lun == key))
    }

    fn verify(&self, key: &DeviceKey, deadline: Instant) -> Result<Device, BackendError> {
        let Some(mut client) = self.existing(deadline)? else {
            return Err(no_dataplane());
        };
        client
            .verify(&name(key), deadline)
            .map(|status| shown(&status))
            .map_err(failed)
    }

    fn rescan(&self, key: &DeviceKey, deadline: Instant) -> Result<Device, BackendError> {
        let Some(mut client) = self.existing(deadline)? else {
            return Err(no_dataplane());
        };
        client
            .rescan(&name(key), deadline)
            .map(|status| shown(&status))
            .map_err(failed)
    }

    fn detach(&self, key: &DeviceKey, force: bool, deadline: Instant) -> Result<Outcome, BackendError> {
        let Some(mut client) = self.existing(deadline)? else {
            return Ok(Outcome::AlreadySo);
        };
        match client.detach(&name(key), force, deadline) {
            Ok(outcome) => Ok(converted(outcome)),
            // It ends only when it has no device.
            Err(error) if is_ending(&error) => Ok(Outcome::AlreadySo),
            Err(error) => Err(failed(error)),
        }
    }

    fn fail(&self, key: &DeviceKey, deadline: Instant) -> Result<Outcome, BackendError> {
        let Some(mut client) = self.existing(deadline)? else {
            return Ok(Outcome::AlreadySo);
        };
        client.fail(&name(key), deadline).map(converted).map_err(failed)
    }

    fn list(&self, deadline: Instant) -> Result<Vec<Device>, BackendError> {
        let Some(mut client) = self.existing(deadline)? else {
            return Ok(Vec::new());
        };
        match client.list(deadline) {
            Ok(devices) => Ok(devices.iter().map(shown).collect()),
            Err(error) if is_ending(&error) => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn no_dataplane() -> BackendError {
    BackendError::new(
        ErrorKind::NotFound,
        "the data plane is not running, so the device is gone",
    )
}

/// It ends because nobody needed it; or it ended while we talked to it.
fn is_ending(error: &ClientError) -> bool {
    error.kind() == proto::ErrorKind::ShuttingDown
}

fn name(key: &DeviceKey) -> proto::DeviceKey {
    proto::DeviceKey {
        iqn: key.target.clone(),
        wwid: key.wwid.clone(),
    }
}

fn converted(outcome: proto::Outcome) -> Outcome {
    match outcome {
        proto::Outcome::Changed => Outcome::Changed,
        proto::Outcome::AlreadySo => Outcome::AlreadySo,
    }
}

fn attached(device: &proto::AttachedDevice) -> Attached {
    let steps = device.steps.iter();
    Attached {
        device: described(device),
        outcome: converted(device.outcome),
        steps: steps
            .map(|step| (step.name.clone(), Duration::from_micros(step.duration_us)))
            .collect(),
    }
}

fn shown(status: &proto::DeviceStatus) -> Device {
    let conditions = status.conditions.iter().map(|condition| {
        let reason = format!("{:?}", condition.kind);
        match condition.kind {
            proto::ConditionKind::Fenced | proto::ConditionKind::SessionClosed => {
                Condition::error(&reason, condition.text.clone())
            }
            _ => Condition::warning(&reason, condition.text.clone()),
        }
    });
    Device {
        conditions: conditions.collect(),
        ..described(&status.device)
    }
}

fn described(device: &proto::AttachedDevice) -> Device {
    let session = &device.session;
    let state = match session.state {
        proto::SessionState::Up => "up",
        proto::SessionState::Reconnecting => "reconnecting",
        proto::SessionState::Closed => "closed",
        proto::SessionState::Unknown => "unknown",
    };
    let place = session.address.as_ref().or(session.portal.as_ref());
    let serial = device.serial.as_deref().unwrap_or_default();
    let description = [device.vendor.trim(), device.product.trim(), serial.trim()];
    Device {
        key: DeviceKey {
            target: device.key.iqn.clone(),
            wwid: device.key.wwid.clone(),
        },
        lun: LunKey::iscsi(&device.key.iqn, device.lun),
        path: device.device.clone(),
        number: DeviceNumber {
            major: device.major,
            minor: device.minor,
        },
        read_only: device.read_only,
        size_bytes: device.size_bytes,
        description: description
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
        session: place.map_or_else(|| state.to_owned(), |place| format!("{state} at {place}")),
        conditions: Vec::new(),
    }
}

fn failed(error: ClientError) -> BackendError {
    use proto::ErrorKind as From;
    let kind = match error.kind() {
        From::InvalidRequest => ErrorKind::Invalid,
        From::TargetNotFound | From::LunNotFound | From::NotFound => ErrorKind::NotFound,
        From::AuthenticationFailed | From::AuthorizationFailed => ErrorKind::Authentication,
        From::ResolveFailed
        | From::Unreachable
        | From::LoginFailed
        | From::FlushFailed
        | From::ShuttingDown => ErrorKind::Unreachable,
        From::WwidMismatch | From::IdentityUnproven | From::ReadOnlyMedium => ErrorKind::Refused,
        From::Conflict => ErrorKind::Conflict,
        From::Busy => ErrorKind::InUse,
        From::DeadlineExceeded => ErrorKind::Deadline,
        From::IncompatibleVersion | From::PermissionDenied | From::Unsupported | From::Host => {
            ErrorKind::Unsupported
        }
        From::Other => ErrorKind::Internal,
    };
    let cause = match error.kind() {
        From::WwidMismatch => Cause::WrongIdentity,
        From::ReadOnlyMedium => Cause::WriteProtected,
        _ => Cause::Other,
    };
    let mut text = error.to_string();
    if let ClientError::Remote(remote) = &error {
        let holders: Vec<&str> = remote
            .holders
            .iter()
            .map(|holder| holder.description.as_str())
            .collect();
        if !holders.is_empty() {
            text = format!("{text} ({})", holders.join("; "));
        }
    }
    BackendError::new(kind, text).because(cause)
}

//! The real machine: crates `disk` and `mount`.

use super::{
    Content, FormatAnswer, FormatRequest, Growth, Health, Host, HostError, MountEntry, MountRequest,
    TargetState,
};
use crate::backend::DeviceNumber;
use crate::error::ErrorKind;
use crate::model::{Access, FsType};
use longshore_disk as disk;
use longshore_mount as mount;
use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Disks and mounts of this machine, in the mount namespace of this process.
#[derive(Debug)]
pub struct LinuxHost {
    namespace: mount::MountNamespace,
    tools: disk::Tools,
}

impl LinuxHost {
    /// This machine, with the tools of the system.
    ///
    /// # Errors
    /// When the mount namespace cannot be opened (procfs is missing).
    pub fn new() -> Result<Self, HostError> {
        let namespace = own_namespace()?;
        Ok(LinuxHost {
            namespace,
            tools: disk::Tools::system(),
        })
    }

    fn info(&self) -> Result<mount::MountInfo, HostError> {
        mount::MountInfo::read(&self.namespace).map_err(internal)
    }

    /// The mount that is visible at a place.
    fn top(&self, at: &Path) -> Result<Option<mount::MountEntry>, HostError> {
        Ok(self.info()?.top(at).cloned())
    }

    /// Its parent as root, and its name below that.
    fn below_parent(&self, target: &Path) -> Result<(mount::TargetRoot, PathBuf), HostError> {
        let namespace = own_namespace()?;
        mount::TargetRoot::parent_of(namespace, target).map_err(|e| failed(ErrorKind::Invalid, e))
    }

    fn place(
        &self,
        detached: mount::DetachedMount,
        at: &Path,
        number: mount::DeviceNumber,
        deadline: Instant,
    ) -> Result<MountEntry, HostError> {
        let (root, name) = self.below_parent(at)?;
        let target = mount::TargetDirectory::open(&root, &name).map_err(|e| failed(ErrorKind::Invalid, e))?;
        let placed = detached
            .place(&target, number, deadline)
            .map_err(|error| match error {
                mount::PlaceError::Unanswered { .. } => failed(ErrorKind::Deadline, error),
                other => internal(other),
            })?;
        Ok(shown(&placed.entry))
    }

    fn clone_to(
        &self,
        from: &Path,
        at: &Path,
        access: Access,
        deadline: Instant,
    ) -> Result<MountEntry, HostError> {
        let Some(source) = self.top(from)? else {
            return Err(failed(
                ErrorKind::NotFound,
                format!("nothing is mounted at {}", from.display()),
            ));
        };
        let failed_clone = |error| match error {
            mount::CloneError::Unanswered { .. } => failed(ErrorKind::Deadline, error),
            other => internal(other),
        };
        let mut clone = mount::DetachedMount::clone_of(&self.namespace, from, &[source.device], deadline)
            .map_err(failed_clone)?;
        if access.is_read_only() {
            clone = clone.set_read_only(deadline).map_err(failed_clone)?;
        }
        self.place(clone, at, source.device, deadline)
    }
}

impl Host for LinuxHost {
    fn boot_id(&self) -> Result<String, HostError> {
        let path = "/proc/sys/kernel/random/boot_id";
        let text = std::fs::read_to_string(path);
        text.map(|text| text.trim().to_owned())
            .map_err(|e| internal(format!("cannot read {path}: {e}")))
    }

    fn mounts(&self) -> Result<Vec<MountEntry>, HostError> {
        let info = self.info()?;
        let mut entries = Vec::with_capacity(info.entries().len());
        let mut seen = HashSet::new();
        let mut stacked = HashSet::new();
        for entry in info.entries() {
            if !seen.insert(&entry.mount_point) {
                stacked.insert(&entry.mount_point);
            }
        }
        for entry in info
            .entries()
            .iter()
            .filter(|entry| !stacked.contains(&entry.mount_point))
        {
            entries.push(shown(entry));
        }
        // The table's order is that of the mounts' numbers, which is not always the order in which they are stacked.
        for place in stacked {
            entries.extend(info.layers(place).into_iter().map(shown));
        }
        Ok(entries)
    }

    fn device_is_there(&self, path: &Path, number: DeviceNumber) -> Result<bool, HostError> {
        let size = format!("/sys/dev/block/{number}/size");
        let has_size = std::fs::read_to_string(size).is_ok_and(|text| text.trim() != "0");
        Ok(
            has_size
                && mount::DeviceNumber::of_node(path).is_ok_and(|found| found == Some(converted(number))),
        )
    }

    fn is_held(&self, path: &Path) -> Result<bool, HostError> {
        match disk::Device::open_exclusive(path) {
            Ok(_) => Ok(false),
            Err(disk::DeviceError::Busy { .. }) => Ok(true),
            Err(error) => Err(internal(error)),
        }
    }

    fn probe(&self, device: &Path, number: DeviceNumber, deadline: Instant) -> Result<Content, HostError> {
        check_number(device, number)?;
        let content = disk::probe_path(device, deadline);
        check_number(device, number)?;
        Ok(match content {
            disk::Content::Blank => Content::Blank,
            disk::Content::FileSystem(found) if found.state.exceeds_device => {
                let name = format!(
                    "{found}, which claims {} bytes, more than the device has",
                    found.size_bytes
                );
                Content::Other { name }
            }
            disk::Content::FileSystem(found) => Content::FileSystem {
                fs_type: found.fs_type.into(),
                uuid: found.uuid.to_string(),
                format_uuid: found.format_uuid().map(|uuid| uuid.to_string()),
                dirty: found.state.needs_recovery == Some(true),
            },
            disk::Content::Other(other) => Content::Other {
                name: other.to_string(),
            },
            disk::Content::Unknown(error) => Content::Unknown {
                reason: error.to_string(),
            },
        })
    }

    fn format(&self, request: &FormatRequest<'_>, deadline: Instant) -> Result<FormatAnswer, HostError> {
        let number = (request.number.major, request.number.minor);
        let attested =
            disk::VerifiedIdentity::attest(request.wwid, number, request.size_bytes, request.verified_at);
        let Some(identity) = attested else {
            return Ok(FormatAnswer::Refused(
                "its identity is not proved: it has no WWID".into(),
            ));
        };
        let parse = |uuid: &str| uuid.parse::<disk::FsUuid>().map_err(internal);
        let record = match request.earlier {
            None => disk::FormatRecord::None,
            Some(mark) if mark.complete => disk::FormatRecord::Done(parse(&mark.fs_uuid)?),
            Some(mark) => disk::FormatRecord::Begun(parse(&mark.fs_uuid)?),
        };
        let asked = disk::FormatRequest {
            device: request.device,
            identity: &identity,
            policy: match request.allowed {
                true => disk::FormatPolicy::IfBlank,
                false => disk::FormatPolicy::Never,
            },
            record,
            fs_type: request.fs_type.into(),
            uuid: parse(request.uuid)?,
            label: "",
        };
        match disk::format(&asked, &self.tools, deadline) {
            Ok(made) => Ok(FormatAnswer::Formatted {
                uuid: made.file_system.uuid.to_string(),
            }),
            Err(disk::FormatError::Refused(refusal)) => Ok(FormatAnswer::Refused(refusal.to_string())),
            Err(error @ disk::FormatError::Device(disk::DeviceError::Busy { .. })) => {
                Ok(FormatAnswer::Refused(error.to_string()))
            }
            Err(error @ disk::FormatError::NoAnswer { .. }) => Err(failed(ErrorKind::Deadline, error)),
            Err(disk::FormatError::Tool(error)) => Err(tool_error(error)),
            Err(error) => Err(internal(error)),
        }
    }

    fn check(&self, device: &Path, fs_type: FsType, deadline: Instant) -> Result<Vec<String>, HostError> {
        match disk::fsck::check(fs_type.into(), device, &self.tools, deadline) {
            Ok(disk::fsck::Fsck::Corrected { report }) => {
                Ok(vec![format!("e2fsck corrected errors: {report}")])
            }
            Ok(_) => Ok(Vec::new()),
            Err(disk::fsck::FsckError::Tool(error)) => Err(tool_error(error)),
            Err(error) => Err(failed(ErrorKind::Refused, error)),
        }
    }

    fn mount(
        &self,
        request: &MountRequest<'_>,
        deadline: Instant,
    ) -> Result<(MountEntry, Vec<String>), HostError> {
        let defaults = mount::OptionDefaults::default();
        let options = mount::MountOptions::parse(request.fs_type.as_str(), request.options, defaults)
            .map_err(|e| failed(ErrorKind::Invalid, e))?;
        let number = converted(request.number);
        let asked = mount::MountRequest {
            source: request.device,
            device: number,
            options: &options,
            read_only: request.access.is_read_only(),
            duplicate_uuid: match request.uuid_clash {
                true => mount::DuplicateUuid::ProvenClone,
                false => mount::DuplicateUuid::Refuse,
            },
        };
        let detached = mount::mount_filesystem(&asked, deadline).map_err(|error| match error {
            mount::MountError::NoSuchFileSystem { .. } => failed(ErrorKind::Unsupported, error),
            mount::MountError::Unanswered { .. } => failed(ErrorKind::Deadline, error),
            mount::MountError::WrongDevice { .. } | mount::MountError::DuplicateUuid { .. } => {
                failed(ErrorKind::Refused, error)
            }
            other => internal(other),
        })?;
        let notes = detached.notes().to_vec();
        let entry = self.place(detached, request.at, number, deadline)?;
        Ok((entry, notes))
    }

    fn clone_mount(
        &self,
        from: &Path,
        at: &Path,
        access: Access,
        deadline: Instant,
    ) -> Result<MountEntry, HostError> {
        self.clone_to(from, at, access, deadline)
    }

    fn target_state(&self, target: &Path) -> Result<TargetState, HostError> {
        if let Some(entry) = self.top(target)? {
            return Ok(TargetState::Mounted(shown(&entry)));
        }
        let (root, name) = self.below_parent(target)?;
        match mount::TargetDirectory::open(&root, &name) {
            Ok(_) => Ok(TargetState::Free),
            Err(error) => Err(failed(ErrorKind::Invalid, error)),
        }
    }

    fn publish(
        &self,
        from: &Path,
        target: &Path,
        access: Access,
        deadline: Instant,
    ) -> Result<MountEntry, HostError> {
        self.clone_to(from, target, access, deadline)
    }

    fn unmount_all(&self, at: &Path, deadline: Instant) -> Result<u32, HostError> {
        // The engine looked at what is there before; every layer of it goes.
        let info = self.info()?;
        let layers: Vec<mount::DeviceNumber> = info.layers(at).iter().map(|entry| entry.device).collect();
        if layers.is_empty() {
            return Ok(0);
        }
        let (root, name) = self.below_parent(at)?;
        let options = mount::UnmountOptions::default();
        let done = mount::unmount_all_layers(&root, &name, &layers, options, deadline);
        let done = done.map_err(|error| match error {
            mount::UnmountError::Busy { .. } | mount::UnmountError::Foreign { .. } => {
                failed(ErrorKind::InUse, error)
            }
            mount::UnmountError::Unanswered { .. } => failed(ErrorKind::Deadline, error),
            other => internal(other),
        })?;
        Ok(u32::try_from(done.layers).unwrap_or(u32::MAX))
    }

    fn health(&self, entry: &MountEntry, expected: Access, deadline: Instant) -> Result<Health, HostError> {
        let numbers = [converted(entry.number)];
        let read_write = !expected.is_read_only();
        let at = &entry.mount_point;
        let found =
            mount::health::check(&self.namespace, at, &numbers, read_write, deadline).map_err(internal)?;
        Ok(match found {
            mount::health::Health::Alive => Health::Live,
            mount::health::Health::ReadOnlyByError { evidence } => {
                Health::Dead(format!("the kernel made it read-only after an error: {evidence}"))
            }
            mount::health::Health::ShutDown { evidence } => {
                Health::Dead(format!("it answers only errors: {evidence}"))
            }
            mount::health::Health::Unresponsive { evidence } => {
                Health::Stalled(format!("it does not answer now: {evidence}"))
            }
            mount::health::Health::NotThere { found } => Health::Dead(found),
        })
    }

    fn grow_unmounted(
        &self,
        device: &Path,
        fs_type: FsType,
        deadline: Instant,
    ) -> Result<Option<Growth>, HostError> {
        let (found, device_bytes) = probed(device, fs_type, deadline)?;
        grown(disk::grow::grow_unmounted(
            &found,
            device,
            device_bytes,
            &self.tools,
            deadline,
        ))
    }

    fn grow(
        &self,
        device: &Path,
        fs_type: FsType,
        at: &Path,
        deadline: Instant,
    ) -> Result<Growth, HostError> {
        let (found, device_bytes) = probed(device, fs_type, deadline)?;
        let growth = grown(disk::grow::grow(
            &found,
            device,
            device_bytes,
            at,
            &self.tools,
            deadline,
        ))?;
        Ok(growth.unwrap_or(Growth {
            before_bytes: found.size_bytes,
            after_bytes: found.size_bytes,
        }))
    }
}

/// What is on the device now, and how large the device is now.
fn probed(device: &Path, fs_type: FsType, deadline: Instant) -> Result<(disk::FileSystem, u64), HostError> {
    let device_bytes = disk::Device::open(device).map_err(internal)?.size_bytes();
    match disk::probe_path(device, deadline) {
        disk::Content::FileSystem(found) if found.fs_type == fs_type.into() => Ok((found, device_bytes)),
        other => Err(failed(
            ErrorKind::Refused,
            format!("{} holds {other}", device.display()),
        )),
    }
}

fn grown(result: Result<disk::grow::Grown, disk::grow::GrowError>) -> Result<Option<Growth>, HostError> {
    match result {
        Ok(disk::grow::Grown::Changed {
            before_bytes,
            after_bytes,
        }) => Ok(Some(Growth {
            before_bytes,
            after_bytes,
        })),
        Ok(_) => Ok(None),
        Err(disk::grow::GrowError::Tool(error)) => Err(tool_error(error)),
        Err(error @ disk::grow::GrowError::NotPermitted { .. }) => Err(failed(ErrorKind::Unsupported, error)),
        Err(error) => Err(internal(error)),
    }
}

fn own_namespace() -> Result<mount::MountNamespace, HostError> {
    mount::MountNamespace::own().map_err(|e| failed(ErrorKind::Unsupported, e))
}

fn check_number(device: &Path, number: DeviceNumber) -> Result<(), HostError> {
    match mount::DeviceNumber::of_node(device) {
        Ok(Some(found)) if found == converted(number) => Ok(()),
        Ok(_) => Err(internal(format!(
            "{} is not the device {number} any more",
            device.display()
        ))),
        Err(error) => Err(failed(
            ErrorKind::NotFound,
            format!("cannot look at {}: {error}", device.display()),
        )),
    }
}

fn shown(entry: &mount::MountEntry) -> MountEntry {
    let has = |options: &[std::ffi::OsString], word: &str| options.iter().any(|option| option == word);
    MountEntry {
        mount_point: entry.mount_point.clone(),
        number: DeviceNumber {
            major: entry.device.major,
            minor: entry.device.minor,
        },
        fs_type: entry.fs_type.to_string_lossy().into_owned(),
        source: entry.source.to_string_lossy().into_owned(),
        read_only: has(&entry.options, "ro"),
        super_read_only: ["ro", "emergency_ro", "shutdown"]
            .iter()
            .any(|word| has(&entry.super_options, word)),
    }
}

fn converted(number: DeviceNumber) -> mount::DeviceNumber {
    mount::DeviceNumber::new(number.major, number.minor)
}

fn failed(kind: ErrorKind, error: impl Display) -> HostError {
    HostError::new(kind, error.to_string())
}

fn internal(error: impl Display) -> HostError {
    failed(ErrorKind::Internal, error)
}

fn tool_error(error: disk::ToolError) -> HostError {
    let kind = match &error {
        disk::ToolError::Missing { .. } => ErrorKind::Unsupported,
        disk::ToolError::Deadline { .. } => ErrorKind::Deadline,
        _ => ErrorKind::Internal,
    };
    failed(kind, error)
}

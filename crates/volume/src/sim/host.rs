//! The simulated machine's disks and mounts. Target directories are real directories; what is mounted is a table.

use super::Sim;
use super::world::{Disk, SimFs, SimMount, World};
use crate::backend::DeviceNumber;
use crate::error::ErrorKind;
use crate::host::{
    Content, FormatAnswer, FormatRequest, Growth, Health, Host, HostError, MountEntry, MountRequest,
    TargetState,
};
use crate::model::{Access, FsType};
use std::path::Path;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct SimHost(pub(super) Sim);

impl SimHost {
    fn edit<T>(&self, change: impl FnOnce(&mut World) -> Result<T, HostError>) -> Result<T, HostError> {
        let edited = self.0.edit(change);
        edited.map_err(|e| HostError::new(ErrorKind::Internal, format!("the simulated machine: {e}")))?
    }
}

fn failed(kind: ErrorKind, text: impl Into<String>) -> HostError {
    HostError::new(kind, text)
}

fn shown(mount: &SimMount) -> MountEntry {
    MountEntry {
        mount_point: mount.at.clone(),
        number: World::number(mount.minor),
        fs_type: mount.fs_type.to_string(),
        source: World::path(mount.minor).display().to_string(),
        read_only: mount.read_only,
        super_read_only: mount.super_read_only,
    }
}

fn minor_of(world: &World, device: &Path) -> Result<u32, HostError> {
    let found = world
        .devices
        .iter()
        .find(|known| World::path(known.minor) == device);
    found.map(|known| known.minor).ok_or_else(|| {
        failed(
            ErrorKind::NotFound,
            format!("cannot open {}: no such device", device.display()),
        )
    })
}

fn is_mounted(world: &World, minor: u32) -> bool {
    world.mounts.iter().any(|mount| mount.minor == minor)
}

impl Host for SimHost {
    fn boot_id(&self) -> Result<String, HostError> {
        self.edit(|world| Ok(format!("boot-{}", world.boot)))
    }

    fn mounts(&self) -> Result<Vec<MountEntry>, HostError> {
        self.edit(|world| Ok(world.mounts.iter().map(shown).collect()))
    }

    fn device_is_there(&self, _path: &Path, number: DeviceNumber) -> Result<bool, HostError> {
        self.edit(|world| Ok(world.device(number.minor).is_some()))
    }

    fn is_held(&self, path: &Path) -> Result<bool, HostError> {
        self.edit(|world| {
            let minor = minor_of(world, path)?;
            Ok(is_mounted(world, minor) || world.device(minor).is_some_and(|device| device.held))
        })
    }

    fn probe(&self, device: &Path, _number: DeviceNumber, _deadline: Instant) -> Result<Content, HostError> {
        self.edit(|world| {
            let minor = minor_of(world, device)?;
            Ok(match world.disk(minor).map(|lun| lun.disk.clone()) {
                Some(Disk::Blank) => Content::Blank,
                Some(Disk::Fs(SimFs {
                    fs_type,
                    uuid,
                    label,
                    dirty,
                    ..
                })) => Content::FileSystem {
                    fs_type,
                    format_uuid: Some(if fs_type == FsType::Btrfs {
                        label
                    } else {
                        uuid.clone()
                    }),
                    uuid,
                    dirty,
                },
                Some(Disk::Other(name)) => Content::Other { name },
                Some(Disk::Unreadable) | None => Content::Unknown {
                    reason: "input/output error".into(),
                },
            })
        })
    }

    fn format(&self, request: &FormatRequest<'_>, _deadline: Instant) -> Result<FormatAnswer, HostError> {
        self.edit(|world| {
            let minor = minor_of(world, request.device)?;
            let busy = is_mounted(world, minor);
            let size_bytes = world.device(minor).map_or(0, |device| device.size_bytes);
            let number = world.formatted + 1;
            let Some(lun) = world.disk(minor) else {
                return Ok(FormatAnswer::Refused("it could not be read".into()));
            };
            let refusal = match () {
                () if request.wwid != lun.wwid => Some("its identity was not verified"),
                () if !request.allowed => Some("the volume does not allow it"),
                () if request.earlier.is_some_and(|mark| mark.complete) => Some("it was formatted before"),
                () if lun.disk != Disk::Blank => Some("it is not blank"),
                () if busy => Some("it is in use"),
                () => None,
            };
            if let Some(reason) = refusal {
                return Ok(FormatAnswer::Refused(reason.into()));
            }
            let allowed = lun.may_format;
            let wwid = lun.wwid.clone();
            let fs_type = request.fs_type;
            // As mkfs.btrfs does, which chooses the UUID itself.
            let (uuid, label) = match fs_type {
                FsType::Btrfs => (
                    format!("b7f50000-0000-4000-8000-{number:012}"),
                    request.uuid.to_owned(),
                ),
                FsType::Ext4 | FsType::Xfs => (request.uuid.to_owned(), String::new()),
            };
            lun.disk = Disk::Fs(SimFs {
                fs_type,
                uuid: uuid.clone(),
                label,
                dirty: false,
                size_bytes,
            });
            world.formatted += 1;
            if !allowed {
                world
                    .violations
                    .push(format!("formatted {wwid}, which was not to be formatted"));
            }
            Ok(FormatAnswer::Formatted { uuid })
        })
    }

    fn check(&self, device: &Path, _fs_type: FsType, _deadline: Instant) -> Result<Vec<String>, HostError> {
        self.edit(|world| {
            let minor = minor_of(world, device)?;
            if is_mounted(world, minor) {
                world
                    .violations
                    .push(format!("checked {} while it is mounted", device.display()));
            }
            match world.disk(minor).map(|lun| &mut lun.disk) {
                Some(Disk::Fs(fs)) if fs.dirty => {
                    fs.dirty = false;
                    Ok(vec!["the journal was replayed".into()])
                }
                _ => Ok(Vec::new()),
            }
        })
    }

    fn mount(
        &self,
        request: &MountRequest<'_>,
        _deadline: Instant,
    ) -> Result<(MountEntry, Vec<String>), HostError> {
        self.edit(|world| {
            if world.fail_mounts > 0 {
                world.fail_mounts -= 1;
                return Err(failed(ErrorKind::Internal, "mount failed, as the test asked"));
            }
            let minor = minor_of(world, request.device)?;
            let read_only_device = world.device(minor).is_some_and(|device| device.read_only);
            let read_only = request.access.is_read_only();
            if !world.at(request.at).is_empty() {
                world
                    .violations
                    .push(format!("mounted over a mount at {}", request.at.display()));
            }
            if read_only_device && !read_only {
                return Err(failed(ErrorKind::Refused, "the device is read-only"));
            }
            let live = world.mounts.iter().find(|mount| mount.minor == minor);
            if live.is_some_and(|mount| mount.super_read_only != read_only) {
                return Err(failed(
                    ErrorKind::InUse,
                    "the device is mounted with another access",
                ));
            }
            let Some(Disk::Fs(fs)) = world.disk(minor).map(|lun| &mut lun.disk) else {
                return Err(failed(
                    ErrorKind::Refused,
                    "there is no file system on the device",
                ));
            };
            if fs.fs_type != request.fs_type {
                return Err(failed(ErrorKind::Refused, "the file system is of another type"));
            }
            fs.dirty |= !read_only;
            let (fs_type, uuid) = (fs.fs_type, fs.uuid.clone());
            let clash = fs_type == FsType::Xfs && other_mounted_uuids(world, minor).contains(&uuid);
            if clash && !request.uuid_clash {
                return Err(failed(
                    ErrorKind::Internal,
                    "a file system with this UUID is mounted already",
                ));
            }
            let at = request.at.to_owned();
            let mount = SimMount {
                at,
                minor,
                fs_type,
                read_only,
                super_read_only: read_only,
                dead: false,
            };
            world.mounted += 1;
            world.mounts.push(mount.clone());
            note_double_mounts(world);
            Ok((shown(&mount), Vec::new()))
        })
    }

    fn clone_mount(
        &self,
        from: &Path,
        at: &Path,
        access: Access,
        _deadline: Instant,
    ) -> Result<MountEntry, HostError> {
        self.edit(|world| place_clone(world, from, at, access))
    }

    fn target_state(&self, target: &Path) -> Result<TargetState, HostError> {
        let mounted = self.edit(|world| Ok(world.at(target).last().map(|mount| shown(mount))))?;
        if let Some(entry) = mounted {
            return Ok(TargetState::Mounted(entry));
        }
        let invalid = |text: &str| Err(failed(ErrorKind::Invalid, text));
        match target.symlink_metadata() {
            Err(error) => invalid(&error.to_string()),
            Ok(meta) if meta.is_symlink() => invalid("it is a symbolic link"),
            Ok(meta) if !meta.is_dir() => invalid("it is not a directory"),
            Ok(_) => match std::fs::read_dir(target).map(|mut entries| entries.next().is_none()) {
                Ok(true) => Ok(TargetState::Free),
                Ok(false) => invalid("it is not empty"),
                Err(error) => invalid(&error.to_string()),
            },
        }
    }

    fn publish(
        &self,
        from: &Path,
        target: &Path,
        access: Access,
        _deadline: Instant,
    ) -> Result<MountEntry, HostError> {
        if let TargetState::Mounted(entry) = self.target_state(target)? {
            return Err(failed(
                ErrorKind::Conflict,
                format!("{} is mounted there", entry.source),
            ));
        }
        self.edit(|world| {
            let entry = place_clone(world, from, target, access)?;
            if world.lose_publications > 0 {
                world.lose_publications -= 1;
                world.unmount(target);
            }
            Ok(entry)
        })
    }

    fn unmount_all(&self, at: &Path, _deadline: Instant) -> Result<u32, HostError> {
        self.edit(|world| {
            if world.fail_unmounts > 0 {
                world.fail_unmounts -= 1;
                return Err(failed(
                    ErrorKind::InUse,
                    format!("cannot unmount {}: busy", at.display()),
                ));
            }
            Ok(world.unmount(at))
        })
    }

    fn health(&self, entry: &MountEntry, _expected: Access, _deadline: Instant) -> Result<Health, HostError> {
        self.edit(|world| {
            let dead = world
                .at(&entry.mount_point)
                .last()
                .is_some_and(|mount| mount.dead);
            let gone = world.device(entry.number.minor).is_none();
            Ok(match dead || gone {
                true => Health::Dead("it answers only errors".into()),
                false => Health::Live,
            })
        })
    }

    fn grow_unmounted(
        &self,
        device: &Path,
        fs_type: FsType,
        deadline: Instant,
    ) -> Result<Option<Growth>, HostError> {
        let mounted = self.edit(|world| Ok(is_mounted(world, minor_of(world, device)?)))?;
        if mounted {
            self.edit(|world| {
                world
                    .violations
                    .push(format!("grew {} as if it were not mounted", device.display()));
                Ok(())
            })?;
        }
        self.grow(device, fs_type, Path::new(""), deadline).map(Some)
    }

    fn grow(
        &self,
        device: &Path,
        _fs_type: FsType,
        _at: &Path,
        _deadline: Instant,
    ) -> Result<Growth, HostError> {
        self.edit(|world| {
            let minor = minor_of(world, device)?;
            let after_bytes = world.device(minor).map_or(0, |device| device.size_bytes);
            match world.disk(minor).map(|lun| &mut lun.disk) {
                Some(Disk::Fs(fs)) => {
                    let before_bytes = std::mem::replace(&mut fs.size_bytes, after_bytes);
                    Ok(Growth {
                        before_bytes,
                        after_bytes,
                    })
                }
                _ => Err(failed(
                    ErrorKind::Refused,
                    "there is no file system on the device",
                )),
            }
        })
    }
}

fn place_clone(world: &mut World, from: &Path, at: &Path, access: Access) -> Result<MountEntry, HostError> {
    let Some(source) = world.at(from).last().map(|mount| (*mount).clone()) else {
        return Err(failed(
            ErrorKind::NotFound,
            format!("nothing is mounted at {}", from.display()),
        ));
    };
    if !world.at(at).is_empty() {
        world
            .violations
            .push(format!("mounted over a mount at {}", at.display()));
    }
    let read_only = source.read_only || access.is_read_only();
    let mount = SimMount {
        at: at.to_owned(),
        read_only,
        ..source
    };
    world.mounts.push(mount.clone());
    Ok(shown(&mount))
}

/// UUIDs of the file systems that are mounted from other devices.
fn other_mounted_uuids(world: &mut World, minor: u32) -> Vec<String> {
    let others: Vec<u32> = world
        .mounts
        .iter()
        .map(|mount| mount.minor)
        .filter(|other| *other != minor)
        .collect();
    others
        .into_iter()
        .filter_map(|other| match world.disk(other).map(|lun| lun.disk.clone()) {
            Some(Disk::Fs(fs)) => Some(fs.uuid),
            _ => None,
        })
        .collect()
}

/// One disk under two devices with a mount each would be two journals on one file system.
fn note_double_mounts(world: &mut World) {
    let mut seen: Vec<(String, String, u32)> = Vec::new();
    for device in &world.devices {
        if !world
            .mounts
            .iter()
            .any(|mount| mount.minor == device.minor && !mount.dead)
        {
            continue;
        }
        let name = (device.target.clone(), device.wwid.clone());
        if let Some((target, wwid, other)) = seen.iter().find(|(t, w, _)| (t, w) == (&name.0, &name.1)) {
            let text = format!(
                "{wwid} of {target} is mounted from minors {other} and {}",
                device.minor
            );
            world.violations.push(text);
            return;
        }
        seen.push((name.0, name.1, device.minor));
    }
}

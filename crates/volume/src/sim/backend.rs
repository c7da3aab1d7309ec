//! The simulated backend: attaches simulated LUNs, with the refusals of a real one.

use super::Sim;
use super::world::{Hold, SimDevice, World};
use crate::backend::{AttachRequest, Attached, Backend, BackendError, Cause, Device, DeviceKey};
use crate::error::ErrorKind;
use crate::model::{LunKey, Outcome, RecordedSource};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct SimBackend(pub(super) Sim);

impl SimBackend {
    fn edit<T>(&self, change: impl FnOnce(&mut World) -> Result<T, BackendError>) -> Result<T, BackendError> {
        self.0.edit(change).map_err(machine_error)?
    }

    fn pause(&self, which: impl Fn(&mut World) -> &mut Hold) -> Result<(), BackendError> {
        self.0.pause(which).map_err(machine_error)
    }
}

fn machine_error(error: std::io::Error) -> BackendError {
    BackendError::new(ErrorKind::Internal, format!("the simulated machine: {error}"))
}

fn failed(kind: ErrorKind, text: impl Into<String>) -> BackendError {
    BackendError::new(kind, text)
}

fn shown(device: &SimDevice) -> Device {
    Device {
        key: DeviceKey {
            target: device.target.clone(),
            wwid: device.wwid.clone(),
        },
        lun: device.lun.clone(),
        path: World::path(device.minor),
        number: World::number(device.minor),
        read_only: device.read_only,
        size_bytes: device.size_bytes,
        description: "simulated disk".into(),
        session: "simulated".into(),
        conditions: Vec::new(),
    }
}

fn is(device: &SimDevice, key: &DeviceKey) -> bool {
    device.target == key.target && device.wwid == key.wwid
}

impl Backend for SimBackend {
    fn attach(&self, request: &AttachRequest<'_>, _deadline: Instant) -> Result<Attached, BackendError> {
        let key = LunKey::of(request.source);
        self.pause(|world| &mut world.hold_attach)?;
        self.edit(|world| {
            let Some(lun) = world.luns.get(key.as_str()).cloned() else {
                return Err(failed(ErrorKind::NotFound, "the target has no such LUN"));
            };
            if lun.unreachable {
                return Err(failed(
                    ErrorKind::Unreachable,
                    "no portal answered: connection refused",
                ));
            }
            let expected = request.expect_wwid.filter(|_| !world.trusts_blindly);
            if expected.is_some_and(|expected| expected != lun.wwid) {
                let text = format!("the LUN's WWID is {}", lun.wwid);
                return Err(failed(ErrorKind::Refused, text).because(Cause::WrongIdentity));
            }
            if lun.read_only && !request.read_only {
                let error = failed(ErrorKind::Refused, "the LUN is write-protected");
                return Err(error.because(Cause::WriteProtected));
            }
            let there = world
                .devices
                .iter()
                .find(|d| d.target == lun.target && d.wwid == lun.wwid);
            if let Some(device) = there {
                if device.read_only != request.read_only {
                    return Err(failed(
                        ErrorKind::Conflict,
                        "the device is attached with another access",
                    ));
                }
                return Ok(Attached {
                    device: shown(device),
                    outcome: Outcome::AlreadySo,
                    steps: Vec::new(),
                });
            }
            let device = SimDevice {
                lun: key,
                target: lun.target,
                wwid: lun.wwid,
                minor: world.next_minor,
                read_only: request.read_only,
                size_bytes: lun.size_bytes,
                held: false,
            };
            world.next_minor += 1;
            world.attached += 1;
            world.devices.push(device.clone());
            let steps = vec![("log in".to_owned(), Duration::from_micros(1))];
            Ok(Attached {
                device: shown(&device),
                outcome: Outcome::Changed,
                steps,
            })
        })
    }

    fn find(&self, source: &RecordedSource, _deadline: Instant) -> Result<Option<Device>, BackendError> {
        let key = source.lun_key();
        self.edit(|world| Ok(world.devices.iter().find(|device| device.lun == key).map(shown)))
    }

    fn verify(&self, key: &DeviceKey, _deadline: Instant) -> Result<Device, BackendError> {
        self.edit(|world| {
            let Some(device) = world.devices.iter().find(|device| is(device, key)).cloned() else {
                return Err(failed(ErrorKind::NotFound, "there is no such device"));
            };
            match world.disk(device.minor) {
                Some(lun) if lun.unreachable => {
                    Err(failed(ErrorKind::Unreachable, "the target does not answer"))
                }
                Some(_) => Ok(shown(&device)),
                None => {
                    let error = failed(ErrorKind::Refused, "the LUN is another disk now");
                    Err(error.because(Cause::WrongIdentity))
                }
            }
        })
    }

    fn rescan(&self, key: &DeviceKey, deadline: Instant) -> Result<Device, BackendError> {
        self.verify(key, deadline)?;
        self.edit(|world| {
            let at = world.devices.iter().position(|device| is(device, key));
            let Some(device) = at.and_then(|at| world.devices.get(at)).cloned() else {
                return Err(failed(ErrorKind::NotFound, "there is no such device"));
            };
            let size = world
                .disk(device.minor)
                .map_or(device.size_bytes, |lun| lun.size_bytes);
            for device in world.devices.iter_mut().filter(|device| is(device, key)) {
                device.size_bytes = size;
            }
            Ok(shown(&SimDevice {
                size_bytes: size,
                ..device
            }))
        })
    }

    fn detach(&self, key: &DeviceKey, _force: bool, _deadline: Instant) -> Result<Outcome, BackendError> {
        self.pause(|world| &mut world.hold_detach)?;
        self.edit(|world| {
            let Some(device) = world.devices.iter().find(|device| is(device, key)).cloned() else {
                return Ok(Outcome::AlreadySo);
            };
            if device.held || world.mounts.iter().any(|mount| mount.minor == device.minor) {
                return Err(failed(
                    ErrorKind::InUse,
                    format!("{} is open", World::path(device.minor).display()),
                ));
            }
            world.devices.retain(|other| other.minor != device.minor);
            Ok(Outcome::Changed)
        })
    }

    fn fail(&self, key: &DeviceKey, _deadline: Instant) -> Result<Outcome, BackendError> {
        self.edit(|world| {
            let Some(device) = world.devices.iter_mut().find(|device| is(device, key)) else {
                return Ok(Outcome::AlreadySo);
            };
            // Whoever waited on it gets its error and lets go.
            device.held = false;
            Ok(Outcome::Changed)
        })
    }

    fn list(&self, _deadline: Instant) -> Result<Vec<Device>, BackendError> {
        self.edit(|world| Ok(world.devices.iter().map(shown).collect()))
    }
}

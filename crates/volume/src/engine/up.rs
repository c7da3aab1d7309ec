//! The common first part of attach and stage: conflicts, the device, and its identity (F3).

use super::work::Work;
use super::{AttachedVolume, Engine};
use crate::backend::{AttachRequest, BackendError, Cause, Device};
use crate::error::VolumeError;
use crate::journal::{DeviceRecord, LunRecord, VolumeRecord};
use crate::model::{Access, Outcome, RecordedSpec, VolumeSpec, differences};
use crate::progress::{Phase, Step};

/// Who says what a disk should be.
const BY_SPEC: &str = "the specification's field wwid";
const BY_RECORD: &str = "the record of its earlier use";

/// What a volume is to be used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    RawDevice,
    FileSystem,
}

impl Work<'_, '_> {
    /// Checks the request against the volume's own record and its siblings', and adopts the request's parameters when
    /// the volume is not in use. Gives the siblings.
    pub(super) fn agree(
        &mut self,
        asked: &RecordedSpec,
        purpose: Purpose,
    ) -> Result<Vec<VolumeRecord>, VolumeError> {
        let other_lun = self.on_disk && self.lun() != asked.source.lun_key();
        if other_lun || self.was_in_use {
            self.agree_with(&self.record, asked, purpose)?;
        } else {
            self.record.spec = RecordedSpec {
                extra: self.record.spec.extra.clone(),
                ..asked.clone()
            };
        }
        self.lock_lun()?;
        let siblings = self.siblings()?.all_known()?;
        for sibling in siblings.iter().filter(|sibling| sibling.is_in_use()) {
            self.agree_with(sibling, asked, purpose)?;
        }
        Ok(siblings)
    }

    fn agree_with(
        &self,
        user: &VolumeRecord,
        asked: &RecordedSpec,
        purpose: Purpose,
    ) -> Result<(), VolumeError> {
        let differences = differences(&user.spec, asked);
        if !differences.is_empty() {
            return Err(VolumeError::Conflict {
                id: self.id.clone(),
                user: user.id.clone(),
                differences,
            });
        }
        let (by, remedy) = match (purpose, user.block.is_some(), user.staging.is_some()) {
            (Purpose::FileSystem, true, _) => (
                format!("its LUN is attached as a raw block device by {}", user.id),
                "detach that first",
            ),
            (Purpose::RawDevice, _, true) => (
                format!("its LUN is mounted as a file system by {}", user.id),
                "unmount that first",
            ),
            _ => return Ok(()),
        };
        Err(VolumeError::InUse {
            id: self.id.clone(),
            by,
            remedy: remedy.into(),
        })
    }

    /// Attaches the device (or finds it attached) and proves that it is the one that it was and should be. The LUN's
    /// witness is written before anything can be done with the device.
    pub(super) fn attach_device(
        &mut self,
        spec: &VolumeSpec,
        siblings: &[VolumeRecord],
    ) -> Result<(Outcome, Device), VolumeError> {
        let witness = self.engine.journal.lun(&self.lun())?;
        let known_wwid = witness.as_ref().and_then(|known| known.wwid.clone());
        let expected = spec.wwid.clone().or_else(|| known_wwid.clone());
        // A read-only view of what a sibling uses read-write shares the sibling's device.
        let mut users = siblings.iter().filter(|sibling| sibling.is_in_use());
        let by_user = users.find_map(|user| user.device.as_ref().map(|device| device.read_only));
        let read_only = by_user.unwrap_or(spec.access.is_read_only());
        self.drop_device_of_other_access(read_only, siblings)?;

        let running = self.begin(Step::Attach, self.record.spec.source.to_string())?;
        let request = AttachRequest {
            source: &spec.source,
            read_only,
            expect_wwid: expected.as_deref(),
            data_path: spec.data_path,
            owner: self.id.as_str(),
        };
        let deadline = self.deadline();
        let result = self.backend(Step::Attach).and_then(|backend| {
            backend
                .attach(&request, deadline)
                .map_err(|e| self.attach_error(e, spec, expected.as_deref()))
        });
        let attached = self.end(running, result)?;
        for (name, took) in &attached.steps {
            let phase = Phase::Detail {
                name: name.clone(),
                took: *took,
            };
            self.call.tell(
                Step::Attach,
                attached.device.path.display().to_string().as_str(),
                phase,
            );
        }
        let mut device = attached.device;
        if device.lun != self.lun() {
            // Two LUN numbers lead to one disk. The device belongs to the other one, so it stays.
            let by = format!("its disk {} is attached as {}", device.key, device.lun);
            let remedy = "use it by that LUN number, or take that volume down first".to_owned();
            return Err(VolumeError::InUse {
                id: self.id.clone(),
                by,
                remedy,
            });
        }
        self.record.device = Some(DeviceRecord {
            key: device.key.clone(),
            path: device.path.clone(),
            number: device.number,
            read_only: device.read_only,
            size_bytes: device.size_bytes,
            extra: self.record.device.take().map(|old| old.extra).unwrap_or_default(),
        });
        if attached.outcome == Outcome::AlreadySo {
            // It was attached at some earlier time: who is there now?
            device = self.verify_live(&device, spec)?;
        }
        self.identify(spec, witness, &device)?;
        Ok((attached.outcome, device))
    }

    /// Reads the identity of an attached device again, through the session that serves it.
    pub(super) fn verify_live(&self, device: &Device, spec: &VolumeSpec) -> Result<Device, VolumeError> {
        let verified = self.backend(Step::Identify)?.verify(&device.key, self.deadline());
        verified.map_err(|e| self.attach_error(e, spec, Some(&device.key.wwid)))
    }

    /// Compares what was read live with the specification and the witness, then makes it the witness.
    fn identify(
        &mut self,
        spec: &VolumeSpec,
        witness: Option<LunRecord>,
        device: &Device,
    ) -> Result<(), VolumeError> {
        let found = &device.key.wwid;
        if let Some(expected) = spec.wwid.as_ref().filter(|expected| *expected != found) {
            return Err(self.other_disk(BY_SPEC, expected, found));
        }
        let mut known = witness.unwrap_or_else(|| LunRecord::new(self.lun()));
        if let Some(expected) = known.wwid.as_ref().filter(|expected| *expected != found) {
            return Err(self.other_disk(BY_RECORD, expected, found));
        }
        if let Some(before) = known.size_bytes.filter(|before| *before > device.size_bytes) {
            return Err(VolumeError::IdentityChanged {
                id: self.id.clone(),
                what: "capacity",
                found: format!("{} bytes", device.size_bytes).into(),
                expected: format!("at least {before} bytes"),
                expected_by: BY_RECORD,
                remedy: self.forget_remedy().into(),
            });
        }
        if known.wwid.is_none() {
            known.wwid = Some(found.clone());
            self.engine.journal.write_lun(&known)?;
        }
        Ok(())
    }

    fn other_disk(&self, expected_by: &'static str, expected: &str, found: &str) -> VolumeError {
        let remedy = match expected_by {
            BY_SPEC => "correct that field".to_owned(),
            _ => self.forget_remedy(),
        };
        VolumeError::IdentityChanged {
            id: self.id.clone(),
            what: "WWID",
            found: found.into(),
            expected: expected.to_owned(),
            expected_by,
            remedy: remedy.into(),
        }
    }

    pub(super) fn forget_remedy(&self) -> String {
        format!("accept it with `longshore forget {}`", self.lun())
    }

    /// An interrupted call with another access may have left the device: nobody was given it, so it goes.
    fn drop_device_of_other_access(
        &mut self,
        read_only: bool,
        siblings: &[VolumeRecord],
    ) -> Result<(), VolumeError> {
        if !self.on_disk || self.was_in_use || !siblings.is_empty() {
            return Ok(());
        }
        let deadline = self.deadline();
        let found = self
            .backend(Step::Attach)?
            .find(&self.record.spec.source, deadline);
        let found = found.map_err(|e| self.backend_error(Step::Attach, e))?;
        let Some(device) = found.filter(|device| device.read_only != read_only) else {
            return Ok(());
        };
        let running = self.begin(Step::Detach, device.path.display())?;
        let gone = self.backend(Step::Detach).and_then(|backend| {
            backend
                .detach(&device.key, false, deadline)
                .map_err(|e| self.backend_error(Step::Detach, e))
        });
        self.end(running, gone)?;
        self.record.device = None;
        Ok(())
    }

    pub(super) fn backend_error(&self, step: Step, source: BackendError) -> VolumeError {
        VolumeError::Backend {
            id: self.id.clone(),
            step,
            source,
        }
    }

    /// Gives a backend's error the engine's own form where there is one.
    fn attach_error(&self, error: BackendError, spec: &VolumeSpec, expected: Option<&str>) -> VolumeError {
        match (error.cause, expected) {
            (Cause::WrongIdentity, Some(expected)) => {
                let by_spec = spec.wwid.as_deref() == Some(expected);
                let (expected_by, remedy) = match by_spec {
                    true => (BY_SPEC, "correct that field".to_owned()),
                    false => (BY_RECORD, self.forget_remedy()),
                };
                VolumeError::OtherDisk {
                    id: self.id.clone(),
                    reason: error.message,
                    expected: expected.to_owned(),
                    expected_by,
                    remedy,
                }
            }
            (Cause::WriteProtected, _) => VolumeError::ReadOnlyDevice {
                id: self.id.clone(),
                reason: error.message,
            },
            _ => self.backend_error(Step::Attach, error),
        }
    }
}

impl Engine {
    /// The answer about a device.
    pub(super) fn attached_volume(work: &Work<'_, '_>, device: &DeviceRecord) -> AttachedVolume {
        AttachedVolume {
            id: work.id.clone(),
            device: device.path.clone(),
            link: work.record.block.as_ref().map(|block| block.link.clone()),
            number: device.number,
            wwid: device.key.wwid.clone(),
            size_bytes: device.size_bytes,
            access: Access::from_read_only(device.read_only),
        }
    }
}

/// Whether the backend and the kernel still have the device that the record names. Touches no remote side.
pub(super) fn device_is_live(work: &Work<'_, '_>, device: &DeviceRecord) -> Result<bool, VolumeError> {
    let found = work
        .backend(Step::Identify)?
        .find(&work.record.spec.source, work.deadline());
    let found = found.map_err(|e| work.backend_error(Step::Identify, e))?;
    if !found.is_some_and(|now| now.key == device.key && now.number == device.number) {
        return Ok(false);
    }
    let there = work
        .engine
        .config
        .host
        .device_is_there(&device.path, device.number);
    there.map_err(|e| work.host_error(Step::Identify, e))
}

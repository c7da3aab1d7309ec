//! List, show and reconcile: the journal compared with the kernel and the backends. Changes nothing (F6).

use super::stage::is_on;
use super::view::{DeviceView, PublicationView, Report, StagingView, VolumeState, VolumeView};
use super::{Call, Engine};
use crate::backend::Device;
use crate::error::VolumeError;
use crate::host::{Health, MountEntry};
use crate::journal::{JournalError, LunRecord, Place, VolumeRecord};
use crate::lock;
use crate::model::{Access, Condition, LunKey, VolumeId};
use std::path::Path;

/// The kernel and the backends at one moment.
struct Now {
    mounts: Vec<MountEntry>,
    devices: Vec<Device>,
    /// What could not be looked at.
    unknown: Vec<String>,
}

impl Engine {
    /// Every volume in use. Reads only.
    ///
    /// # Errors
    /// When the journal cannot be listed; a damaged record is a view with a condition.
    pub fn list(&self, call: &mut Call<'_>) -> Result<Vec<VolumeView>, VolumeError> {
        let now = self.look(call)?;
        self.views(&now)
    }

    /// One volume, also one that is not in use but whose LUN is known. Reads only; asks the mounted file system how
    /// it fares.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn show(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<VolumeView, VolumeError> {
        let now = self.look(call)?;
        if let Some(place) = self.journal.place(id)? {
            let mut view = self.view(&place, &now)?;
            self.add_health(&mut view, &now, call);
            return Ok(view);
        }
        let lun = LunKey::from(id.clone());
        let mut view = VolumeView::empty(id.clone(), lun.clone());
        self.add_witness(&mut view);
        if view.witness.is_none() && view.conditions.is_empty() {
            return Err(VolumeError::UnknownVolume { id: id.clone() });
        }
        Ok(view)
    }

    /// What a start-up looks at: every volume, and what no volume accounts for. Reads only (F6).
    ///
    /// # Errors
    /// When the journal cannot be listed.
    pub fn reconcile(&self, call: &mut Call<'_>) -> Result<Report, VolumeError> {
        let now = self.look(call)?;
        let volumes = self.views(&now)?;
        let luns: Vec<&LunKey> = volumes.iter().map(|view| &view.lun).collect();
        let orphan_devices = now
            .devices
            .iter()
            .filter(|device| !luns.contains(&&device.lun))
            .map(|device| format!("{} ({}), {}", device.path.display(), device.key, device.lun))
            .collect();
        let staged: Vec<_> = volumes.iter().map(|view| self.staging_path(&view.id)).collect();
        let root = self.staging_root();
        let orphan_mounts = now
            .mounts
            .iter()
            .filter(|entry| entry.mount_point.parent() == Some(&root) && !staged.contains(&entry.mount_point))
            .map(|entry| entry.mount_point.clone())
            .collect();
        Ok(Report {
            volumes,
            orphan_devices,
            orphan_mounts,
            unknown: now.unknown,
        })
    }

    fn look(&self, call: &Call<'_>) -> Result<Now, VolumeError> {
        let mut now = Now {
            mounts: Vec::new(),
            devices: Vec::new(),
            unknown: Vec::new(),
        };
        now.mounts = self.config.host.mounts().map_err(VolumeError::Machine)?;
        for backend in self.config.backends.all() {
            match backend.list(call.deadline()) {
                Ok(devices) => now.devices.extend(devices),
                Err(error) => now.unknown.push(error.to_string()),
            }
        }
        Ok(now)
    }

    fn views(&self, now: &Now) -> Result<Vec<VolumeView>, VolumeError> {
        self.journal
            .places()?
            .iter()
            .map(|place| self.view(place, now))
            .collect()
    }

    fn view(&self, place: &Place, now: &Now) -> Result<VolumeView, VolumeError> {
        let mut view = VolumeView::empty(place.id.clone(), place.lun.clone());
        view.operation = lock::holder(&self.volume_lock(&place.id));
        self.add_witness(&mut view);
        match self.journal.volume(place) {
            Ok(Some(record)) => self.fill(&mut view, &record, now),
            Ok(None) => {}
            Err(error @ (JournalError::Damaged { .. } | JournalError::Newer { .. })) => {
                view.state = VolumeState::Damaged;
                view.conditions
                    .push(Condition::error("JournalDamaged", error.to_string()));
                view.device = now
                    .devices
                    .iter()
                    .find(|device| device.lun == place.lun)
                    .map(DeviceView::of);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(view)
    }

    fn add_witness(&self, view: &mut VolumeView) {
        match self.journal.lun(&view.lun) {
            Ok(witness) => view.witness = witness,
            Err(error) => view
                .conditions
                .push(Condition::error("JournalDamaged", error.to_string())),
        }
        let interrupted = |known: &LunRecord| known.formatted.as_ref().is_some_and(|mark| !mark.complete);
        if view.witness.as_ref().is_some_and(interrupted) && view.operation.is_none() {
            let text = "a format of this LUN was begun and not seen to end; the next mount looks at it again";
            view.conditions
                .push(Condition::warning("FormatInterrupted", text));
        }
    }

    fn fill(&self, view: &mut VolumeView, record: &VolumeRecord, now: &Now) {
        view.spec = Some(record.spec.clone());
        view.created_at_s = Some(record.created_at_s);
        let this_boot = record.boot_id == self.boot_id;
        if view.operation.is_none() {
            view.interrupted_at = record.pending.as_ref().map(|pending| pending.step.clone());
        }
        let device = now.devices.iter().find(|device| device.lun == view.lun);
        self.fill_device(view, record, device, this_boot);
        let is_at = |place: &Path| {
            let numbers = [
                record.staging.as_ref().and_then(|staging| staging.number),
                record.device.as_ref().map(|device| device.number),
            ];
            let on_device = |entry: &MountEntry| {
                numbers.contains(&Some(entry.number)) || device.is_some_and(|device| is_on(entry, device))
            };
            this_boot
                && now
                    .mounts
                    .iter()
                    .any(|entry| entry.mount_point == place && on_device(entry))
        };
        view.link = record.block.as_ref().map(|block| block.link.clone());
        view.staging = record.staging.as_ref().map(|staging| StagingView {
            path: staging.path.clone(),
            fs_type: staging.fs_type,
            fs_uuid: staging.fs_uuid.clone(),
            access: staging.access,
            is_mounted: is_at(&staging.path),
        });
        view.publications = record
            .publications
            .iter()
            .map(|publication| PublicationView {
                target: publication.target.clone(),
                access: publication.access,
                owner: publication.owner.clone(),
                is_mounted: is_at(&publication.target),
            })
            .collect();
        view.conditions
            .extend(record.staging.iter().flat_map(|staging| staging.warnings.clone()));
        view.add_conditions(record, now, this_boot);
        view.state = view.derive_state();
    }

    fn fill_device(
        &self,
        view: &mut VolumeView,
        record: &VolumeRecord,
        now: Option<&Device>,
        this_boot: bool,
    ) {
        view.device = match (now, &record.device) {
            (Some(device), _) => Some(DeviceView::of(device)),
            (None, Some(recorded)) => Some(DeviceView {
                path: recorded.path.clone(),
                number: recorded.number,
                wwid: recorded.key.wwid.clone(),
                size_bytes: recorded.size_bytes,
                access: Access::from_read_only(recorded.read_only),
                is_there: false,
                session: None,
                description: None,
            }),
            (None, None) => None,
        };
        if let Some(device) = now {
            view.conditions.extend(device.conditions.clone());
            let other = record
                .device
                .as_ref()
                .filter(|recorded| recorded.key != device.key);
            if let Some(recorded) = other.filter(|_| this_boot) {
                let text = format!(
                    "the attached device is {}, the journal says {}",
                    device.key, recorded.key
                );
                view.conditions.push(Condition::error("IdentityChanged", text));
            }
        }
    }

    /// Asks the staged file system how it fares; a stall is bounded by the caller's deadline.
    fn add_health(&self, view: &mut VolumeView, now: &Now, call: &Call<'_>) {
        let Some(staging) = view.staging.as_ref().filter(|staging| staging.is_mounted) else {
            return;
        };
        let Some(entry) = now
            .mounts
            .iter()
            .rev()
            .find(|entry| entry.mount_point == staging.path)
        else {
            return;
        };
        let condition = match self.config.host.health(entry, staging.access, call.deadline()) {
            Ok(Health::Live) => return,
            Ok(Health::Stalled(reason)) => Condition::warning("Stalled", reason),
            Ok(Health::Dead(reason)) => Condition::error("FileSystemDead", reason),
            Err(error) => Condition::warning("HealthUnknown", error.to_string()),
        };
        if !view
            .conditions
            .iter()
            .any(|known| known.reason == condition.reason)
        {
            view.conditions.push(condition);
        }
    }
}

impl VolumeView {
    fn empty(id: VolumeId, lun: LunKey) -> Self {
        VolumeView {
            id,
            lun,
            state: VolumeState::Detached,
            spec: None,
            created_at_s: None,
            device: None,
            link: None,
            staging: None,
            publications: Vec::new(),
            witness: None,
            operation: None,
            interrupted_at: None,
            conditions: Vec::new(),
        }
    }

    fn add_conditions(&mut self, record: &VolumeRecord, now: &Now, this_boot: bool) {
        let mut add = |condition| self.conditions.push(condition);
        if !this_boot {
            add(Condition::error(
                "LostAtReboot",
                "the machine was restarted since; nothing of the volume is attached or mounted now. Mount it again, \
                 or take it down to remove the record",
            ));
            return;
        }
        if let Some(step) = &self.interrupted_at {
            let text = format!(
                "a call ended early at the step {step}; repeat it, or make the opposite call, to finish the job"
            );
            add(Condition::warning("Interrupted", text));
        }
        if self.device.as_ref().is_some_and(|device| !device.is_there) {
            match now.unknown.first() {
                Some(why) => add(Condition::warning("DeviceUnknown", why.clone())),
                None => add(Condition::error(
                    "DeviceVanished",
                    "the device is gone; take the volume down and mount it again",
                )),
            }
        }
        let verified = record
            .staging
            .as_ref()
            .is_some_and(|staging| staging.number.is_some());
        if verified && self.staging.as_ref().is_some_and(|staging| !staging.is_mounted) {
            add(Condition::error(
                "StageVanished",
                "the staged mount is gone; the next mount makes it again",
            ));
        }
        for publication in &self.publications {
            let known = record
                .publications
                .iter()
                .any(|p| p.target == publication.target && p.verified);
            if known && !publication.is_mounted {
                let text = format!("the volume is not at {} any more", publication.target.display());
                self.conditions
                    .push(Condition::error("PublicationVanished", text));
            }
        }
        let is_aborted = |entry: &MountEntry| {
            entry.super_read_only
                && record
                    .staging
                    .as_ref()
                    .is_some_and(|s| s.path == entry.mount_point)
        };
        let writable = record.device.as_ref().is_some_and(|device| !device.read_only);
        if writable && now.mounts.iter().any(is_aborted) {
            let text =
                "the file system refuses writes after an error; take the volume down and mount it again";
            self.conditions.push(Condition::error("FileSystemDead", text));
        }
    }

    fn derive_state(&self) -> VolumeState {
        let staged = self.staging.as_ref().is_some_and(|staging| staging.is_mounted);
        let attached = self.device.as_ref().is_some_and(|device| device.is_there);
        match () {
            () if self.publications.iter().any(|publication| publication.is_mounted) => {
                VolumeState::Published
            }
            () if self.operation.is_some() || self.interrupted_at.is_some() => VolumeState::Partial,
            () if staged => VolumeState::Staged,
            () if attached => VolumeState::Attached,
            () => VolumeState::Detached,
        }
    }
}

//! Stage: from a specification to a mount at the staging directory.

use super::content::Found;
use super::paths::make_directory;
use super::up::{Purpose, device_is_live};
use super::work::Work;
use super::{Call, Engine, StagedVolume};
use crate::backend::Device;
use crate::error::VolumeError;
use crate::host::{Health, MountEntry, MountRequest};
use crate::journal::{LunRecord, StagingRecord, VolumeRecord};
use crate::model::{Access, Condition, FsType, Outcome, RecordedSpec, VolumeSpec, check_options};
use crate::progress::Step;
use serde_json::Map;
use std::path::Path;

/// How a staged mount was found.
pub(super) enum StageState {
    /// As recorded; with what there is to say.
    Live(Vec<Condition>),
    /// There is none, or a half-made one.
    Absent,
    /// It answers only errors, or its device is gone (F9).
    Dead(String),
}

impl Engine {
    /// Attaches the volume and mounts its file system at its staging directory; it stays until `unstage`.
    ///
    /// # Errors
    /// See [`VolumeError`]; nothing new is left mounted or attached.
    pub fn stage(
        &self,
        spec: &VolumeSpec,
        call: &mut Call<'_>,
    ) -> Result<(Outcome, StagedVolume), VolumeError> {
        spec.validate()?;
        let Some(mut work) = self.work("stage", &spec.id(), Some(RecordedSpec::from(spec)), call)? else {
            return Err(VolumeError::UnknownVolume { id: spec.id() });
        };
        let result = work.stage(spec);
        let (outcome, staged) = work.undo_if_failed(result)?;
        if !work.record.keep_staged || work.record.pending.is_some() {
            work.record.keep_staged = true;
            work.settle()?;
        }
        Ok((outcome, staged))
    }
}

impl Work<'_, '_> {
    /// Stages the volume, or verifies that it is staged. The record may have a step pending afterwards.
    pub(super) fn stage(&mut self, spec: &VolumeSpec) -> Result<(Outcome, StagedVolume), VolumeError> {
        let siblings = self.agree(&RecordedSpec::from(spec), Purpose::FileSystem)?;
        match self.stage_state()? {
            StageState::Live(warnings) => {
                let staged = self.staged_volume(false, warnings)?;
                return Ok((Outcome::AlreadySo, staged));
            }
            StageState::Dead(reason) => self.clean_dead_stage(&reason, &siblings)?,
            StageState::Absent => self.clean_half_stage()?,
        }
        let (_, device) = self.attach_device(spec, &siblings)?;
        let (found, warnings) = self.mount_stage(spec, &device, &siblings)?;
        self.remember(&found, &device)?;
        let staged = self.staged_volume(found.formatted, warnings)?;
        Ok((Outcome::Changed, staged))
    }

    /// Compares the recorded stage with the kernel.
    pub(super) fn stage_state(&self) -> Result<StageState, VolumeError> {
        let (Some(staging), Some(device)) = (&self.record.staging, &self.record.device) else {
            return Ok(StageState::Absent);
        };
        let Some(number) = staging.number else {
            return Ok(StageState::Absent);
        };
        let mounts = self.mounts()?;
        let Some(entry) = mounts
            .iter()
            .rev()
            .find(|entry| entry.mount_point == staging.path)
        else {
            return Ok(StageState::Absent);
        };
        if entry.number != number {
            return Ok(StageState::Dead(format!("{} is mounted over it", entry.source)));
        }
        if !device_is_live(self, device)? {
            return Ok(StageState::Dead(format!(
                "its device {} is gone",
                device.path.display()
            )));
        }
        let mut warnings = staging.warnings.clone();
        let health = self
            .engine
            .config
            .host
            .health(entry, staging.access, self.deadline());
        match health.map_err(|e| self.host_error(Step::Identify, e))? {
            Health::Live => Ok(StageState::Live(warnings)),
            Health::Stalled(reason) => {
                warnings.push(Condition::warning("Stalled", reason));
                Ok(StageState::Live(warnings))
            }
            Health::Dead(reason) => Ok(StageState::Dead(reason)),
        }
    }

    /// Clears a dead stage away, if nobody uses it (F9, F10).
    fn clean_dead_stage(&mut self, reason: &str, siblings: &[VolumeRecord]) -> Result<(), VolumeError> {
        let mounts = self.mounts()?;
        let mut users: Vec<String> = self
            .live_publications(&mounts)
            .iter()
            .map(|at| format!("it is published at {}", at.display()))
            .collect();
        users.extend(
            siblings
                .iter()
                .filter(|sibling| sibling.staging.is_some())
                .map(|sibling| format!("{} is mounted from it too", sibling.id)),
        );
        if !users.is_empty() {
            return Err(VolumeError::DeadMount {
                id: self.id.clone(),
                path: self.engine.staging_path(&self.id),
                reason: reason.to_owned(),
                users: users.join(" and "),
            });
        }
        self.record
            .publications
            .retain(|publication| !publication.verified);
        self.unmount_stage()?;
        self.detach_device()?;
        // Nothing of the earlier use is left, so a failure from here on leaves nothing behind.
        self.was_in_use = false;
        Ok(())
    }

    /// Takes off the staging directory what an interrupted call left there; nobody was given it.
    fn clean_half_stage(&mut self) -> Result<(), VolumeError> {
        let path = self.engine.staging_path(&self.id);
        let left = self.mounts()?.iter().any(|entry| entry.mount_point == path);
        if left || self.record.staging.is_some() {
            self.unmount_stage()?;
        }
        Ok(())
    }

    /// Mounts at the staging directory: a clone of a sibling's stage, or the file system itself.
    fn mount_stage(
        &mut self,
        spec: &VolumeSpec,
        device: &Device,
        siblings: &[VolumeRecord],
    ) -> Result<(Found, Vec<Condition>), VolumeError> {
        let mounts = self.mounts()?;
        let shared = siblings.iter().find_map(|sibling| {
            let staging = sibling.staging.as_ref()?;
            let is_there = mounts
                .iter()
                .any(|entry| entry.mount_point == staging.path && is_on(entry, device));
            is_there.then(|| staging.clone())
        });
        self.refuse_foreign_mounts(device, siblings, &mounts)?;
        let in_use = mounts.iter().any(|entry| is_on(entry, device));
        let mut warnings = Vec::new();
        let found = match &shared {
            Some(staging) => Found {
                fs_type: staging.fs_type,
                fs_uuid: staging.fs_uuid.clone(),
                dirty: false,
                formatted: false,
            },
            None => self.file_system(spec, device)?,
        };
        if let Some(wanted) = spec.fs_type.filter(|wanted| *wanted != found.fs_type) {
            return Err(VolumeError::WrongContent {
                id: self.id.clone(),
                device: device.path.display().to_string(),
                found: found.fs_type.to_string(),
                wanted: wanted.to_string(),
            });
        }
        check_options(found.fs_type, &spec.mount_options)?;
        if spec.access.is_read_only() && found.dirty {
            warnings.push(Condition::warning(
                "DirtyJournal",
                "the file system was not unmounted cleanly; a read-only volume does not replay its journal, so the \
                 newest changes may be missing until it is mounted read-write once",
            ));
        } else if shared.is_none() && !in_use {
            warnings.extend(self.check_file_system(device, &found)?);
        }
        let entry = self.place_stage(spec, device, &found, shared.as_ref(), &mut warnings)?;
        self.verify_stage(&entry, device, spec.access)?;
        if let Some(staging) = &mut self.record.staging {
            staging.number = Some(entry.number);
            staging.warnings.clone_from(&warnings);
        }
        if shared.is_none() && !in_use && !spec.access.is_read_only() {
            self.grow_mounted(device, &found, &entry.mount_point)?;
        }
        Ok((found, warnings))
    }

    /// Checks the file system, and grows it when its LUN has grown since its last use.
    fn check_file_system(&mut self, device: &Device, found: &Found) -> Result<Vec<Condition>, VolumeError> {
        if found.formatted || device.read_only {
            return Ok(Vec::new());
        }
        let running = self.begin(Step::Check, device.path.display())?;
        let result = self
            .engine
            .config
            .host
            .check(&device.path, found.fs_type, self.deadline());
        let notes = self.end(running, result.map_err(|e| self.host_error(Step::Check, e)))?;
        let known = self
            .engine
            .journal
            .lun(&self.lun())?
            .and_then(|known| known.size_bytes);
        if known.is_some_and(|before| before < device.size_bytes) {
            let running = self.begin(Step::Grow, device.path.display())?;
            let host = &self.engine.config.host;
            let result = host.grow_unmounted(&device.path, found.fs_type, self.deadline());
            self.end(running, result.map_err(|e| self.host_error(Step::Grow, e)))?;
        }
        Ok(notes
            .into_iter()
            .map(|note| Condition::warning("FileSystemRepaired", note))
            .collect())
    }

    /// Grows a file system that grows only while it is mounted, when its LUN has grown since its last use.
    fn grow_mounted(&mut self, device: &Device, found: &Found, at: &Path) -> Result<(), VolumeError> {
        let known = self
            .engine
            .journal
            .lun(&self.lun())?
            .and_then(|known| known.size_bytes);
        let has_grown = known.is_some_and(|before| before < device.size_bytes);
        if !has_grown || found.fs_type == FsType::Ext4 || found.formatted || device.read_only {
            return Ok(());
        }
        let running = self.begin(Step::Grow, device.path.display())?;
        let grown = self
            .engine
            .config
            .host
            .grow(&device.path, found.fs_type, at, self.deadline());
        self.end(running, grown.map_err(|e| self.host_error(Step::Grow, e)))?;
        Ok(())
    }

    fn place_stage(
        &mut self,
        spec: &VolumeSpec,
        device: &Device,
        found: &Found,
        shared: Option<&StagingRecord>,
        warnings: &mut Vec<Condition>,
    ) -> Result<MountEntry, VolumeError> {
        let uuid_clash = shared.is_none() && self.uuid_clashes(found)?;
        let at = self.engine.staging_path(&self.id);
        make_directory(&at)?;
        self.record.staging = Some(StagingRecord {
            path: at.clone(),
            fs_type: found.fs_type,
            fs_uuid: found.fs_uuid.clone(),
            number: None,
            access: spec.access,
            warnings: Vec::new(),
            extra: Map::new(),
        });
        let running = self.begin(Step::Mount, at.display())?;
        let host = &self.engine.config.host;
        let result = match shared {
            Some(staging) => host
                .clone_mount(&staging.path, &at, spec.access, self.deadline())
                .map(|entry| (entry, Vec::new())),
            None => {
                let request = MountRequest {
                    device: &device.path,
                    number: device.number,
                    fs_type: found.fs_type,
                    options: &spec.mount_options,
                    access: spec.access,
                    uuid_clash,
                    at: &at,
                };
                host.mount(&request, self.deadline())
            }
        };
        let (entry, notes) = self.end(running, result.map_err(|e| self.host_error(Step::Mount, e)))?;
        warnings.extend(
            notes
                .into_iter()
                .map(|note| Condition::warning("MountNote", note)),
        );
        Ok(entry)
    }

    /// The mount that arrived is of the verified device, with the access that was asked for (F8).
    fn verify_stage(&self, entry: &MountEntry, device: &Device, access: Access) -> Result<(), VolumeError> {
        let wrong = |found: String| VolumeError::NotAsExpected {
            id: self.id.clone(),
            path: entry.mount_point.clone(),
            found,
            remedy: "it is taken off again".into(),
        };
        if !is_on(entry, device) {
            let found = format!(
                "shows {} ({}), not {}",
                entry.source,
                entry.number,
                device.path.display()
            );
            return Err(wrong(found));
        }
        if entry.read_only != access.is_read_only() && !(entry.super_read_only && access.is_read_only()) {
            return Err(wrong(format!("is not mounted {access}")));
        }
        Ok(())
    }

    /// A mount of the device that no volume accounts for: somebody else works on it.
    fn refuse_foreign_mounts(
        &self,
        device: &Device,
        siblings: &[VolumeRecord],
        mounts: &[MountEntry],
    ) -> Result<(), VolumeError> {
        let ours = |entry: &MountEntry| {
            siblings
                .iter()
                .chain(std::iter::once(&self.record))
                .any(|record| {
                    record
                        .staging
                        .as_ref()
                        .is_some_and(|staging| staging.path == entry.mount_point)
                        || record
                            .publications
                            .iter()
                            .any(|publication| publication.target == entry.mount_point)
                })
        };
        let foreign = mounts.iter().find(|entry| is_on(entry, device) && !ours(entry));
        foreign.map_or(Ok(()), |entry| {
            Err(VolumeError::InUse {
                id: self.id.clone(),
                by: format!(
                    "{} is mounted at {}, which no volume accounts for",
                    device.path.display(),
                    entry.mount_point.display()
                ),
                remedy: "unmount that first".into(),
            })
        })
    }

    /// Whether another LUN's file system with the same UUID is mounted, as snapshots and clones have it (F20).
    fn uuid_clashes(&self, found: &Found) -> Result<bool, VolumeError> {
        if found.fs_type == FsType::Ext4 {
            return Ok(false);
        }
        let lun = self.lun();
        for place in self.engine.journal.places()? {
            if place.lun == lun {
                continue;
            }
            // Another LUN's damaged record is no obstacle here: the kernel itself refuses a clash that we do not see.
            let Ok(Some(other)) = self.engine.journal.volume(&place) else {
                continue;
            };
            let same = other
                .staging
                .is_some_and(|staging| staging.fs_uuid == found.fs_uuid);
            if same && other.boot_id == self.engine.boot_id {
                return match found.fs_type {
                    FsType::Xfs => Ok(true),
                    _ => Err(VolumeError::InUse {
                        id: self.id.clone(),
                        by: format!(
                            "{} is mounted with the same file system UUID {}",
                            other.id, found.fs_uuid
                        ),
                        remedy: "btrfs cannot mount both; unmount that first".into(),
                    }),
                };
            }
        }
        Ok(false)
    }

    /// Makes what was mounted the LUN's witness.
    fn remember(&self, found: &Found, device: &Device) -> Result<(), VolumeError> {
        let before = self.engine.journal.lun(&self.lun())?;
        let mut known = before.clone().unwrap_or_else(|| LunRecord::new(self.lun()));
        known.wwid = Some(device.key.wwid.clone());
        known.fs_uuid = Some(found.fs_uuid.clone());
        known.fs_type = Some(found.fs_type);
        known.size_bytes = Some(device.size_bytes);
        if before.as_ref() != Some(&known) {
            self.engine.journal.write_lun(&known)?;
        }
        Ok(())
    }

    pub(super) fn staged_volume(
        &self,
        formatted: bool,
        warnings: Vec<Condition>,
    ) -> Result<StagedVolume, VolumeError> {
        let (Some(device), Some(staging)) = (&self.record.device, &self.record.staging) else {
            return Err(VolumeError::NotStaged { id: self.id.clone() });
        };
        Ok(StagedVolume {
            device: Engine::attached_volume(self, device),
            staging_path: staging.path.clone(),
            fs_type: staging.fs_type,
            fs_uuid: staging.fs_uuid.clone(),
            access: staging.access,
            formatted,
            warnings,
        })
    }
}

/// Whether a mount is of this device. Btrfs has a device number of its own; there the source says it.
pub(super) fn is_on(entry: &MountEntry, device: &Device) -> bool {
    entry.number == device.number || Path::new(&entry.source) == device.path
}

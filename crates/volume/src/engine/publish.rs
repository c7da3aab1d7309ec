//! Publish and unpublish: a clone of the staged mount on a foreign directory, verified there (F8), and back.

use super::stage::StageState;
use super::work::Work;
use super::{Call, Engine, PublishedVolume};
use crate::backend::DeviceNumber;
use crate::error::{ErrorKind, ErrorList, VolumeError};
use crate::host::{HostError, MountEntry, TargetState};
use crate::journal::PublicationRecord;
use crate::model::{Access, FieldDifference, Outcome, VolumeId};
use crate::progress::Step;
use serde_json::Map;
use std::path::{Path, PathBuf};

impl Engine {
    /// Places a staged volume on a directory, and verifies it there (F8).
    ///
    /// # Errors
    /// `NotStaged`, `TargetTaken`, `TargetUnusable`, and see [`VolumeError`].
    pub fn publish(
        &self,
        id: &VolumeId,
        target: &Path,
        access: Access,
        call: &mut Call<'_>,
    ) -> Result<(Outcome, PublishedVolume), VolumeError> {
        let target = self.target_name(target)?;
        let Some(mut work) = self.work("publish", id, None, call)? else {
            return Err(VolumeError::NotStaged { id: id.clone() });
        };
        match work.stage_state()? {
            StageState::Live(_) => {}
            StageState::Absent => return Err(VolumeError::NotStaged { id: id.clone() }),
            StageState::Dead(reason) => {
                return Err(VolumeError::DeadMount {
                    id: id.clone(),
                    path: self.staging_path(id),
                    reason,
                    users: "it cannot be published".into(),
                });
            }
        }
        let lock = work.lock_target(&target)?;
        let result = work.publish(&target, access);
        drop(lock);
        result
    }

    /// Takes a volume off a directory. Nothing else there is touched; the volume stays staged.
    ///
    /// # Errors
    /// See [`VolumeError`]; a volume or publication that does not exist is `AlreadySo`, unless something is mounted
    /// at the directory all the same (F7).
    pub fn unpublish(
        &self,
        id: &VolumeId,
        target: &Path,
        call: &mut Call<'_>,
    ) -> Result<Outcome, VolumeError> {
        let target = self.target_name(target)?;
        let Some(mut work) = self.work("unpublish", id, None, call)? else {
            return self.nothing_is_mounted(id, &target);
        };
        let lock = work.lock_target(&target)?;
        let result = work.unpublish(&target);
        drop(lock);
        result
    }

    fn nothing_is_mounted(&self, id: &VolumeId, target: &Path) -> Result<Outcome, VolumeError> {
        let mounts = self.config.host.mounts();
        let mounts = mounts.map_err(|source| VolumeError::Host {
            id: id.clone(),
            step: Step::Unpublish,
            source,
        })?;
        match mounts.iter().rev().find(|entry| entry.mount_point == target) {
            None => Ok(Outcome::AlreadySo),
            Some(entry) => Err(VolumeError::TargetTaken {
                target: target.to_owned(),
                by: format!(
                    "{} is mounted there, which {id} does not account for",
                    entry.source
                ),
            }),
        }
    }
}

impl Work<'_, '_> {
    /// Publishes the staged volume. The caller holds the target's lock and knows that the stage is live.
    pub(super) fn publish(
        &mut self,
        target: &Path,
        access: Access,
    ) -> Result<(Outcome, PublishedVolume), VolumeError> {
        let number = self.stage_for(access)?;
        let published = PublishedVolume {
            id: self.id.clone(),
            target: target.to_owned(),
            access,
            number,
        };
        let known = self
            .record
            .publications
            .iter()
            .find(|publication| publication.target == target)
            .cloned();
        if let Some(known) = known.filter(|known| known.access != access && known.verified) {
            return Err(self.access_conflict("readOnly of the publication", known.access, access));
        }
        self.refuse_taken_target(target)?;
        if let TargetState::Mounted(entry) = self.target_state(target)? {
            // Ours from an interrupted call, or from an earlier one: this volume's record says so.
            let recorded = self
                .record
                .publications
                .iter()
                .any(|publication| publication.target == target);
            if !recorded || entry.number != number {
                let by = format!("{} is mounted there", entry.source);
                return Err(VolumeError::TargetTaken {
                    target: target.to_owned(),
                    by,
                });
            }
            if is_as_asked(&entry, number, access) {
                let outcome = if self.mark_published(target) {
                    Outcome::Changed
                } else {
                    Outcome::AlreadySo
                };
                self.settle()?;
                return Ok((outcome, published));
            }
            self.unpublish(target)?;
        }
        self.intend_publication(target, access);
        let running = self.begin(Step::Publish, target.display())?;
        let from = self.engine.staging_path(&self.id);
        let placed = self
            .engine
            .config
            .host
            .publish(&from, target, access, self.deadline());
        let placed = placed.map_err(|e| self.target_error(target, e));
        let result = placed.and_then(|_| self.verify_publication(target, number, access));
        match self.end(running, result) {
            Ok(()) => {
                self.mark_published(target);
                self.settle()?;
                Ok((Outcome::Changed, published))
            }
            Err(error) => {
                self.call.grant(super::down::GRACE);
                let cleanup = self.unpublish(target).map(|_| ());
                Err(ErrorList::with_cleanup(error, cleanup))
            }
        }
    }

    /// Says in the record (not yet on disk) that the volume is to be at the directory.
    pub(super) fn intend_publication(&mut self, target: &Path, access: Access) {
        self.record
            .publications
            .retain(|publication| publication.target != target);
        self.record.publications.push(PublicationRecord {
            target: target.to_owned(),
            access,
            owner: self.call.who().to_owned(),
            verified: false,
            extra: Map::new(),
        });
    }

    /// Gives whether that is news.
    fn mark_published(&mut self, target: &Path) -> bool {
        let mut news = false;
        for publication in self.record.publications.iter_mut().filter(|p| p.target == target) {
            news |= !publication.verified;
            publication.verified = true;
        }
        news
    }

    /// `st_dev` of the stage, when it can serve this access.
    fn stage_for(&self, access: Access) -> Result<DeviceNumber, VolumeError> {
        let staging = self.record.staging.as_ref();
        let Some((staging, number)) = staging.and_then(|staging| Some((staging, staging.number?))) else {
            return Err(VolumeError::NotStaged { id: self.id.clone() });
        };
        if staging.access.is_read_only() && !access.is_read_only() {
            return Err(self.access_conflict("readOnly", staging.access, access));
        }
        Ok(number)
    }

    fn access_conflict(&self, field: &'static str, in_use: Access, asked: Access) -> VolumeError {
        let text = |access: Access| access.is_read_only().to_string();
        VolumeError::Conflict {
            id: self.id.clone(),
            user: self.id.clone(),
            differences: vec![FieldDifference {
                field,
                in_use: text(in_use),
                asked: text(asked),
            }],
        }
    }

    /// Refuses a directory that another volume has, or is about to get. The caller holds the target's lock.
    pub(super) fn refuse_taken_target(&self, target: &Path) -> Result<(), VolumeError> {
        for place in self.engine.journal.places()? {
            if place.id == self.id {
                continue;
            }
            // A damaged record of another volume cannot say; what is mounted there is looked at next in any case.
            let Ok(Some(other)) = self.engine.journal.volume(&place) else {
                continue;
            };
            let claims = other
                .publications
                .iter()
                .any(|publication| publication.target == target);
            if claims && other.boot_id == self.engine.boot_id {
                let by = format!("volume {} is published there", other.id);
                return Err(VolumeError::TargetTaken {
                    target: target.to_owned(),
                    by,
                });
            }
        }
        Ok(())
    }

    pub(super) fn target_state(&self, target: &Path) -> Result<TargetState, VolumeError> {
        self.engine
            .config
            .host
            .target_state(target)
            .map_err(|e| self.target_error(target, e))
    }

    fn target_error(&self, target: &Path, error: HostError) -> VolumeError {
        match error.kind {
            ErrorKind::Invalid => VolumeError::TargetUnusable {
                target: target.to_owned(),
                reason: error.message,
            },
            ErrorKind::Conflict => VolumeError::TargetTaken {
                target: target.to_owned(),
                by: error.message,
            },
            _ => self.host_error(Step::Publish, error),
        }
    }

    fn verify_publication(
        &self,
        target: &Path,
        number: DeviceNumber,
        access: Access,
    ) -> Result<(), VolumeError> {
        let mounts = self.mounts()?;
        let found = match mounts.iter().rev().find(|entry| entry.mount_point == target) {
            Some(entry) if is_as_asked(entry, number, access) => return Ok(()),
            Some(entry) => format!("shows {} ({}), not {number} {access}", entry.source, entry.number),
            None => "nothing is mounted there".to_owned(),
        };
        Err(VolumeError::NotAsExpected {
            id: self.id.clone(),
            path: target.to_owned(),
            found,
            remedy: "the publication was taken back; try again".into(),
        })
    }

    /// Takes the volume off a directory and out of the record. The caller holds the target's lock.
    pub(super) fn unpublish(&mut self, target: &Path) -> Result<Outcome, VolumeError> {
        let recorded = self
            .record
            .publications
            .iter()
            .any(|publication| publication.target == target);
        let mounts = self.mounts()?;
        let layers: Vec<&MountEntry> = mounts
            .iter()
            .filter(|entry| entry.mount_point == target)
            .collect();
        let mine = layers.iter().filter(|entry| self.is_mine(entry)).count();
        if !recorded {
            return self.engine.nothing_is_mounted(&self.id, target);
        }
        if mine > 0 && mine < layers.len() {
            let by = "something else is mounted over the volume there; unmount that first".to_owned();
            return Err(VolumeError::TargetTaken {
                target: target.to_owned(),
                by,
            });
        }
        if mine > 0 {
            let running = self.begin(Step::Unpublish, target.display())?;
            let result = self.engine.config.host.unmount_all(target, self.deadline());
            let result = result.map_err(|e| self.host_error(Step::Unpublish, e));
            let result = result.and_then(|_| self.verify_gone(target));
            self.end(running, result)?;
        }
        self.record
            .publications
            .retain(|publication| publication.target != target);
        self.settle()?;
        Ok(Outcome::Changed)
    }

    /// Whether a mount is of this volume's device.
    fn is_mine(&self, entry: &MountEntry) -> bool {
        let by_stage = self
            .record
            .staging
            .as_ref()
            .is_some_and(|staging| staging.number == Some(entry.number));
        by_stage
            || self.record.device.as_ref().is_some_and(|device| {
                device.number == entry.number || Path::new(&entry.source) == device.path
            })
    }

    /// After a tear-down nothing may be mounted at the place (F7).
    pub(super) fn verify_gone(&self, place: &Path) -> Result<(), VolumeError> {
        match self.mounts()?.iter().find(|entry| entry.mount_point == place) {
            None => Ok(()),
            Some(entry) => Err(VolumeError::NotAsExpected {
                id: self.id.clone(),
                path: place.to_owned(),
                found: format!("{} is still mounted there", entry.source),
                remedy: "try again; `longshore show` names what holds it".into(),
            }),
        }
    }

    /// Where the kernel shows the volume now.
    pub(super) fn live_publications(&self, mounts: &[MountEntry]) -> Vec<PathBuf> {
        let is_live = |target: &Path| mounts.iter().any(|e| e.mount_point == target && self.is_mine(e));
        let targets = self
            .record
            .publications
            .iter()
            .map(|publication| &publication.target);
        targets.filter(|target| is_live(target)).cloned().collect()
    }
}

/// The device number and the access at a directory are what was asked for.
fn is_as_asked(entry: &MountEntry, number: DeviceNumber, access: Access) -> bool {
    entry.number == number && (entry.read_only || entry.super_read_only) == access.is_read_only()
}

//! The compounds for a person and for pods: mount (stage and publish) and umount (back, with the last publication).

use super::work::Work;
use super::{Call, Engine, MountedVolume};
use crate::error::{ErrorList, VolumeError};
use crate::host::TargetState;
use crate::model::{Outcome, RecordedSpec, VolumeId, VolumeSpec};
use std::path::Path;

impl Engine {
    /// `stage` and `publish` in one; `umount` takes both back.
    ///
    /// # Errors
    /// See [`VolumeError`]; nothing new is left behind.
    pub fn mount(
        &self,
        spec: &VolumeSpec,
        target: &Path,
        call: &mut Call<'_>,
    ) -> Result<(Outcome, MountedVolume), VolumeError> {
        spec.validate()?;
        let target = self.target_name(target)?;
        let Some(mut work) = self.work("mount", &spec.id(), Some(RecordedSpec::from(spec)), call)? else {
            return Err(VolumeError::UnknownVolume { id: spec.id() });
        };
        let result = work.mount(spec, &target);
        work.undo_if_failed(result)
    }

    /// Takes the volume off the directory, and with its last publication unstages it (unless `stage` asked to keep
    /// it). Gives the volume that was there.
    ///
    /// # Errors
    /// `NotPublished` when no volume accounts for the directory.
    pub fn umount(&self, target: &Path, call: &mut Call<'_>) -> Result<(Outcome, VolumeId), VolumeError> {
        let target = self.target_name(target)?;
        let Some(id) = self.publisher(&target)? else {
            return Err(VolumeError::NotPublished { target });
        };
        let Some(mut work) = self.work("umount", &id, None, call)? else {
            return Ok((Outcome::AlreadySo, id));
        };
        let lock = work.lock_target(&target)?;
        let result = work.unpublish(&target);
        drop(lock);
        let mut errors = ErrorList::default();
        let outcome = errors.note(result).unwrap_or(Outcome::AlreadySo);
        let is_last = work.live_publications(&work.mounts()?).is_empty();
        let kept = work.record.keep_staged || work.record.block.is_some();
        if errors.errors().is_empty() && is_last && !kept {
            errors.note(work.lock_lun().and_then(|()| work.take_down()));
        }
        errors.finish()?;
        Ok((outcome, id))
    }

    /// The volume that is, or is about to be, at a directory. Of several that say so (one had it before a reboot) the one
    /// that was seen there in this boot, then one of this boot.
    fn publisher(&self, target: &Path) -> Result<Option<VolumeId>, VolumeError> {
        let mut candidate: Option<(bool, bool, VolumeId)> = None;
        let mut damaged = None;
        for place in self.journal.places()? {
            match self.journal.volume(&place) {
                Ok(Some(record)) => {
                    let Some(claim) = record.publications.iter().find(|p| p.target == target) else {
                        continue;
                    };
                    let this_boot = record.boot_id == self.boot_id;
                    let rank = (this_boot && claim.verified, this_boot);
                    if candidate
                        .as_ref()
                        .is_none_or(|(seen, boot, _)| rank > (*seen, *boot))
                    {
                        candidate = Some((rank.0, rank.1, record.id));
                    }
                }
                Ok(None) => {}
                Err(error) => damaged = Some(error),
            }
        }
        match (candidate, damaged) {
            (Some((_, _, id)), _) => Ok(Some(id)),
            // The damaged record may be the one: "nothing is published there" would be a guess.
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(None),
        }
    }
}

impl Work<'_, '_> {
    fn mount(&mut self, spec: &VolumeSpec, target: &Path) -> Result<(Outcome, MountedVolume), VolumeError> {
        // What is wrong with the directory is found before anything is attached.
        let lock = self.lock_target(target)?;
        let known = self
            .record
            .publications
            .iter()
            .any(|publication| publication.target == target);
        self.refuse_taken_target(target)?;
        if let (TargetState::Mounted(entry), false) = (self.target_state(target)?, known) {
            let by = format!("{} is mounted there", entry.source);
            return Err(VolumeError::TargetTaken {
                target: target.to_owned(),
                by,
            });
        }
        if !known {
            // With the first record, so that `umount` of a call that died finds its volume.
            self.intend_publication(target, spec.access);
        }
        let result = self.stage(spec);
        self.unlock_lun();
        let result = result.and_then(|(outcome, staged)| {
            let (published_outcome, published) = self.publish(target, spec.access)?;
            Ok((
                outcome.and(published_outcome),
                MountedVolume { staged, published },
            ))
        });
        drop(lock);
        if result.is_err() && !known && self.was_in_use {
            // The volume stays as it was; only the intention goes.
            self.record
                .publications
                .retain(|p| p.target != target || p.verified);
            if self.on_disk {
                self.settle()?;
            }
        }
        result
    }
}

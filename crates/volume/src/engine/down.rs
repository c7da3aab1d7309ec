//! The way back: unmount, unlink, detach, forget. Goes on after an error, collects the errors, and verifies.

use super::paths::remove_directory;
use super::work::{Work, acquire};
use super::{Call, Engine};
use crate::backend::DeviceKey;
use crate::error::{ErrorKind, ErrorList, VolumeError};
use crate::lock::io_error;
use crate::model::{LunKey, Outcome, VolumeId};
use crate::progress::Step;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// The time for undoing a failed call, when the caller's own is over.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How long a reader of ours gets to let go of a device after its reads failed.
const LETTING_GO: Duration = Duration::from_secs(2);

impl Engine {
    /// Unmounts and detaches the volume; the device stays while another volume uses the LUN.
    ///
    /// # Errors
    /// `InUse` while it is published. Goes on after an error and gives them all.
    pub fn unstage(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<Outcome, VolumeError> {
        let Some(mut work) = self.work("unstage", id, None, call)? else {
            return self.clear_unrecorded(id, call);
        };
        if work.record.block.is_some() {
            return Ok(Outcome::AlreadySo);
        }
        work.lock_lun()?;
        work.refuse_published("unpublish it there first")?;
        work.take_down()?;
        Ok(Outcome::Changed)
    }

    /// The journal knows nothing of the volume; the kernel may, when the journal was lost (F7). What lies in our own
    /// places goes; what others may have been given stays.
    pub(super) fn clear_unrecorded(
        &self,
        id: &VolumeId,
        call: &mut Call<'_>,
    ) -> Result<Outcome, VolumeError> {
        let operation = format!("clear {id}");
        let lun = LunKey::from(id.clone());
        let _volume = acquire(&self.volume_lock(id), &operation, id.as_str(), call)?;
        let _lun = acquire(&self.lun_lock(&lun), &operation, lun.as_str(), call)?;
        let mut outcome = Outcome::AlreadySo;
        if self
            .journal
            .places()?
            .iter()
            .any(|place| place.id == *id || place.lun == lun)
        {
            return Ok(outcome);
        }
        let host_error = |source| VolumeError::Host {
            id: id.clone(),
            step: Step::Unmount,
            source,
        };
        let staging = self.staging_path(id);
        if self
            .config
            .host
            .unmount_all(&staging, call.deadline())
            .map_err(host_error)?
            > 0
        {
            outcome = Outcome::Changed;
        }
        remove_directory(&staging)?;
        outcome = outcome.and(remove_link(&self.link_path(id))?);
        for backend in self.config.backends.all() {
            let failed = |source| VolumeError::Backend {
                id: id.clone(),
                step: Step::Detach,
                source,
            };
            let devices = backend.list(call.deadline()).map_err(failed)?;
            for device in devices.iter().filter(|device| device.lun == lun) {
                outcome = outcome.and(
                    backend
                        .detach(&device.key, call.is_forced(), call.deadline())
                        .map_err(failed)?,
                );
            }
        }
        Ok(outcome)
    }
}

impl Work<'_, '_> {
    /// Fails while the kernel shows the volume in a directory.
    pub(super) fn refuse_published(&self, remedy: &str) -> Result<(), VolumeError> {
        let live = self.live_publications(&self.mounts()?);
        if live.is_empty() {
            return Ok(());
        }
        let places: Vec<String> = live.iter().map(|at| at.display().to_string()).collect();
        Err(VolumeError::InUse {
            id: self.id.clone(),
            by: format!("it is published at {}", places.join(", ")),
            remedy: remedy.to_owned(),
        })
    }

    /// After a failure of a volume that was not in use before, takes back what was done so far.
    pub(super) fn undo_if_failed<T>(&mut self, result: Result<T, VolumeError>) -> Result<T, VolumeError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) if self.was_in_use => return Err(error),
            Err(error) => error,
        };
        // At its deadline the probe leaves its reader behind.
        let left_behind =
            matches!(error, VolumeError::ContentUnknown { .. }) && Instant::now() >= self.deadline();
        self.call.grant(GRACE);
        let cleanup = self.lock_lun().and_then(|()| {
            if left_behind {
                self.abandon()
            } else {
                self.take_down()
            }
        });
        Err(ErrorList::with_cleanup(error, cleanup))
    }

    /// Takes away a device on which our own probe waits for a target that does not answer: no signal ends such a read,
    /// only an answer does, so the backend gives it one (F13). Nothing was mounted and no format had begun, so there is
    /// nothing to flush either. A device that another volume uses as well stays as it is.
    fn abandon(&mut self) -> Result<(), VolumeError> {
        if !self.siblings()?.is_empty() {
            return self.take_down();
        }
        if let Some(key) = self.device_key()? {
            let deadline = self.deadline();
            let failed = self.backend(Step::Detach)?.fail(&key, deadline);
            failed.map_err(|error| self.backend_error(Step::Detach, error))?;
            self.call.give_up_unwritten();
        }
        // The reader needs a moment to let go of the device.
        let patience = Instant::now() + LETTING_GO;
        loop {
            match self.take_down() {
                Err(_) if Instant::now() < patience => std::thread::sleep(LETTING_GO / 40),
                result => return result,
            }
        }
    }

    /// Takes everything down and removes the record. The record stays when something is left.
    pub(super) fn take_down(&mut self) -> Result<(), VolumeError> {
        let mut errors = ErrorList::default();
        // What is recorded and not there any more needs no lock and no step.
        if let Some(live) = errors.note(self.mounts().map(|mounts| self.live_publications(&mounts))) {
            self.record
                .publications
                .retain(|publication| live.contains(&publication.target));
        }
        let targets: Vec<_> = self
            .record
            .publications
            .iter()
            .map(|p| p.target.clone())
            .collect();
        for target in targets {
            let locked = self.lock_target(&target);
            if let Some(_lock) = errors.note(locked) {
                errors.note(self.unpublish(&target));
            }
        }
        errors.note(self.unmount_stage());
        errors.note(self.unlink_device());
        // A device beneath a mount that stayed would only give a second error: it is busy.
        if self.record.staging.is_none() {
            errors.note(self.detach_device());
        }
        errors.finish()?;
        self.forget()
    }

    /// Takes every layer off the staging directory (F10) and removes it.
    pub(super) fn unmount_stage(&mut self) -> Result<(), VolumeError> {
        let path = self.engine.staging_path(&self.id);
        let mounted = self.mounts()?.iter().any(|entry| entry.mount_point == path);
        if mounted {
            let running = self.begin(Step::Unmount, path.display())?;
            let result = self.engine.config.host.unmount_all(&path, self.deadline());
            let result = result.map_err(|e| self.host_error(Step::Unmount, e));
            let result = result.and_then(|_| self.verify_gone(&path));
            self.end(running, result)?;
        }
        remove_directory(&path)?;
        self.record.staging = None;
        Ok(())
    }

    /// Removes the stable link of a raw block device.
    pub(super) fn unlink_device(&mut self) -> Result<(), VolumeError> {
        let link = self.engine.link_path(&self.id);
        if link.symlink_metadata().is_ok() {
            let running = self.begin(Step::Unlink, link.display())?;
            let result = remove_link(&link);
            self.end(running, result)?;
        }
        self.record.block = None;
        Ok(())
    }

    /// Takes the device away, if no other volume uses the LUN (F5). That nobody else has it open, the backend proves
    /// by an exclusive open. A device that is gone already is done (F11).
    pub(super) fn detach_device(&mut self) -> Result<Outcome, VolumeError> {
        if !self.siblings()?.is_empty() {
            self.record.device = None;
            return Ok(Outcome::AlreadySo);
        }
        let Some(key) = self.device_key()? else {
            self.record.device = None;
            return Ok(Outcome::AlreadySo);
        };
        let running = self.begin(Step::Detach, &key)?;
        let (deadline, force) = (self.deadline(), self.call.is_forced());
        let result = self.backend(Step::Detach).and_then(|backend| {
            backend
                .detach(&key, force, deadline)
                .map_err(|error| match error.kind {
                    ErrorKind::InUse => VolumeError::InUse {
                        id: self.id.clone(),
                        by: error.message,
                        remedy: "end that use; then try again".into(),
                    },
                    _ => self.backend_error(Step::Detach, error),
                })
        });
        let outcome = self.end(running, result)?;
        self.record.device = None;
        Ok(outcome)
    }

    /// The recorded device, or the one that an interrupted attach left behind.
    fn device_key(&self) -> Result<Option<DeviceKey>, VolumeError> {
        if let Some(device) = &self.record.device {
            return Ok(Some(device.key.clone()));
        }
        let found = self
            .backend(Step::Detach)?
            .find(&self.record.spec.source, self.deadline());
        Ok(found
            .map_err(|e| self.backend_error(Step::Detach, e))?
            .map(|device| device.key))
    }
}

/// Removes a symbolic link; an absent one is fine.
pub(super) fn remove_link(link: &Path) -> Result<Outcome, VolumeError> {
    match std::fs::remove_file(link) {
        Ok(()) => Ok(Outcome::Changed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::AlreadySo),
        Err(error) => Err(io_error("cannot remove the link", link, error)),
    }
}

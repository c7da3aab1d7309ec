//! Grow: the LUN's new capacity reaches the device and the mounted file system.

use super::stage::StageState;
use super::{Call, Engine, Grown};
use crate::error::VolumeError;
use crate::model::{Outcome, VolumeId};
use crate::progress::Step;

impl Engine {
    /// Reads the LUN's capacity anew and grows the device and the mounted file system to it.
    ///
    /// # Errors
    /// `NotStaged` when it is neither staged nor a raw device; `ReadOnlyDevice` for a read-only stage.
    pub fn grow(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<(Outcome, Grown), VolumeError> {
        let Some(mut work) = self.work("grow", id, None, call)? else {
            return Err(VolumeError::UnknownVolume { id: id.clone() });
        };
        work.lock_lun()?;
        let Some(device) = work.record.device.clone() else {
            return Err(VolumeError::NotStaged { id: id.clone() });
        };
        let staged = matches!(work.stage_state()?, StageState::Live(_));
        if !staged && work.record.block.is_none() {
            return Err(VolumeError::NotStaged { id: id.clone() });
        }
        let staging = work.record.staging.clone();
        if staging
            .as_ref()
            .is_some_and(|staging| staging.access.is_read_only())
        {
            let reason = "it is staged read-only, so its file system cannot grow".to_owned();
            return Err(VolumeError::ReadOnlyDevice {
                id: id.clone(),
                reason,
            });
        }
        let running = work.begin(Step::Grow, device.path.display())?;
        let deadline = work.deadline();
        let result = work.backend(Step::Grow).and_then(|backend| {
            backend
                .rescan(&device.key, deadline)
                .map_err(|e| work.backend_error(Step::Grow, e))
        });
        let result = result.and_then(|now| match &staging {
            None => Ok((now, None)),
            Some(staging) => {
                let host = &self.config.host;
                let growth = host.grow(&device.path, staging.fs_type, &staging.path, deadline);
                growth
                    .map(|growth| (now, Some(growth)))
                    .map_err(|e| work.host_error(Step::Grow, e))
            }
        });
        let (now, growth) = work.end(running, result)?;
        if let Some(recorded) = &mut work.record.device {
            recorded.size_bytes = now.size_bytes;
        }
        if let Some(mut known) = self.journal.lun(&work.lun())? {
            known.size_bytes = Some(now.size_bytes);
            self.journal.write_lun(&known)?;
        }
        work.settle()?;
        let changed =
            now.size_bytes != device.size_bytes || growth.is_some_and(|g| g.after_bytes != g.before_bytes);
        let outcome = if changed {
            Outcome::Changed
        } else {
            Outcome::AlreadySo
        };
        let fs_bytes = growth.map(|growth| (growth.before_bytes, growth.after_bytes));
        Ok((
            outcome,
            Grown {
                device_bytes: now.size_bytes,
                fs_bytes,
            },
        ))
    }
}

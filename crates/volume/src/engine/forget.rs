//! Forget: accepts another disk in the place of a known one, and puts damaged records aside.

use super::work::acquire;
use super::{Call, Engine};
use crate::error::VolumeError;
use crate::journal::{JournalError, Place};
use crate::model::{LunKey, Outcome, VolumeId};
use crate::progress::Step;

impl Engine {
    /// Forgets what the LUN of a volume was known to be, so that another disk is accepted in its place; puts damaged
    /// records aside. Only while it is not in use.
    ///
    /// # Errors
    /// `InUse` while the kernel or a backend still has something of it.
    pub fn forget(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<Outcome, VolumeError> {
        let operation = format!("forget {id}");
        let _volume = acquire(&self.volume_lock(id), &operation, id.as_str(), call)?;
        let place = self.journal.place(id)?;
        let lun = place
            .as_ref()
            .map_or_else(|| LunKey::from(id.clone()), |place| place.lun.clone());
        let _lun = acquire(&self.lun_lock(&lun), &operation, lun.as_str(), call)?;
        let mut outcome = Outcome::AlreadySo;
        let users: Vec<Place> = self
            .journal
            .places()?
            .into_iter()
            .filter(|place| place.lun == lun)
            .collect();
        for user in &users {
            match self.journal.volume(user) {
                Ok(Some(record)) if record.boot_id == self.boot_id => {
                    return Err(in_use(
                        id,
                        format!("volume {} uses it", user.id),
                        "take that down first",
                    ));
                }
                Ok(_) | Err(JournalError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.refuse_in_kernel(id, &lun, &users, call)?;
        for user in users.iter().filter(|user| user.id == *id || place.is_none()) {
            self.journal.put_volume_aside(user)?;
            outcome = Outcome::Changed;
        }
        match self.journal.lun(&lun) {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.journal.remove_lun(&lun)?;
                outcome = Outcome::Changed;
            }
            Err(JournalError::Damaged { .. }) => {
                self.journal.put_lun_aside(&lun)?;
                outcome = Outcome::Changed;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(outcome)
    }

    /// A damaged record cannot say what is in use, so the kernel and the backends are asked.
    fn refuse_in_kernel(
        &self,
        id: &VolumeId,
        lun: &LunKey,
        users: &[Place],
        call: &Call<'_>,
    ) -> Result<(), VolumeError> {
        let step = Step::Identify;
        let mounts = self.config.host.mounts();
        let mounts = mounts.map_err(|source| VolumeError::Host {
            id: id.clone(),
            step,
            source,
        })?;
        for user in users.iter().map(|user| &user.id).chain([id]) {
            let staging = self.staging_path(user);
            if mounts.iter().any(|entry| entry.mount_point == staging) {
                let by = format!("{} is mounted", staging.display());
                return Err(in_use(
                    id,
                    by,
                    "unmount it with umount(8), the record that says more is damaged",
                ));
            }
        }
        for backend in self.config.backends.all() {
            let devices = backend.list(call.deadline());
            let devices = devices.map_err(|source| VolumeError::Backend {
                id: id.clone(),
                step,
                source,
            })?;
            if let Some(device) = devices.into_iter().find(|device| device.lun == *lun) {
                if let Some(mount) = mounts.iter().find(|entry| super::stage::is_on(entry, &device)) {
                    let by = format!("its device is mounted at {}", mount.mount_point.display());
                    return Err(in_use(id, by, "unmount it first"));
                }
                // Nobody uses it, and the exclusive open proves that.
                let gone = backend.detach(&device.key, false, call.deadline());
                gone.map_err(|source| VolumeError::Backend {
                    id: id.clone(),
                    step: Step::Detach,
                    source,
                })?;
            }
        }
        Ok(())
    }
}

fn in_use(id: &VolumeId, by: String, remedy: &str) -> VolumeError {
    VolumeError::InUse {
        id: id.clone(),
        by,
        remedy: remedy.to_owned(),
    }
}

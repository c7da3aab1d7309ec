//! `Work`: one operation on one volume, under the volume's lock: its record, and steps that are recorded first.

use super::{Call, Engine};
use crate::backend::Backend;
use crate::error::VolumeError;
use crate::failpoint::{self, Moment};
use crate::host::{HostError, MountEntry};
use crate::journal::{JournalError, PendingStep, Place, VolumeRecord};
use crate::lock::{Lock, now_ms};
use crate::model::{LunKey, RecordedSpec, VolumeId};
use crate::progress::{Phase, Step};
use serde_json::Map;
use std::path::Path;
use std::time::Instant;

/// An operation under way.
pub(super) struct Work<'w, 'p> {
    pub(super) engine: &'w Engine,
    pub(super) call: &'w mut Call<'p>,
    pub(super) id: VolumeId,
    pub(super) record: VolumeRecord,
    /// The journal holds a record of this volume.
    pub(super) on_disk: bool,
    /// The volume was in use before this operation, so a failure must not take it down.
    pub(super) was_in_use: bool,
    /// The step at which an earlier call died.
    pub(super) interrupted_at: Option<String>,
    operation: String,
    volume_lock: Lock,
    lun_lock: Option<Lock>,
}

/// A step that has begun.
pub(super) struct Running {
    step: Step,
    subject: String,
    since: Instant,
}

impl Engine {
    /// Locks a volume and reads its record; without a record, begins one from `spec`, or gives `None` without `spec`.
    pub(super) fn work<'w, 'p>(
        &'w self,
        verb: &str,
        id: &VolumeId,
        spec: Option<RecordedSpec>,
        call: &'w mut Call<'p>,
    ) -> Result<Option<Work<'w, 'p>>, VolumeError> {
        let operation = format!("{verb} {id}");
        let path = self.volume_lock(id);
        let volume_lock = acquire(&path, &operation, id.as_str(), call)?;
        let found = match self.journal.place(id)? {
            Some(place) => self.journal.volume(&place)?,
            None => None,
        };
        let on_disk = found.is_some();
        let record = match (found, spec) {
            (Some(record), _) => record,
            (None, Some(spec)) => VolumeRecord::new(id.clone(), spec, self.boot_id.clone(), now_ms() / 1000),
            (None, None) => {
                volume_lock.remove_file();
                return Ok(None);
            }
        };
        let mut work = Work {
            engine: self,
            call,
            id: id.clone(),
            record,
            on_disk,
            was_in_use: false,
            interrupted_at: None,
            operation,
            volume_lock,
            lun_lock: None,
        };
        if work.record.boot_id != self.boot_id {
            work.record.drop_kernel_state(&self.boot_id);
        }
        work.interrupted_at = work.record.pending.as_ref().map(|pending| pending.step.clone());
        work.was_in_use = work.record.is_in_use();
        Ok(Some(work))
    }
}

/// Waits for a lock and tells the caller for whom.
pub(super) fn acquire(
    path: &Path,
    operation: &str,
    subject: &str,
    call: &mut Call<'_>,
) -> Result<Lock, VolumeError> {
    let deadline = call.deadline();
    Lock::acquire(path, operation, deadline, &mut |holder| {
        let reason = holder.map_or_else(|| "another call".to_owned(), ToString::to_string);
        call.tell(
            Step::Lock,
            subject,
            Phase::Waiting {
                reason: format!("waiting for {reason}"),
            },
        );
    })
}

impl Work<'_, '_> {
    /// The LUN beneath the volume.
    pub(super) fn lun(&self) -> LunKey {
        self.record.lun_key()
    }

    /// Locks the LUN, unless that is done already.
    pub(super) fn lock_lun(&mut self) -> Result<(), VolumeError> {
        if self.lun_lock.is_none() {
            let lun = self.lun();
            let path = self.engine.lun_lock(&lun);
            self.lun_lock = Some(acquire(&path, &self.operation, lun.as_str(), self.call)?);
        }
        Ok(())
    }

    /// Lets other volumes of the LUN go on.
    pub(super) fn unlock_lun(&mut self) {
        self.lun_lock = None;
    }

    /// Locks a target directory.
    pub(super) fn lock_target(&mut self, target: &Path) -> Result<Lock, VolumeError> {
        let path = self.engine.target_lock(target);
        acquire(&path, &self.operation, &target.display().to_string(), self.call)
    }

    /// Until when the caller waits.
    pub(super) fn deadline(&self) -> Instant {
        self.call.deadline()
    }

    /// The backend of the volume's source.
    pub(super) fn backend(&self, step: Step) -> Result<&dyn Backend, VolumeError> {
        let scheme = self.record.spec.source.scheme();
        let found = self.engine.config.backends.get(scheme);
        found.map_err(|source| VolumeError::Backend {
            id: self.id.clone(),
            step,
            source,
        })
    }

    /// All mounts, as the kernel has them now.
    pub(super) fn mounts(&self) -> Result<Vec<MountEntry>, VolumeError> {
        self.engine
            .config
            .host
            .mounts()
            .map_err(|source| self.host_error(Step::Identify, source))
    }

    pub(super) fn host_error(&self, step: Step, source: HostError) -> VolumeError {
        VolumeError::Host {
            id: self.id.clone(),
            step,
            source,
        }
    }

    /// Writes the record as it is.
    pub(super) fn save(&mut self) -> Result<(), VolumeError> {
        self.engine.journal.write_volume(&self.record)?;
        self.on_disk = true;
        Ok(())
    }

    /// Writes the record with no step pending: the operation is done.
    pub(super) fn settle(&mut self) -> Result<(), VolumeError> {
        self.record.pending = None;
        self.save()
    }

    /// Records that a step is about to be taken, with everything else that the record says by now.
    pub(super) fn begin(
        &mut self,
        step: Step,
        subject: impl std::fmt::Display,
    ) -> Result<Running, VolumeError> {
        self.call.check_time(&self.id, step)?;
        let subject = subject.to_string();
        failpoint::step(step, Moment::Before);
        self.record.pending = Some(PendingStep {
            step: step.to_string(),
            pid: std::process::id(),
            since_s: now_ms() / 1000,
            extra: Map::new(),
        });
        self.save()?;
        for lock in std::iter::once(&self.volume_lock).chain(&self.lun_lock) {
            lock.at_step(step);
        }
        self.call.tell(step, &subject, Phase::Started);
        failpoint::step(step, Moment::Recorded);
        Ok(Running {
            step,
            subject,
            since: Instant::now(),
        })
    }

    /// Notes how a step ended. What it changed in the record is written with the next step, or by `settle`: the
    /// record of the step itself already says what may be there.
    pub(super) fn end<T>(
        &mut self,
        running: Running,
        result: Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        if result.is_ok() {
            failpoint::step(running.step, Moment::Done);
        }
        let phase = match &result {
            Ok(_) => Phase::Finished {
                took: running.since.elapsed(),
            },
            Err(_) => Phase::Failed,
        };
        self.call.tell(running.step, &running.subject, phase);
        result
    }

    /// Removes the record, and the lock files that nobody needs now.
    pub(super) fn forget(&mut self) -> Result<(), VolumeError> {
        if self.on_disk {
            failpoint::step(Step::Forget, Moment::Before);
            self.engine.journal.remove_volume(&self.place())?;
            self.on_disk = false;
            failpoint::step(Step::Forget, Moment::Done);
        }
        self.volume_lock.remove_file();
        if let Some(lock) = &self.lun_lock {
            lock.remove_file();
        }
        Ok(())
    }

    pub(super) fn place(&self) -> Place {
        Place {
            lun: self.lun(),
            id: self.id.clone(),
        }
    }

    /// The other volumes on the same LUN that may hold something of this boot's kernel.
    pub(super) fn siblings(&self) -> Result<Siblings, VolumeError> {
        let lun = self.lun();
        let mut siblings = Siblings::default();
        for place in self.engine.journal.places()? {
            if place.lun != lun || place.id == self.id {
                continue;
            }
            match self.engine.journal.volume(&place) {
                Ok(Some(record)) if record.boot_id == self.engine.boot_id => siblings.known.push(record),
                Ok(_) => {}
                Err(error @ (JournalError::Damaged { .. } | JournalError::Newer { .. })) => {
                    siblings.unreadable.push((place.id, error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(siblings)
    }
}

/// Other volumes on a LUN.
#[derive(Default)]
pub(super) struct Siblings {
    pub(super) known: Vec<VolumeRecord>,
    /// Their records cannot be read: they count as users, for a damaged record is never an absent one.
    pub(super) unreadable: Vec<(VolumeId, JournalError)>,
}

impl Siblings {
    /// Fails when one of them cannot be read.
    pub(super) fn all_known(self) -> Result<Vec<VolumeRecord>, VolumeError> {
        match self.unreadable.into_iter().next() {
            Some((_, error)) => Err(error.into()),
            None => Ok(self.known),
        }
    }

    /// Whether there is none: the LUN is ours alone.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unreadable.is_empty()
    }
}

//! Raw block devices: attach with a stable link, and detach.

use super::up::{Purpose, device_is_live};
use super::work::Work;
use super::{AttachedVolume, Call, Engine};
use crate::error::VolumeError;
use crate::journal::BlockUse;
use crate::lock::io_error;
use crate::model::{Outcome, RecordedSpec, VolumeId, VolumeSpec};
use crate::progress::Step;
use serde_json::Map;
use std::io;
use std::path::Path;

impl Engine {
    /// Makes a raw block device of the volume, with a stable link. A LUN is used either so or as a file system.
    ///
    /// # Errors
    /// See [`VolumeError`]; nothing new is left attached.
    pub fn attach(
        &self,
        spec: &VolumeSpec,
        call: &mut Call<'_>,
    ) -> Result<(Outcome, AttachedVolume), VolumeError> {
        spec.validate()?;
        let Some(mut work) = self.work("attach", &spec.id(), Some(RecordedSpec::from(spec)), call)? else {
            return Err(VolumeError::UnknownVolume { id: spec.id() });
        };
        let result = work.attach(spec);
        work.undo_if_failed(result)
    }

    /// Takes a raw block device away. Finishes or undoes whatever an interrupted `attach` left.
    ///
    /// # Errors
    /// `InUse` when it is used as a file system or somebody has it open.
    pub fn detach(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<Outcome, VolumeError> {
        let Some(mut work) = self.work("detach", id, None, call)? else {
            return self.clear_unrecorded(id, call);
        };
        work.lock_lun()?;
        if work
            .record
            .staging
            .as_ref()
            .is_some_and(|staging| staging.number.is_some())
        {
            return Err(VolumeError::InUse {
                id: id.clone(),
                by: "it is mounted as a file system".into(),
                remedy: "unmount it instead".into(),
            });
        }
        work.take_down()?;
        Ok(Outcome::Changed)
    }
}

impl Work<'_, '_> {
    fn attach(&mut self, spec: &VolumeSpec) -> Result<(Outcome, AttachedVolume), VolumeError> {
        let siblings = self.agree(&RecordedSpec::from(spec), Purpose::RawDevice)?;
        let link = self.engine.link_path(&self.id);
        if let (Some(device), true) = (&self.record.device, self.record.block.is_some()) {
            let linked = std::fs::read_link(&link).is_ok_and(|to| to == device.path);
            if linked && device_is_live(self, device)? {
                return Ok((Outcome::AlreadySo, Engine::attached_volume(self, device)));
            }
            // The old device is gone, or is another one: it is attached anew, and the link follows.
        }
        let (_, device) = self.attach_device(spec, &siblings)?;
        self.record.block = Some(BlockUse {
            link: link.clone(),
            extra: Map::new(),
        });
        let running = self.begin(Step::Link, link.display())?;
        let made = replace_link(&link, &device.path).map_err(|e| io_error("cannot make the link", &link, e));
        self.end(running, made)?;
        self.settle()?;
        match &self.record.device {
            Some(device) => Ok((Outcome::Changed, Engine::attached_volume(self, device))),
            None => Err(VolumeError::UnknownVolume { id: self.id.clone() }),
        }
    }
}

/// Makes a symbolic link at once, also over an old one.
fn replace_link(link: &Path, to: &Path) -> io::Result<()> {
    let mut name = link.file_name().unwrap_or_default().to_owned();
    // Upper case, so that it is no volume's name.
    name.push(".NEW");
    let temporary = link.with_file_name(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(to, &temporary)?;
    std::fs::rename(&temporary, link)
}

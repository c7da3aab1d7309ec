//! The engine: takes volumes up (attach, identify, format, check, mount, publish) and down again.

mod answer;
mod call;
mod view;

pub use answer::{AttachedVolume, Grown, MountedVolume, PublishedVolume, StagedVolume};
pub use call::Call;
pub use view::{DeviceView, PublicationView, Report, StagingView, VolumeState, VolumeView};

use crate::backend::Backends;
use crate::error::VolumeError;
use crate::host::Host;
use crate::journal::Journal;
use crate::model::{Access, Outcome, VolumeId, VolumeSpec};
use std::path::{Path, PathBuf};

/// What an engine works with.
pub struct EngineConfig {
    /// Durable: the journal (`/var/lib/longshore`).
    pub state_dir: PathBuf,
    /// Until the next boot: locks, staging directories, device links (`/run/longshore`).
    pub run_dir: PathBuf,
    /// The backends.
    pub backends: Backends,
    /// The machine.
    pub host: Box<dyn Host>,
}

/// Takes volumes up and down. Any number of engines, in any number of processes, may work on the same directories.
///
/// Every operation is idempotent, waits for one that is under way on the same volume, and after a kill at any point
/// the same call or the opposite one finishes the job.
pub struct Engine {
    config: EngineConfig,
    journal: Journal,
}

impl Engine {
    /// Opens the directories (made with mode 0700 if need be). Nothing else is touched.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(config: EngineConfig) -> Result<Engine, VolumeError> {
        let journal = Journal::open(&config.state_dir)?;
        Ok(Engine { config, journal })
    }

    /// Makes a raw block device of the volume, with a stable link. A LUN is used either so or as a file system.
    ///
    /// # Errors
    /// See [`VolumeError`]; nothing new is left attached.
    pub fn attach(
        &self,
        spec: &VolumeSpec,
        call: &mut Call<'_>,
    ) -> Result<(Outcome, AttachedVolume), VolumeError> {
        let _ = (spec, call, &self.config.backends, &self.journal);
        Err(VolumeError::field("attach", "not built yet"))
    }

    /// Takes a raw block device away. Finishes or undoes whatever an interrupted `attach` left.
    ///
    /// # Errors
    /// `InUse` when it is used as a file system or somebody has it open.
    pub fn detach(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<Outcome, VolumeError> {
        let _ = (id, call);
        Err(VolumeError::field("detach", "not built yet"))
    }

    /// Attaches the volume and mounts its file system at its staging directory; it stays until `unstage`.
    ///
    /// # Errors
    /// See [`VolumeError`]; nothing new is left mounted or attached.
    pub fn stage(
        &self,
        spec: &VolumeSpec,
        call: &mut Call<'_>,
    ) -> Result<(Outcome, StagedVolume), VolumeError> {
        let _ = (spec, call);
        Err(VolumeError::field("stage", "not built yet"))
    }

    /// Unmounts and detaches the volume; the device stays while another volume uses the LUN.
    ///
    /// # Errors
    /// `InUse` while it is published. Goes on after an error and gives them all.
    pub fn unstage(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<Outcome, VolumeError> {
        let _ = (id, call);
        Err(VolumeError::field("unstage", "not built yet"))
    }

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
        let _ = (id, target, access, call);
        Err(VolumeError::field("publish", "not built yet"))
    }

    /// Takes a volume off a directory. Nothing else there is touched; the volume stays staged.
    ///
    /// # Errors
    /// See [`VolumeError`]; a volume or publication that does not exist is `AlreadySo`.
    pub fn unpublish(
        &self,
        id: &VolumeId,
        target: &Path,
        call: &mut Call<'_>,
    ) -> Result<Outcome, VolumeError> {
        let _ = (id, target, call);
        Err(VolumeError::field("unpublish", "not built yet"))
    }

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
        let _ = (spec, target, call);
        Err(VolumeError::field("mount", "not built yet"))
    }

    /// Takes the volume off the directory, and with its last publication unstages it (unless `stage` asked to keep
    /// it). Gives the volume that was there.
    ///
    /// # Errors
    /// `NotPublished` when no volume accounts for the directory.
    pub fn umount(&self, target: &Path, call: &mut Call<'_>) -> Result<(Outcome, VolumeId), VolumeError> {
        let _ = (target, call);
        Err(VolumeError::field("umount", "not built yet"))
    }

    /// Reads the LUN's capacity anew and grows the device and the mounted file system to it.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn grow(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<(Outcome, Grown), VolumeError> {
        let _ = (id, call);
        Err(VolumeError::field("grow", "not built yet"))
    }

    /// Forgets what the LUN of a volume was known to be, so that another disk is accepted in its place; puts damaged
    /// records aside. Only while it is not in use.
    ///
    /// # Errors
    /// `InUse` while the kernel or a backend still has something of it.
    pub fn forget(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<Outcome, VolumeError> {
        let _ = (id, call);
        Err(VolumeError::field("forget", "not built yet"))
    }

    /// Every volume in use. Reads only.
    ///
    /// # Errors
    /// When the journal cannot be listed; a damaged record is a view with a condition.
    pub fn list(&self, call: &mut Call<'_>) -> Result<Vec<VolumeView>, VolumeError> {
        let _ = call;
        Err(VolumeError::field("list", "not built yet"))
    }

    /// One volume, also one that is not in use but whose LUN is known. Reads only.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn show(&self, id: &VolumeId, call: &mut Call<'_>) -> Result<VolumeView, VolumeError> {
        let _ = (id, call);
        Err(VolumeError::field("show", "not built yet"))
    }

    /// What a start-up looks at: every volume, and what no volume accounts for. Reads only (F6).
    ///
    /// # Errors
    /// When the journal cannot be listed.
    pub fn reconcile(&self, call: &mut Call<'_>) -> Result<Report, VolumeError> {
        let _ = call;
        Err(VolumeError::field("reconcile", "not built yet"))
    }
}

//! The engine's own files under the run directory.

use super::Engine;
use crate::error::VolumeError;
use crate::lock::io_error;
use crate::model::{LunKey, VolumeId, short_hash};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

impl Engine {
    /// Makes the directories below the run directory.
    pub(super) fn make_directories(run_dir: &Path) -> Result<(), VolumeError> {
        for name in ["locks", "staging", "devices"] {
            make_directory(&run_dir.join(name))?;
        }
        Ok(())
    }

    pub(super) fn volume_lock(&self, id: &VolumeId) -> PathBuf {
        self.config.run_dir.join("locks").join(format!("volume-{id}"))
    }

    pub(super) fn lun_lock(&self, lun: &LunKey) -> PathBuf {
        self.config.run_dir.join("locks").join(format!("lun-{lun}"))
    }

    pub(super) fn target_lock(&self, target: &Path) -> PathBuf {
        let name = format!("target-{}", short_hash(&[target.as_os_str().as_bytes()]));
        self.config.run_dir.join("locks").join(name)
    }

    /// Where the staging mounts are.
    pub(super) fn staging_root(&self) -> PathBuf {
        self.config.run_dir.join("staging")
    }

    /// A volume's staging directory.
    pub(super) fn staging_path(&self, id: &VolumeId) -> PathBuf {
        self.staging_root().join(id.as_str())
    }

    /// The stable link to a raw block device.
    pub(super) fn link_path(&self, id: &VolumeId) -> PathBuf {
        self.config.run_dir.join("devices").join(id.as_str())
    }

    /// A target directory by the one name that the journal, the lock and mountinfo use: absolute, its parents
    /// resolved, its last part as it is (a symbolic link there is refused later).
    pub(super) fn target_name(&self, target: &Path) -> Result<PathBuf, VolumeError> {
        let unusable = |reason: &str| VolumeError::TargetUnusable {
            target: target.into(),
            reason: reason.into(),
        };
        if !target.is_absolute() {
            return Err(unusable("its path is not absolute"));
        }
        if target.components().any(|part| part == Component::ParentDir) {
            return Err(unusable("its path contains `..`"));
        }
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(unusable("it is the root directory"));
        };
        // A parent that is gone cannot be resolved; then nothing can be mounted below it, and the name stands as it is.
        let parent = std::fs::canonicalize(parent).unwrap_or_else(|_| parent.components().collect());
        let target = parent.join(name);
        for own in [&self.config.run_dir, &self.config.state_dir] {
            let own = std::fs::canonicalize(own).unwrap_or_else(|_| own.clone());
            if target.starts_with(&own) {
                return Err(unusable("it lies in Longshore's own directory"));
            }
        }
        Ok(target)
    }
}

/// Makes a directory with mode 0700, with its parents; one that is there is fine.
pub(super) fn make_directory(dir: &Path) -> Result<(), VolumeError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| io_error("cannot make the directory", dir, source))
}

/// Removes an empty directory; one that is absent is fine.
pub(super) fn remove_directory(dir: &Path) -> Result<(), VolumeError> {
    match std::fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("cannot remove the directory", dir, error))
        }
        _ => Ok(()),
    }
}

//! The two directories of a node and the names of the data plane's files in them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directories that one data plane belongs to. Two data planes with different directories know nothing of
/// each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Sockets, locks and the log; does not survive a reboot (`/run/longshore`).
    pub run_dir: PathBuf,
    /// What must survive a reboot (`/var/lib/longshore`).
    pub state_dir: PathBuf,
}

impl Dirs {
    /// Names both directories; nothing is created.
    pub fn new(run_dir: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            run_dir: run_dir.into(),
            state_dir: state_dir.into(),
        }
    }

    /// The socket on which the data plane answers.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("dataplane.sock")
    }

    /// Standard output and error of `hold` and the data plane.
    pub fn log(&self) -> PathBuf {
        self.run_dir.join("dataplane.log")
    }

    /// Locked by the client that starts a data plane, so that only one does.
    pub(crate) fn start_lock(&self) -> PathBuf {
        self.run_dir.join("dataplane.start.lock")
    }

    /// Locked by `hold` as long as it lives.
    pub(crate) fn hold_lock(&self) -> PathBuf {
        self.run_dir.join("hold.lock")
    }

    /// Makes both directories with mode 0700 where they are missing.
    ///
    /// # Errors
    /// Fails when a directory cannot be made, or when one that exists is not ours alone: owned by another user or
    /// writable by others.
    pub fn create(&self) -> io::Result<()> {
        for dir in [&self.run_dir, &self.state_dir] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            check_private(dir)?;
        }
        Ok(())
    }
}

/// Refuses a directory in which somebody else could put a socket or a lock of ours.
fn check_private(dir: &Path) -> io::Result<()> {
    let meta = std::fs::metadata(dir)?;
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() != own || meta.mode() & 0o022 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{} must belong to user {own} and must not be writable by others (it belongs to user {} with mode {:04o})",
                dir.display(),
                meta.uid(),
                meta.mode() & 0o7777
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn directories_are_made_private_and_shared_ones_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let dirs = Dirs::new(base.path().join("run/a"), base.path().join("state"));
        dirs.create().unwrap();
        dirs.create().unwrap();
        assert_eq!(std::fs::metadata(&dirs.run_dir).unwrap().mode() & 0o777, 0o700);

        std::fs::set_permissions(&dirs.run_dir, std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = dirs.create().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("run/a"), "{error}");
    }
}

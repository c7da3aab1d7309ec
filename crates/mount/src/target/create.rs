//! Directories that we make for a mount, and that we remove again, and no others.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::{TargetError, TargetRoot, components, io_error};

/// Directories made for a mount, relative to their root, the outermost first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// The directories.
    pub directories: Vec<PathBuf>,
}

impl Created {
    /// Which directories would have to be made for `relative`: to be recorded before they are.
    ///
    /// A path behind a link is an error here already.
    pub fn plan(root: &TargetRoot, relative: &Path) -> Result<Self, TargetError> {
        let mut path = PathBuf::new();
        let mut directories = Vec::new();
        for name in components(relative)? {
            path.push(name);
            if directories.is_empty() {
                match root.walk(&path) {
                    Ok(_) => continue,
                    Err(TargetError::Missing { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            directories.push(path.clone());
        }
        Ok(Self { directories })
    }

    /// Whether there is nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }
}

pub(super) fn create_missing(root: &TargetRoot, relative: &Path) -> Result<Created, TargetError> {
    let planned = Created::plan(root, relative)?;
    let mut made = Created::default();
    for directory in planned.directories {
        let (parent, name) = root.walk_to_parent(&directory)?;
        match rustix::fs::mkdirat(&parent, name.as_c_str(), Mode::from_raw_mode(0o750)) {
            Ok(()) => made.directories.push(directory),
            // Somebody else made it meanwhile: it is not ours to remove.
            Err(Errno::EXIST) => {}
            Err(e) => {
                let error = io_error("make the directory", &root.path().join(&directory), e);
                remove_created(root, &made)?;
                return Err(error);
            }
        }
    }
    Ok(made)
}

/// Removes directories that were made for a mount, the innermost first, each only when it is empty.
///
/// Returns those that were removed; one that is gone already counts as done, one that is not empty or is a mount
/// point stays, with all above it. Nothing but empty directories is ever removed.
pub fn remove_created(root: &TargetRoot, created: &Created) -> Result<Vec<PathBuf>, TargetError> {
    let mut removed = Vec::new();
    for directory in created.directories.iter().rev() {
        let (parent, name) = match root.walk_to_parent(directory) {
            Ok(found) => found,
            Err(TargetError::Missing { .. }) => continue,
            Err(other) => return Err(other),
        };
        match rustix::fs::unlinkat(&parent, name.as_c_str(), AtFlags::REMOVEDIR) {
            Ok(()) => removed.push(directory.clone()),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => break,
            Err(e) => return Err(io_error("remove the directory", &root.path().join(directory), e)),
        }
    }
    Ok(removed)
}

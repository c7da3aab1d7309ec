//! The containers' directories beneath a Pod's directory: which are missing, making them, removing them again.
//!
//! Walking without following links is `longshore_mount`'s work; here is what a Pod needs on top: its own directory,
//! and a list that can be written down before anything is made.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use longshore_mount::target::remove_created;
use longshore_mount::{Created, MountNamespace, TargetDirectory, TargetError, TargetRoot};

use crate::exit::{CliError, ExitCode};

/// A Pod's directory, which may not exist yet.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: PathBuf,
}

impl Tree {
    /// The tree beneath `dir`, an absolute path.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directories that are missing for `relative`, outermost first; the empty path is the Pod's directory.
    ///
    /// # Errors
    /// A link is in the way, or the directory cannot be read.
    pub(crate) fn missing(&self, relative: &Path) -> Result<Vec<PathBuf>, CliError> {
        if self.dir.exists() {
            let root = self.root()?;
            return Ok(Created::plan(&root, relative).map_err(target_error)?.directories);
        }
        let mut all: Vec<PathBuf> = relative.ancestors().map(Path::to_owned).collect();
        all.reverse();
        Ok(all)
    }

    /// Makes what is missing for `relative` and gives the real path.
    ///
    /// # Errors
    /// A link is in the way, or the system refuses.
    pub(crate) fn make(&self, relative: &Path) -> Result<PathBuf, CliError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|error| CliError::io("make the directory", &self.dir, &error))?;
        let root = self.root()?;
        if !Created::plan(&root, relative).map_err(target_error)?.is_empty() {
            TargetDirectory::open_or_create(&root, relative).map_err(target_error)?;
        }
        root.resolve(relative).map_err(target_error)
    }

    /// Removes directories of [`Tree::missing`], innermost first, where they are empty.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn remove(&self, made: &[PathBuf]) -> Result<(), CliError> {
        if !self.dir.exists() {
            return Ok(());
        }
        let root = self.root()?;
        for directory in made
            .iter()
            .rev()
            .filter(|directory| !directory.as_os_str().is_empty())
        {
            let created = Created {
                directories: vec![directory.clone()],
            };
            remove_created(&root, &created).map_err(target_error)?;
        }
        if !made.iter().any(|directory| directory.as_os_str().is_empty()) {
            return Ok(());
        }
        match std::fs::remove_dir(&self.dir) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(CliError::io("remove the directory", &self.dir, &error))
            }
            _ => Ok(()),
        }
    }

    fn root(&self) -> Result<TargetRoot, CliError> {
        let namespace =
            MountNamespace::own().map_err(|error| CliError::new(ExitCode::Failure, error.to_string()))?;
        TargetRoot::open(namespace, &self.dir).map_err(target_error)
    }
}

fn target_error(error: TargetError) -> CliError {
    CliError::new(ExitCode::Usage, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_and_removed_again() {
        let dir = tempfile::tempdir().expect("directory");
        let tree = Tree::new(&dir.path().join("root"));
        let wanted = Path::new("web/var/lib");
        let missing = tree.missing(wanted).expect("planned");
        assert_eq!(missing, ["", "web", "web/var", "web/var/lib"].map(PathBuf::from));
        let made = tree.make(wanted).expect("made");
        assert!(made.is_dir() && made.ends_with("root/web/var/lib"));
        assert_eq!(tree.make(wanted).expect("again"), made);
        assert!(tree.missing(wanted).expect("planned").is_empty());
        std::fs::write(dir.path().join("root/web/kept"), "x").expect("written");
        tree.remove(&missing).expect("removed");
        assert!(dir.path().join("root/web/kept").exists() && !dir.path().join("root/web/var").exists());
        std::fs::remove_file(dir.path().join("root/web/kept")).expect("removed");
        tree.remove(&missing).expect("removed");
        assert!(!dir.path().join("root").exists());
        tree.remove(&missing).expect("absent is fine");
    }

    #[test]
    fn a_link_does_not_lead_out() {
        let dir = tempfile::tempdir().expect("directory");
        let outside = dir.path().join("outside");
        std::fs::create_dir_all(outside.join("x")).expect("made");
        let root = dir.path().join("root");
        std::fs::create_dir(&root).expect("made");
        std::os::unix::fs::symlink(&outside, root.join("web")).expect("linked");
        let tree = Tree::new(&root);
        for path in ["web/x", "web/y", "../outside/y"] {
            assert!(tree.missing(Path::new(path)).is_err(), "{path}");
            assert!(tree.make(Path::new(path)).is_err(), "{path}");
        }
        assert!(!outside.join("y").exists());
        assert!(tree.remove(&[PathBuf::from("web/x")]).is_err());
        assert!(outside.join("x").exists());
    }
}

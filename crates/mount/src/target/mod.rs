//! Target directories: walked beneath a root that is resolved once, and proved fit to be mounted over.

mod create;

pub use create::{Created, remove_created};

use std::ffi::{CString, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RawDir, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::detached::{describe, mount_id};
use crate::mountinfo::{MountInfo, ReadError};
use crate::namespace::MountNamespace;

/// The most path components below a root.
const MAX_COMPONENTS: usize = 64;

/// A directory is not fit to be mounted over, or cannot be reached safely.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The relative path has `..`, a root, or nothing in it.
    #[error(
        "{path:?} is not a path below the root: it must be relative, without .. and with 1 to 64 components"
    )]
    InvalidPath {
        /// The path.
        path: PathBuf,
    },
    /// The target or a component on the way is a symbolic link.
    #[error(
        "{path} is a symbolic link or lies behind one; a mount would land elsewhere; give the real directory"
    )]
    Symlink {
        /// The path.
        path: PathBuf,
    },
    /// It is not there.
    #[error("the directory {path} does not exist")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// It is not a directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It has something in it, which a mount would hide.
    #[error(
        "the directory {path} is not empty (it holds {example:?}); a mount would hide that; empty it or choose another"
    )]
    NotEmpty {
        /// The path.
        path: PathBuf,
        /// One thing in it.
        example: String,
    },
    /// Something is mounted there already.
    #[error("at {path} stands {found} already; unmount it or choose another directory")]
    AlreadyMounted {
        /// The path.
        path: PathBuf,
        /// What is mounted.
        found: String,
    },
    /// The mount table could not be read.
    #[error(transparent)]
    MountInfo(#[from] ReadError),
    /// Another error of a system call.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A directory in a mount namespace below which targets are walked without following links.
///
/// The root itself may be reached through symbolic links (a node's directory for pods often is one): they are
/// resolved once, here.
#[derive(Debug)]
pub struct TargetRoot {
    namespace: MountNamespace,
    fd: OwnedFd,
    path: PathBuf,
}

impl TargetRoot {
    /// Opens `path` (absolute, in that namespace) as a root.
    pub fn open(namespace: MountNamespace, path: &Path) -> Result<Self, TargetError> {
        if !path.is_absolute() {
            return Err(TargetError::InvalidPath {
                path: path.to_owned(),
            });
        }
        let proc_root = namespace.proc_path("root");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let io = |e: Errno| io_error("open", path, e);
        let top = openat(CWD, &proc_root, flags, Mode::empty()).map_err(io)?;
        namespace.check_unchanged()?;
        let fd = openat2(&top, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            .map_err(|e| walk_error(path, e))?;
        let real = link_target(fd.as_fd()).map_err(io)?;
        let prefix = link_target(top.as_fd()).map_err(io)?;
        let path = match real.strip_prefix(&prefix) {
            Ok(below) => Path::new("/").join(below),
            Err(_) => real,
        };
        Ok(Self { namespace, fd, path })
    }

    /// The root that `target`'s parent directory is, with the target's name below it: for a path that a person gave.
    pub fn parent_of(namespace: MountNamespace, target: &Path) -> Result<(Self, PathBuf), TargetError> {
        let invalid = || TargetError::InvalidPath {
            path: target.to_owned(),
        };
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(invalid());
        };
        if target.components().any(|c| c == Component::ParentDir) {
            return Err(invalid());
        }
        Ok((Self::open(namespace, parent)?, PathBuf::from(name)))
    }

    /// The root's real path in its namespace.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The namespace that the root lies in.
    pub fn namespace(&self) -> &MountNamespace {
        &self.namespace
    }

    /// The real path of something below the root.
    pub fn resolve(&self, relative: &Path) -> Result<PathBuf, TargetError> {
        components(relative)?;
        Ok(self.path.join(relative))
    }

    /// Opens a directory below the root (O_PATH), following no link; an empty path is the root.
    fn walk(&self, relative: &Path) -> Result<OwnedFd, TargetError> {
        let relative = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        // EAGAIN: something was renamed during the walk (openat2(2)).
        let mut result = Err(Errno::AGAIN);
        for _ in 0..16 {
            result = openat2(&self.fd, relative, flags, Mode::empty(), resolve);
            if result.as_ref().err() != Some(&Errno::AGAIN) {
                break;
            }
        }
        result.map_err(|e| self.explain(relative, e))
    }

    /// ENOTDIR is also what O_NOFOLLOW with O_DIRECTORY answers for a final symbolic link.
    fn explain(&self, relative: &Path, errno: Errno) -> TargetError {
        let path = self.path.join(relative);
        if errno == Errno::NOTDIR {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if openat2(&self.fd, relative, flags, Mode::empty(), resolve).err() == Some(Errno::LOOP)
                || self.is_symlink(relative)
            {
                return TargetError::Symlink { path };
            }
        }
        walk_error(&path, errno)
    }

    fn is_symlink(&self, relative: &Path) -> bool {
        rustix::fs::statat(&self.fd, relative, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink())
    }

    /// Opens the directory that holds `relative`'s last component, and gives that component's name.
    pub(crate) fn walk_to_parent(&self, relative: &Path) -> Result<(OwnedFd, CString), TargetError> {
        components(relative)?;
        let invalid = || TargetError::InvalidPath {
            path: relative.to_owned(),
        };
        let name = relative.file_name().ok_or_else(invalid)?;
        let parent = self.walk(relative.parent().unwrap_or(Path::new("")))?;
        Ok((parent, CString::new(name.as_bytes()).map_err(|_| invalid())?))
    }
}

/// A directory that exists, is no link, is empty, and has nothing mounted on it.
#[derive(Debug)]
pub struct TargetDirectory<'r> {
    root: &'r TargetRoot,
    relative: PathBuf,
    path: PathBuf,
    fd: OwnedFd,
}

impl<'r> TargetDirectory<'r> {
    /// Proves that the directory at `relative` below `root` may be mounted over.
    ///
    /// The mount table is looked at first: what is mounted there already is never touched.
    pub fn open(root: &'r TargetRoot, relative: &Path) -> Result<Self, TargetError> {
        components(relative)?;
        let path = root.path.join(relative);
        let info = MountInfo::read(&root.namespace)?;
        if let Some(found) = info.top(&path) {
            return Err(TargetError::AlreadyMounted {
                path,
                found: describe(found),
            });
        }
        let (parent, _) = root.walk_to_parent(relative)?;
        let fd = root.walk(relative)?;
        let io = |what: &'static str| {
            let path = path.clone();
            move |source| TargetError::Io { what, path, source }
        };
        let above = mount_id(parent.as_fd()).map_err(io("look up the mount of"))?;
        if mount_id(fd.as_fd()).map_err(io("look up the mount of"))? != above {
            return Err(TargetError::AlreadyMounted {
                path,
                found: "a mount that appeared just now".to_owned(),
            });
        }
        if let Some(example) = first_entry(fd.as_fd()).map_err(|e| io_error("list", &path, e))? {
            return Err(TargetError::NotEmpty { path, example });
        }
        Ok(Self {
            root,
            relative: relative.to_owned(),
            path,
            fd,
        })
    }

    /// Like [`Self::open`], but makes missing directories (mode 0750) and tells which, so that the tear-down can
    /// remove just those ([`remove_created`]). To record them before they are made, see [`Created::plan`].
    pub fn open_or_create(root: &'r TargetRoot, relative: &Path) -> Result<(Self, Created), TargetError> {
        let created = create::create_missing(root, relative)?;
        match Self::open(root, relative) {
            Ok(target) => Ok((target, created)),
            Err(error) => {
                remove_created(root, &created)?;
                Err(error)
            }
        }
    }

    /// The directory's path in its namespace.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root that it lies below.
    pub fn root(&self) -> &'r TargetRoot {
        self.root
    }

    /// The number of the mount that is seen at this path now.
    pub(crate) fn mount_id_now(&self) -> Result<u64, TargetError> {
        let fd = self.root.walk(&self.relative)?;
        mount_id(fd.as_fd()).map_err(|source| TargetError::Io {
            what: "look up the mount of",
            path: self.path.clone(),
            source,
        })
    }

    pub(crate) fn relative(&self) -> &Path {
        &self.relative
    }
}

impl AsFd for TargetDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Checks a path below a root; only plain names.
fn components(relative: &Path) -> Result<Vec<&OsStr>, TargetError> {
    let invalid = || TargetError::InvalidPath {
        path: relative.to_owned(),
    };
    let mut names = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) if names.len() < MAX_COMPONENTS && !name.as_bytes().contains(&0) => {
                names.push(name)
            }
            _ => return Err(invalid()),
        }
    }
    if names.is_empty() {
        Err(invalid())
    } else {
        Ok(names)
    }
}

fn link_target(fd: BorrowedFd<'_>) -> rustix::io::Result<PathBuf> {
    let text = readlinkat(
        CWD,
        format!("/proc/thread-self/fd/{}", fd.as_raw_fd()),
        Vec::new(),
    )?;
    Ok(PathBuf::from(OsString::from_vec(text.into_bytes())))
}

fn first_entry(directory: BorrowedFd<'_>) -> rustix::io::Result<Option<String>> {
    let fd = openat(
        directory,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            return Ok(Some(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(None)
}

fn walk_error(path: &Path, errno: Errno) -> TargetError {
    let path = path.to_owned();
    match errno {
        Errno::LOOP => TargetError::Symlink { path },
        Errno::NOENT => TargetError::Missing { path },
        Errno::NOTDIR => TargetError::NotADirectory { path },
        Errno::XDEV => TargetError::InvalidPath { path },
        other => io_error("open", &path, other),
    }
}

fn io_error(what: &'static str, path: &Path, errno: Errno) -> TargetError {
    TargetError::Io {
        what,
        path: path.to_owned(),
        source: errno.into(),
    }
}

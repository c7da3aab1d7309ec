//! What runs in the child process: each job is a short list of system calls. Nothing here allocates.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::child::{ChildError, Reply, run_in_child};

/// A job for the child.
pub(crate) enum Job<'a> {
    /// fsopen, fsconfig, fsmount: answers the detached mount.
    Create {
        fs_type: &'a CStr,
        parameters: &'a [(CString, Option<CString>)],
        attributes: MountAttrFlags,
    },
    /// open_tree with OPEN_TREE_CLONE of a path in a namespace: answers the detached mount.
    Clone {
        namespace: Option<BorrowedFd<'a>>,
        path: &'a CStr,
    },
    /// Read-only copy of a detached mount without mount_setattr (kernels before 5.12): by way of a private namespace.
    CloneReadOnly {
        mount: BorrowedFd<'a>,
        attributes: rustix::mount::MountFlags,
    },
    /// move_mount of a detached mount onto a directory.
    Place {
        namespace: Option<BorrowedFd<'a>>,
        mount: BorrowedFd<'a>,
        target: BorrowedFd<'a>,
    },
    /// umount2 of a name in a directory.
    Unmount {
        namespace: Option<BorrowedFd<'a>>,
        parent: BorrowedFd<'a>,
        name: &'a CStr,
        flags: UnmountFlags,
    },
    /// Opens the root of a mounted file system and asks for its statistics.
    Look {
        namespace: Option<BorrowedFd<'a>>,
        path: &'a CStr,
    },
}

/// Which system call of a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Other = 0,
    EnterNamespace,
    OpenFsContext,
    Configure,
    Create,
    Mount,
    OpenTree,
    Move,
    Unmount,
    Open,
    Statfs,
    PrivateNamespace,
}

impl Step {
    const ALL: [Self; 12] = [
        Self::Other,
        Self::EnterNamespace,
        Self::OpenFsContext,
        Self::Configure,
        Self::Create,
        Self::Mount,
        Self::OpenTree,
        Self::Move,
        Self::Unmount,
        Self::Open,
        Self::Statfs,
        Self::PrivateNamespace,
    ];

    pub(crate) fn of(reply: &Reply) -> Self {
        Self::ALL
            .get(usize::from(reply.step))
            .copied()
            .unwrap_or(Self::Other)
    }

    /// The system call's name.
    pub(crate) fn call(self) -> &'static str {
        match self {
            Self::Other => "a system call",
            Self::EnterNamespace => "setns",
            Self::OpenFsContext => "fsopen",
            Self::Configure => "fsconfig",
            Self::Create => "fsconfig(FSCONFIG_CMD_CREATE)",
            Self::Mount => "fsmount",
            Self::OpenTree => "open_tree",
            Self::Move => "move_mount",
            Self::Unmount => "umount2",
            Self::Open => "open",
            Self::Statfs => "statfs",
            Self::PrivateNamespace => "unshare",
        }
    }
}

type StepResult<T> = Result<T, (Step, Errno)>;

fn at<T>(step: Step, result: rustix::io::Result<T>) -> StepResult<T> {
    result.map_err(|errno| (step, errno))
}

/// Runs a job in a child process with a deadline.
pub(crate) fn run(job: &Job<'_>, deadline: Instant) -> Result<(Reply, Option<OwnedFd>), ChildError> {
    let mut keep: Vec<BorrowedFd<'_>> = Vec::new();
    match job {
        Job::Create { .. } => {}
        Job::Clone { namespace, .. } | Job::Look { namespace, .. } => keep.extend(namespace),
        Job::CloneReadOnly { mount, .. } => keep.push(*mount),
        Job::Place {
            namespace,
            mount,
            target,
        } => {
            keep.extend(namespace);
            keep.extend([*mount, *target]);
        }
        Job::Unmount {
            namespace, parent, ..
        } => {
            keep.extend(namespace);
            keep.push(*parent);
        }
    }
    // SAFETY: `execute` and what it calls make system calls on memory that exists already: rustix passes `&CStr` and
    // descriptors on without allocating, nothing locks, and slices are reached by `get`, so nothing panics.
    unsafe { run_in_child(&keep, deadline, |reply| execute(job, reply)) }
}

fn execute(job: &Job<'_>, reply: &mut Reply) -> Option<OwnedFd> {
    let result = match job {
        Job::Create {
            fs_type,
            parameters,
            attributes,
        } => create(fs_type, parameters, *attributes, reply).map(Some),
        Job::Clone { namespace, path } => clone(*namespace, path).map(Some),
        Job::CloneReadOnly { mount, attributes } => clone_read_only(*mount, *attributes).map(Some),
        Job::Place {
            namespace,
            mount,
            target,
        } => place(*namespace, *mount, *target).map(|()| None),
        Job::Unmount {
            namespace,
            parent,
            name,
            flags,
        } => unmount(*namespace, *parent, name, *flags).map(|()| None),
        Job::Look { namespace, path } => look(*namespace, path).map(|()| None),
    };
    match result {
        Ok(fd) => fd,
        Err((step, errno)) => {
            reply.step = step as u8;
            reply.errno = errno.raw_os_error();
            None
        }
    }
}

fn enter(namespace: Option<BorrowedFd<'_>>) -> StepResult<()> {
    match namespace {
        Some(fd) => at(
            Step::EnterNamespace,
            move_into_link_name_space(fd, Some(LinkNameSpaceType::Mount)),
        ),
        None => Ok(()),
    }
}

fn create(
    fs_type: &CStr,
    parameters: &[(CString, Option<CString>)],
    attributes: MountAttrFlags,
    reply: &mut Reply,
) -> StepResult<OwnedFd> {
    let context = at(
        Step::OpenFsContext,
        rustix::mount::fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC),
    )?;
    let result = configure(&context, parameters, reply)
        .and_then(|()| at(Step::Create, rustix::mount::fsconfig_create(context.as_fd())))
        .and_then(|()| {
            at(
                Step::Mount,
                rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes),
            )
        });
    read_log(&context, reply);
    result
}

fn configure(
    context: &OwnedFd,
    parameters: &[(CString, Option<CString>)],
    reply: &mut Reply,
) -> StepResult<()> {
    for (key, value) in parameters {
        let set = match value {
            Some(value) => {
                rustix::mount::fsconfig_set_string(context.as_fd(), key.as_c_str(), value.as_c_str())
            }
            None => rustix::mount::fsconfig_set_flag(context.as_fd(), key.as_c_str()),
        };
        if set.is_err() {
            reply.push_text(b"parameter ");
            reply.push_text(key.as_bytes());
            reply.push_text(b": ");
        }
        at(Step::Configure, set)?;
    }
    Ok(())
}

/// Takes the kernel's messages out of the file system context (`e`rror, `w`arning, `i`nfo, one per read; fsopen(2)).
fn read_log(context: &OwnedFd, reply: &mut Reply) {
    // The kernel's ring holds 8 messages.
    for _ in 0..16 {
        let mut line = [0_u8; 256];
        match rustix::io::read(context.as_fd(), &mut line[..]) {
            Ok(len) if len > 2 => {
                reply.push_text(line.get(2..len).unwrap_or_default().trim_ascii());
                reply.push_text(b"; ");
            }
            _ => break,
        }
    }
}

fn clone(namespace: Option<BorrowedFd<'_>>, path: &CStr) -> StepResult<OwnedFd> {
    enter(namespace)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_NO_AUTOMOUNT
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    at(Step::OpenTree, rustix::mount::open_tree(CWD, path, flags))
}

fn clone_read_only(mount: BorrowedFd<'_>, attributes: rustix::mount::MountFlags) -> StepResult<OwnedFd> {
    // A namespace of our own, whose changes reach nobody; /proc is a directory that every system has.
    // SAFETY: the child is single-threaded, so no other thread shares what is unshared.
    at(Step::PrivateNamespace, unsafe {
        rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS)
    })?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    at(Step::PrivateNamespace, rustix::mount::mount_change(c"/", private))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    at(
        Step::Move,
        rustix::mount::move_mount(mount, c"", CWD, c"/proc", flags),
    )?;
    at(
        Step::Mount,
        rustix::mount::mount_remount(c"/proc", rustix::mount::MountFlags::BIND | attributes, c""),
    )?;
    clone(None, c"/proc")
}

fn place(namespace: Option<BorrowedFd<'_>>, mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> StepResult<()> {
    enter(namespace)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    at(
        Step::Move,
        rustix::mount::move_mount(mount, c"", target, c"", flags),
    )
}

fn unmount(
    namespace: Option<BorrowedFd<'_>>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    flags: UnmountFlags,
) -> StepResult<()> {
    enter(namespace)?;
    at(Step::Open, rustix::process::fchdir(parent))?;
    at(
        Step::Unmount,
        rustix::mount::unmount(name, flags | UnmountFlags::NOFOLLOW),
    )
}

fn look(namespace: Option<BorrowedFd<'_>>, path: &CStr) -> StepResult<()> {
    enter(namespace)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let root = at(Step::Open, rustix::fs::open(path, flags, Mode::empty()))?;
    at(Step::Statfs, rustix::fs::fstatfs(&root).map(drop))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn create(parameters: &[(CString, Option<CString>)]) -> (Reply, Option<OwnedFd>) {
        let job = Job::Create {
            fs_type: c"tmpfs",
            parameters,
            attributes: MountAttrFlags::empty(),
        };
        run(&job, Instant::now() + Duration::from_secs(60)).expect("the child answers; run as root")
    }

    #[test]
    fn the_kernels_own_words_come_back() {
        let (reply, fd) = create(&[(c"size".to_owned(), Some(c"plenty".to_owned()))]);
        assert!(fd.is_none());
        assert_eq!(
            (Step::of(&reply), reply.errno),
            (Step::Configure, Errno::INVAL.raw_os_error())
        );
        assert!(
            reply.text().contains("parameter size") && reply.text().contains("Bad value"),
            "{}",
            reply.text()
        );
    }

    #[test]
    fn many_threads_may_fork_at_once() {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(|| {
                    for _ in 0..25 {
                        let (reply, fd) = create(&[(c"size".to_owned(), Some(c"1m".to_owned()))]);
                        assert_eq!(reply.errno, 0);
                        assert!(fd.is_some());
                        // Keeps the allocator busy, so that a child that used it would meet a held lock.
                        std::hint::black_box(vec![0_u8; 1 << 20]);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("thread");
        }
    }
}

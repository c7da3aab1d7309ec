//! Makes a FUSE connection and the mount of its one file, attached nowhere.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::descriptors::lift;

/// A new connection (non-blocking, lifted above the loop descriptors, see `descriptors`) and its mount. The kernel has
/// queued INIT; nothing else may be done with the mount before it is answered.
pub(crate) fn mount_detached(source: &str) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let connection = rustix::fs::open("/dev/fuse", flags, Mode::empty())
        .map_err(|error| explain("open /dev/fuse", error))?;
    let connection = lift(connection)?;
    let fs = rustix::mount::fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| explain("fsopen(fuse)", error))?;
    let set = |key: &str, value: &str| {
        rustix::mount::fsconfig_set_string(&fs, key, value)
            .map_err(|error| explain(&format!("fsconfig(fuse, {key}={value})"), error))
    };
    set("source", source)?;
    set("fd", &connection.as_raw_fd().to_string())?;
    set("rootmode", "100000")?;
    set("user_id", "0")?;
    set("group_id", "0")?;
    rustix::mount::fsconfig_set_flag(&fs, "default_permissions")
        .map_err(|error| explain("fsconfig(default_permissions)", error))?;
    rustix::mount::fsconfig_create(&fs).map_err(|error| explain("create the FUSE superblock", error))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| explain("fsmount(fuse)", error))?;
    Ok((connection, mount))
}

fn explain(what: &str, error: rustix::io::Errno) -> io::Error {
    let hint = match error {
        rustix::io::Errno::NOENT | rustix::io::Errno::NODEV | rustix::io::Errno::NXIO => {
            " (is the kernel's fuse module loaded, and /dev/fuse there?)"
        }
        rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => " (CAP_SYS_ADMIN is needed)",
        _ => "",
    };
    io::Error::new(
        io::Error::from(error).kind(),
        format!("cannot {what}: {error}{hint}"),
    )
}

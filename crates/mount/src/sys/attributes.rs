//! mount_setattr (Linux 5.12, kernel `fs/namespace.c`), which rustix lacks.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::mount::MountAttrFlags;

/// `struct mount_attr`, first version (`include/uapi/linux/mount.h`).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Sets attributes of a detached mount. ENOSYS before Linux 5.12.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, set: MountAttrFlags) -> io::Result<()> {
    mount_setattr(
        mount,
        &MountAttr {
            attr_set: set.bits().into(),
            ..MountAttr::default()
        },
    )
}

/// Takes a detached mount out of its peer group. ENOSYS before Linux 5.12.
pub(crate) fn make_private(mount: BorrowedFd<'_>) -> io::Result<()> {
    mount_setattr(
        mount,
        &MountAttr {
            propagation: libc::MS_PRIVATE,
            ..MountAttr::default()
        },
    )
}

fn mount_setattr(mount: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the path is a NUL-terminated constant, `attr` lives through the call and its size is given; the kernel
    // only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

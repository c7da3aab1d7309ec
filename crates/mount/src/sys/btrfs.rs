//! BTRFS_IOC_FS_INFO (`include/uapi/linux/btrfs.h`): the UUID by which sysfs lists a btrfs's devices.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `_IOR(0x94, 31, struct btrfs_ioctl_fs_info_args)`; the structure has 1024 bytes.
const BTRFS_IOC_FS_INFO: u64 = (2 << 30) | (1024 << 16) | (0x94 << 8) | 31;

/// `struct btrfs_ioctl_fs_info_args`: the first three fields, the rest only for its size.
#[repr(C, align(8))]
struct FsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u8; 992],
}

/// UUID of the btrfs that a descriptor (not O_PATH) lies on.
pub(crate) fn filesystem_id(root: BorrowedFd<'_>) -> io::Result<[u8; 16]> {
    let mut info = FsInfo {
        max_id: 0,
        num_devices: 0,
        fsid: [0; 16],
        rest: [0; 992],
    };
    // SAFETY: the structure has the size that is part of the request number, and lives through the call.
    let result = unsafe { libc::ioctl(root.as_raw_fd(), BTRFS_IOC_FS_INFO as _, &raw mut info) };
    if result == 0 {
        Ok(info.fsid)
    } else {
        Err(io::Error::last_os_error())
    }
}

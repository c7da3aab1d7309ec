//! Test of the way to a read-only clone that kernels before 5.12 need, which a newer kernel never takes by itself.

use std::time::{Duration, Instant};

use rustix::mount::{FsMountFlags, FsOpenFlags, fsconfig_create, fsmount, fsopen};

use super::*;

#[test]
fn read_only_without_mount_setattr() {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).expect("fsopen: run as root");
    fsconfig_create(context.as_fd()).expect("create");
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let fd = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).expect("fsmount");
    let mount = DetachedMount::from_fd(fd)
        .expect("mount")
        .with_note("kept".to_owned());
    let device = mount.device();
    let make = |mount: &DetachedMount| {
        rustix::fs::mkdirat(mount, c"made", Mode::from_raw_mode(0o700)).map_err(std::io::Error::from)
    };
    make(&mount).expect("writable at first");

    let mount = mount
        .read_only_by_remount(Instant::now() + Duration::from_secs(60))
        .expect("remount");
    assert_eq!((mount.device(), mount.notes().len()), (device, 1));
    rustix::fs::unlinkat(&mount, c"made", rustix::fs::AtFlags::REMOVEDIR).expect_err("read-only");
    let flags = rustix::fs::fstatvfs(&mount).expect("statvfs").f_flag;
    use rustix::fs::StatVfsMountFlags as F;
    assert!(flags.contains(F::RDONLY | F::NOSUID | F::NOEXEC), "{flags:?}");
    assert!(!flags.contains(F::NODEV));
}

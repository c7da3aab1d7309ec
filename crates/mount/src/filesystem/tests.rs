//! Tests of the proof that a mount lies on the verified device, which a correct kernel never fails (F8).

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::*;

fn elsewhere() -> DetachedMount {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).expect("fsopen: run as root");
    fsconfig_create(&context).expect("create");
    let fd = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).expect("fsmount");
    DetachedMount::from_fd(fd).expect("mount")
}

#[test]
fn f8_a_mount_of_another_device_is_refused() {
    for fs_type in ["ext4", "xfs", "btrfs"] {
        let options = MountOptions::defaults(fs_type).expect("options");
        let request = MountRequest {
            source: Path::new("/dev/loop0"),
            device: DeviceNumber::new(7, 0),
            options: &options,
            read_only: true,
            duplicate_uuid: DuplicateUuid::Refuse,
        };
        let error = prove_device(&request, &elsewhere()).expect_err("it is a tmpfs");
        assert!(
            matches!(error, MountError::WrongDevice { .. }),
            "{fs_type}: {error}"
        );
    }
}

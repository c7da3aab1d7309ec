//! What the kernel gives: version, mount interface, FUSE, loop devices, file systems, modules by name.

use rustix::io::Errno;

use super::{Finding, HostRoot, Verdict};

/// Linux with LOOP_CONFIGURE; mount_setattr came with 5.12, open_tree and move_mount with 5.2.
const OLDEST: (u32, u32) = (5, 12);
/// Modules of other data paths.
const MODULES: [(&str, &str); 3] = [
    ("nbd", "network block devices; not used by this version"),
    ("ublk_drv", "user-space block devices; not used by this version"),
    ("iscsi_tcp", "the kernel's own iSCSI; not used by this version"),
];

/// Where a module or a built-in part of the kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Loaded,
    BuiltIn,
    OnDisk,
    Absent,
}

pub(super) fn findings(host: &HostRoot) -> Vec<Finding> {
    let mut all = vec![version(host), mount_api(), fuse(host), loop_devices(host)];
    all.extend(["ext4", "xfs", "btrfs"].map(|name| file_system(host, name)));
    all.extend(MODULES.map(|(name, use_of_it)| module(host, name, use_of_it)));
    all
}

/// Whether a module is loaded, built in, or can be loaded.
pub(super) fn has_module(host: &HostRoot, name: &str) -> bool {
    presence(host, name) != Presence::Absent
}

fn release(host: &HostRoot) -> String {
    host.read("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn version(host: &HostRoot) -> Finding {
    let release = release(host);
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= OLDEST {
        return Finding::ok("kernel", format!("Linux {release}"));
    }
    Finding::new("kernel", Verdict::Warning, format!("Linux {release}")).remedy(format!(
        "Longshore is made for Linux {}.{} and later",
        OLDEST.0, OLDEST.1
    ))
}

fn mount_api() -> Finding {
    let subject = "mount API";
    // A context without a mount: closed again at once, without any effect.
    match rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(_) => Finding::ok(subject, "fsopen, fsmount, move_mount"),
        Err(Errno::NOSYS) => Finding::new(subject, Verdict::Missing, "the kernel has no fsopen")
            .remedy("Linux 5.2 and later have it; a seccomp filter may hide it"),
        Err(Errno::PERM) => Finding::new(subject, Verdict::Missing, "mounting is not permitted")
            .remedy("run as root, in a container with CAP_SYS_ADMIN"),
        Err(error) => Finding::new(subject, Verdict::Missing, format!("fsopen: {error}")),
    }
}

fn fuse(host: &HostRoot) -> Finding {
    let known = file_systems(host).any(|name| name == "fuse");
    match (host.exists("/dev/fuse"), known) {
        (true, true) => Finding::ok("FUSE", "/dev/fuse"),
        (false, true) => Finding::new(
            "FUSE",
            Verdict::Missing,
            "the kernel has FUSE, but there is no /dev/fuse",
        )
        .remedy("mknod /dev/fuse c 10 229; in a container, pass the device in"),
        (_, false) => match presence(host, "fuse") {
            Presence::OnDisk => Finding::new("FUSE", Verdict::Missing, "the module fuse is not loaded")
                .remedy("modprobe fuse"),
            _ => Finding::new("FUSE", Verdict::Missing, "the kernel has no FUSE")
                .remedy("a kernel with CONFIG_FUSE_FS, or its module `fuse`, is needed"),
        },
    }
}

fn loop_devices(host: &HostRoot) -> Finding {
    let subject = "loop devices";
    if host.exists("/dev/loop-control") {
        return Finding::ok(subject, "/dev/loop-control, with direct I/O");
    }
    let remedy = match presence(host, "loop") {
        Presence::OnDisk => "modprobe loop",
        Presence::Absent => "a kernel with CONFIG_BLK_DEV_LOOP, or its module `loop`, is needed",
        _ => "mknod /dev/loop-control c 10 237; in a container, pass /dev in",
    };
    Finding::new(subject, Verdict::Missing, "there is no /dev/loop-control").remedy(remedy)
}

fn file_systems(host: &HostRoot) -> impl Iterator<Item = String> {
    let text = host.read("/proc/filesystems").unwrap_or_default();
    let names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect();
    names.into_iter()
}

fn file_system(host: &HostRoot, name: &str) -> Finding {
    let subject = format!("file system {name}");
    if file_systems(host).any(|known| known == name) {
        return Finding::ok(&subject, "ready");
    }
    match presence(host, name) {
        Presence::Loaded => Finding::ok(&subject, "ready"),
        Presence::BuiltIn => Finding::ok(&subject, "built into the kernel"),
        Presence::OnDisk => Finding::ok(&subject, "as a module, loaded by the first mount"),
        Presence::Absent => Finding::new(&subject, Verdict::Warning, "not in this kernel").remedy(format!(
            "volumes with {name} cannot be mounted here; load or install the module `{name}`"
        )),
    }
}

fn module(host: &HostRoot, name: &str, use_of_it: &str) -> Finding {
    let found = match presence(host, name) {
        Presence::Loaded => "loaded",
        Presence::BuiltIn => "built into the kernel",
        Presence::OnDisk => "there, not loaded",
        Presence::Absent => "not there",
    };
    Finding::new(
        &format!("module {name}"),
        Verdict::Note,
        format!("{found} ({use_of_it})"),
    )
}

fn presence(host: &HostRoot, name: &str) -> Presence {
    let modules = format!("/lib/modules/{}", release(host));
    let lists = |file: &str| {
        host.read(&format!("{modules}/{file}")).is_some_and(|text| {
            text.lines().any(|line| {
                let path = line.split(':').next().unwrap_or_default();
                let file = path.rsplit('/').next().unwrap_or_default();
                // Module files write `-` where module names have `_`.
                file.split(".ko")
                    .next()
                    .is_some_and(|stem| stem.replace('-', "_") == name)
            })
        })
    };
    // /sys/module lists built-in parts too, when they have parameters.
    if lists("modules.builtin") {
        Presence::BuiltIn
    } else if host.exists(&format!("/sys/module/{name}")) {
        Presence::Loaded
    } else if lists("modules.dep") {
        Presence::OnDisk
    } else {
        Presence::Absent
    }
}

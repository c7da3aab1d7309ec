//! `mount_filesystem`: makes a detached mount of a block device, and explains why where that fails.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::io::Errno;

use crate::detached::DetachedMount;
use crate::device::DeviceNumber;
use crate::kmsg::KernelLog;
use crate::options::MountOptions;
use crate::sys::{self, ChildError, Job, Step};

/// What to do when an xfs with the same UUID is mounted already (F20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateUuid {
    /// Refuse and say so.
    Refuse,
    /// Mount with `nouuid`. Only when the caller has proved that it is a clone: another WWID, not the same disk twice.
    ProvenClone,
}

/// What is to be mounted.
#[derive(Debug, Clone)]
pub struct MountRequest<'a> {
    /// The block device's node.
    pub source: &'a Path,
    /// Its device number as the identity check saw it; the mount is refused if the file system lies elsewhere (F8).
    pub device: DeviceNumber,
    /// Checked options; they also name the file system type.
    pub options: &'a MountOptions,
    /// Mount read-only, without journal replay.
    pub read_only: bool,
    /// What to do on an xfs UUID clash.
    pub duplicate_uuid: DuplicateUuid,
}

/// A file system could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel has no such file system.
    #[error(
        "this kernel cannot mount {fs_type}: it has no such file system (load the kernel module {fs_type}, or use a \
         kernel that has it)"
    )]
    NoSuchFileSystem {
        /// The type.
        fs_type: String,
    },
    /// The device node is not the verified device.
    #[error("{source_path} is not device {expected} but {found}; refused")]
    WrongDevice {
        /// The node.
        source_path: PathBuf,
        /// The verified device.
        expected: DeviceNumber,
        /// What was found.
        found: String,
    },
    /// An xfs with the same UUID is mounted, and `nouuid` was not allowed.
    #[error(
        "{source_path} holds an xfs whose UUID is that of an xfs that is mounted already: a clone or a snapshot, or the \
         same disk a second time; only a proven clone is mounted beside its original"
    )]
    DuplicateUuid {
        /// The node.
        source_path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot mount {source_path} as {fs_type}: {call}: {source}{hint}{kernel}", kernel = kernel_says(.kernel_log))]
    Kernel {
        /// The node.
        source_path: PathBuf,
        /// The type.
        fs_type: String,
        /// The system call.
        call: &'static str,
        /// Why.
        source: std::io::Error,
        /// What it usually means and what to do, or nothing.
        hint: &'static str,
        /// The kernel's own messages about this mount, or nothing.
        kernel_log: String,
    },
    /// No answer before the deadline.
    #[error("cannot mount {source_path} as {fs_type}: {reason}")]
    Unanswered {
        /// The node.
        source_path: PathBuf,
        /// The type.
        fs_type: String,
        /// What happened.
        reason: String,
    },
    /// The source or an option cannot be given to the kernel.
    #[error("{what} is too long (255 bytes at most) or holds a NUL byte")]
    InvalidText {
        /// What it was.
        what: String,
    },
}

fn kernel_says(log: &str) -> String {
    if log.is_empty() {
        String::new()
    } else {
        format!("; the kernel says: {log}")
    }
}

/// Mounts a block device without making it visible anywhere.
///
/// Runs in a child process that is killed at the deadline. The result's file system is proved to lie on
/// `request.device`.
pub fn mount_filesystem(request: &MountRequest<'_>, deadline: Instant) -> Result<DetachedMount, MountError> {
    match DeviceNumber::of_node(request.source) {
        Ok(Some(found)) if found == request.device => {}
        Ok(Some(found)) => return Err(wrong_device(request, found.to_string())),
        Ok(None) => return Err(wrong_device(request, "not a device".to_owned())),
        Err(e) => return Err(wrong_device(request, e.to_string())),
    }
    let mount = match attempt(request, &[], request.read_only, deadline) {
        Err(error) if may_be_duplicate(request, &error) => on_duplicate(request, error, deadline)?,
        other => other?,
    };
    prove_device(request, &mount)?;
    Ok(mount)
}

/// xfs answers EINVAL for a UUID clash, but for other faults too: `nouuid` takes away that one reason only.
fn may_be_duplicate(request: &MountRequest<'_>, error: &MountError) -> bool {
    let invalid = Some(Errno::INVAL.raw_os_error());
    request.options.fs_type() == "xfs"
        && matches!(error, MountError::Kernel { source, call, .. }
            if source.raw_os_error() == invalid && *call == Step::Create.call())
}

fn on_duplicate(
    request: &MountRequest<'_>,
    error: MountError,
    deadline: Instant,
) -> Result<DetachedMount, MountError> {
    match request.duplicate_uuid {
        DuplicateUuid::ProvenClone => match attempt(request, &["nouuid"], request.read_only, deadline) {
            Ok(mount) => Ok(mount.with_note(
                "an xfs with the same UUID is mounted already (a clone or a snapshot): mounted with nouuid"
                    .to_owned(),
            )),
            Err(_) => Err(error),
        },
        DuplicateUuid::Refuse => {
            // Tells the clash from other faults; read-only without recovery, this writes nothing.
            match attempt(request, &["nouuid"], true, deadline) {
                Ok(_) => Err(MountError::DuplicateUuid {
                    source_path: request.source.to_owned(),
                }),
                Err(_) => Err(error),
            }
        }
    }
}

fn attempt(
    request: &MountRequest<'_>,
    extra: &[&str],
    read_only: bool,
    deadline: Instant,
) -> Result<DetachedMount, MountError> {
    let fs_type = request.options.fs_type();
    let source = c_string(request.source.as_os_str().as_bytes(), "the device's path")?;
    let mut parameters = vec![(c_string(b"source", "source")?, Some(source))];
    let extra = extra.iter().map(|flag| ((*flag).to_owned(), None));
    for (key, value) in request.options.parameters(read_only).into_iter().chain(extra) {
        let value = value.map(|v| c_string(v.as_bytes(), &key)).transpose()?;
        parameters.push((c_string(key.as_bytes(), &key)?, value));
    }
    let fs_type_c = c_string(fs_type.as_bytes(), "the file system type")?;
    let attributes = request.options.attributes(read_only);
    let job = Job::Create {
        fs_type: &fs_type_c,
        parameters: &parameters,
        attributes,
    };
    let unanswered = |e: ChildError| MountError::Unanswered {
        source_path: request.source.to_owned(),
        fs_type: fs_type.to_owned(),
        reason: e.to_string(),
    };
    let log = KernelLog::from_now(request.device);
    let (reply, fd) = sys::run(&job, deadline).map_err(unanswered)?;
    let kernel = |step: Step, source: std::io::Error| {
        let hint = hint(fs_type, step, &source);
        let source_path = request.source.to_owned();
        let kernel_log = [reply.text(), log.messages()]
            .into_iter()
            .filter(|t| !t.is_empty())
            .collect::<Vec<_>>();
        let kernel_log = kernel_log.join("; ");
        MountError::Kernel {
            source_path,
            fs_type: fs_type.to_owned(),
            call: step.call(),
            source,
            hint,
            kernel_log,
        }
    };
    let Some(fd) = fd else {
        let step = Step::of(&reply);
        if step == Step::OpenFsContext && reply.errno == Errno::NODEV.raw_os_error() {
            return Err(MountError::NoSuchFileSystem {
                fs_type: fs_type.to_owned(),
            });
        }
        return Err(kernel(step, std::io::Error::from_raw_os_error(reply.errno)));
    };
    match DetachedMount::from_fd(fd) {
        Ok(mount) => Ok(mount.with_note(reply.text())),
        Err(e) => Err(kernel(Step::Mount, e)),
    }
}

fn hint(fs_type: &str, step: Step, error: &std::io::Error) -> &'static str {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        return "";
    };
    match (errno, fs_type) {
        (Errno::NOSYS, _) => " (Linux 5.2 or newer is needed)",
        (Errno::PERM | Errno::ACCESS, _) => {
            " (this needs CAP_SYS_ADMIN; a read-only device can only be mounted read-only)"
        }
        (Errno::ROFS, _) => {
            " (the device is read-only and its journal would have to be replayed, which writes)"
        }
        (Errno::BUSY, _) => {
            " (the file system is mounted already with other options, read-only against read-write, or the device is held \
             by another driver)"
        }
        (Errno::UCLEAN, "xfs") => {
            " (the file system is damaged or needs repair: unmount it everywhere, then run xfs_repair by hand)"
        }
        (Errno::UCLEAN, "ext4") => " (the file system is damaged: run e2fsck -f on the device by hand)",
        (Errno::UCLEAN, "btrfs") => " (the file system is damaged: see `btrfs check` and `btrfs rescue`)",
        (Errno::IO, _) => " (the device could not be read)",
        (Errno::INVAL, _) if step == Step::Configure => {
            " (the kernel does not know this option or its value)"
        }
        (Errno::INVAL, _) => {
            " (the content is not what this kernel accepts: a feature that it does not know, or a damaged super block)"
        }
        (Errno::NOTBLK, _) => " (it is not a block device)",
        (Errno::NOENT | Errno::NXIO, _) => " (the device is gone)",
        _ => "",
    }
}

fn prove_device(request: &MountRequest<'_>, mount: &DetachedMount) -> Result<(), MountError> {
    if request.options.fs_type() != "btrfs" {
        if mount.device() == request.device {
            return Ok(());
        }
        return Err(wrong_device(
            request,
            format!("the file system on device {}", mount.device()),
        ));
    }
    let unproven =
        |e: std::io::Error| wrong_device(request, format!("a btrfs whose devices cannot be listed ({e})"));
    let root = mount.open_root().map_err(unproven)?;
    let id = sys::filesystem_id(std::os::fd::AsFd::as_fd(&root)).map_err(unproven)?;
    let devices = btrfs_devices(&id).map_err(unproven)?;
    if devices == [request.device] {
        return Ok(());
    }
    let list: Vec<String> = devices.iter().map(DeviceNumber::to_string).collect();
    Err(wrong_device(
        request,
        format!("a btrfs on device {}", list.join(" and ")),
    ))
}

/// The devices of a mounted btrfs, from `/sys/fs/btrfs/UUID/devices`.
fn btrfs_devices(id: &[u8; 16]) -> std::io::Result<Vec<DeviceNumber>> {
    use std::fmt::Write as _;
    let mut uuid = String::new();
    for (index, byte) in id.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(uuid, "{dash}{byte:02x}");
    }
    let mut devices = Vec::new();
    for entry in std::fs::read_dir(format!("/sys/fs/btrfs/{uuid}/devices"))?.take(64) {
        let text = std::fs::read_to_string(entry?.path().join("dev"))?;
        devices.push(text.trim_end().parse().map_err(std::io::Error::other)?);
    }
    Ok(devices)
}

fn wrong_device(request: &MountRequest<'_>, found: String) -> MountError {
    MountError::WrongDevice {
        source_path: request.source.to_owned(),
        expected: request.device,
        found,
    }
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, MountError> {
    let invalid = || MountError::InvalidText {
        what: what.to_owned(),
    };
    if bytes.len() > 255 {
        return Err(invalid());
    }
    CString::new(bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests;

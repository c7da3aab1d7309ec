//! Device nodes of loop devices.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// Major number of loop devices.
pub(crate) const MAJOR: u32 = 7;

/// The node's usual path.
pub(crate) fn path(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

/// Opens a loop device by number. Its node is made where /dev does not follow the kernel (a container's tmpfs).
pub(super) fn open(number: u32, flags: OFlags) -> io::Result<OwnedFd> {
    let path = path(number);
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let device = match rustix::fs::open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let node = rustix::fs::makedev(MAJOR, number);
            match rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                FileType::BlockDevice,
                Mode::from_raw_mode(0o600),
                node,
            ) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(explain(&path, "make", error)),
            }
            rustix::fs::open(&path, flags, Mode::empty())
        }
        other => other,
    }
    .map_err(|error| explain(&path, "open", error))?;
    let stat = rustix::fs::fstat(&device)?;
    let is_block = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice;
    if !is_block || stat.st_rdev != rustix::fs::makedev(MAJOR, number) {
        let text = format!(
            "{} is not loop device {number}; remove it, the kernel makes it again",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(device)
}

/// Keeps the error's number, on which callers decide; says what was tried in the log only when it is unusual.
fn explain(path: &std::path::Path, what: &str, error: Errno) -> io::Error {
    match error {
        Errno::NXIO | Errno::BUSY | Errno::NOENT | Errno::NODEV => error.into(),
        _ => io::Error::new(
            io::Error::from(error).kind(),
            format!("cannot {what} {}: {error}", path.display()),
        ),
    }
}

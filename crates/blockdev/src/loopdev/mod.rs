//! Loop devices: made from a file of ours, checked by reading back, taken away, never somebody else's.
//!
//! Every device carries a marker (`lo_file_name`) and is cleared by its last close (autoclear). We and `hold` keep it
//! open, so it lives as long as one of us does; when both are gone and nothing is mounted from it, the kernel removes
//! it and the FUSE file beneath. All calls here may cause requests to our own server: see `own_table`.

mod ioctl;
mod node;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

pub(crate) use node::{MAJOR, path};

/// How often another free device is tried when somebody took it first.
const ATTEMPTS: u32 = 64;

/// What a loop device must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Written to `lo_file_name`; at most 63 bytes.
    pub(crate) marker: String,
    pub(crate) size_bytes: u64,
    pub(crate) block_size_bytes: u32,
    pub(crate) read_only: bool,
}

/// Opens the root of a detached FUSE mount and makes a loop device of it. Returns the file, the device and its number.
pub(crate) fn create(mount: &OwnedFd, wanted: &Wanted) -> io::Result<(OwnedFd, OwnedFd, u32)> {
    let access = if wanted.read_only {
        OFlags::RDONLY
    } else {
        OFlags::RDWR
    };
    let origin = format!("/proc/thread-self/fd/{}", mount.as_raw_fd());
    let file = rustix::fs::open(origin, access | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| explain("open the FUSE file with O_DIRECT", error))?;
    // Every close of a descriptor of a FUSE file sends FLUSH and waits for the answer, which our own thread would never
    // give while it closes one. Kernels since 5.16 take FOPEN_NOFLUSH; older ones learn it here, from ENOSYS.
    drop(file.try_clone()?);
    let control = rustix::fs::open("/dev/loop-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| {
            explain(
                "open /dev/loop-control (is the kernel's loop module loaded?)",
                error,
            )
        })?;
    for _ in 0..ATTEMPTS {
        let number = ioctl::get_free(&control).map_err(|error| explain("get a free loop device", error))?;
        let device = match node::open(number, access) {
            Ok(device) => device,
            // Taken away again between the two calls.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => continue,
            Err(error) => return Err(error),
        };
        match ioctl::configure(&device, &file, wanted) {
            Ok(()) => {
                protect(&device, wanted.read_only)?;
                verify(&device, wanted)?;
                return Ok((file, device, number));
            }
            Err(Errno::BUSY) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(explain(&format!("configure /dev/loop{number}"), error)),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!("others took every free loop device, {ATTEMPTS} times in a row"),
    ))
}

/// Sees to it that the kernel refuses writes if, and only if, that is asked for, whatever a former user of the number did.
fn protect(device: &OwnedFd, read_only: bool) -> io::Result<()> {
    if !read_only {
        ioctl::allow_writes(device)
            .map_err(|error| explain("lift a loop device's write protection", error))?;
    }
    let refuses = ioctl::refuses_writes(device)
        .map_err(|error| explain("read a loop device's write protection", error))?;
    if refuses == read_only {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the new loop device is not what was asked for: the kernel's write protection is {refuses} instead of {read_only}"
    )))
}

/// Compares what the kernel says about a device with what it must be.
pub(crate) fn verify(device: &OwnedFd, wanted: &Wanted) -> io::Result<()> {
    let status = ioctl::status(device).map_err(|error| explain("read a loop device's status", error))?;
    let size = rustix::fs::seek(device, SeekFrom::End(0))?;
    let block_size = rustix::fs::ioctl_blksszget(device)?;
    let problem = if status.marker != wanted.marker {
        format!("it belongs to '{}', not to '{}'", status.marker, wanted.marker)
    } else if !status.direct_io {
        "the kernel did not switch direct I/O on".to_owned()
    } else if !status.autoclear {
        "it would outlive its last user".to_owned()
    } else if status.read_only != wanted.read_only {
        format!(
            "read-only is {} instead of {}",
            status.read_only, wanted.read_only
        )
    } else if size != wanted.size_bytes {
        format!("its size is {size} instead of {} bytes", wanted.size_bytes)
    } else if block_size != wanted.block_size_bytes {
        format!(
            "its block size is {block_size} instead of {} bytes",
            wanted.block_size_bytes
        )
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!(
        "loop device {} is not what was asked for: {problem}",
        status.number
    )))
}

/// Opens the device exclusively, the proof that no file system, no device mapper and nobody with O_EXCL uses it.
/// `Ok(None)`: somebody does. An error of kind `NotFound`: the device is not ours any more.
pub(crate) fn claim(number: u32, marker: &str) -> io::Result<Option<OwnedFd>> {
    let device = match node::open(number, OFlags::RDONLY | OFlags::EXCL) {
        Ok(device) => device,
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::BUSY) => return Ok(None),
            Some(Errno::NXIO | Errno::NODEV) => return Err(io::Error::new(io::ErrorKind::NotFound, error)),
            _ => return Err(error),
        },
    };
    if is_ours(&device, marker)? {
        return Ok(Some(device));
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("/dev/loop{number} is not ours any more"),
    ))
}

/// Whether the loop device behind a descriptor carries our marker.
pub(crate) fn is_ours(device: &OwnedFd, marker: &str) -> io::Result<bool> {
    match ioctl::status(device) {
        Ok(status) => Ok(status.marker == marker),
        Err(Errno::NXIO) => Ok(false),
        Err(error) => Err(explain("read a loop device's status", error)),
    }
}

/// Writes out what the page cache holds for the device, and flushes it.
pub(crate) fn flush(device: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::fsync(device)?)
}

/// Ends the device. `others` are our descriptors of it and of what is beneath; somebody else's open descriptor delays
/// the end until it is closed. Returns whether the device was gone before the deadline.
pub(crate) fn clear(
    claimed: OwnedFd,
    others: Vec<OwnedFd>,
    number: u32,
    marker: &str,
    deadline: Instant,
) -> io::Result<bool> {
    drop(others);
    match ioctl::clear(&claimed) {
        Ok(()) | Err(Errno::NXIO) => {}
        Err(error) => return Err(explain(&format!("clear /dev/loop{number}"), error)),
    }
    drop(claimed);
    wait_gone(number, marker, deadline)
}

/// Waits until the device of this number does not carry our marker any more.
pub(crate) fn wait_gone(number: u32, marker: &str, deadline: Instant) -> io::Result<bool> {
    loop {
        if gone(number, marker)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn gone(number: u32, marker: &str) -> io::Result<bool> {
    match node::open(number, OFlags::RDONLY) {
        // A look at a device that is still configured delays nothing: closing it again is what clears it.
        Ok(device) => Ok(!is_ours(&device, marker)?),
        Err(error)
            if matches!(
                error.raw_os_error().map(Errno::from_raw_os_error),
                Some(Errno::NXIO | Errno::NOENT | Errno::NODEV)
            ) =>
        {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

/// Makes the device's size follow the file's.
pub(crate) fn follow_size(file: &OwnedFd, device: &OwnedFd) -> io::Result<u64> {
    // Older kernels take the size from the inode as it was last asked for.
    let empty = rustix::fs::AtFlags::EMPTY_PATH | rustix::fs::AtFlags::STATX_FORCE_SYNC;
    rustix::fs::statx(file, "", empty, rustix::fs::StatxFlags::SIZE)?;
    ioctl::set_capacity(device).map_err(|error| explain("resize a loop device", error))?;
    Ok(rustix::fs::seek(device.as_fd(), SeekFrom::End(0))?)
}

fn explain(what: &str, error: Errno) -> io::Error {
    io::Error::new(io::Error::from(error).kind(), format!("cannot {what}: {error}"))
}

//! A block device (or image file) opened for the probe, past the page cache.
//!
//! # Why past the page cache
//!
//! A page that was cached while the device was blank, or while another disk stood behind the same node, would make
//! the probe say "blank" for a device that is not (F2). So block devices are read with O_DIRECT only: the kernel then
//! writes out what is dirty and asks the device itself for every byte. A block device that refuses O_DIRECT is an
//! error, never read through the cache. Image files (tests, loop files) on a file system without O_DIRECT are read
//! after their clean pages were dropped (POSIX_FADV_DONTNEED); their cache is coherent with every other use of the file.
//! O_DIRECT reaches the block device only. What a loop device caches below itself is the exporter's matter.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;

/// Every address, offset and length of a direct read is a multiple of this; it serves every block size up to it.
const ALIGNMENT: usize = 4096;

/// Something that can be read at an offset. A short read is told, not repeated.
pub trait ReadAt: Send + Sync {
    /// Reads into `buf` at `offset`; returns how many bytes were read, fewer at the end or on a failing device.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).map_or(self.len(), |o| o.min(self.len()));
        let rest = self.get(from..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(len)
    }
}

/// A device could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It is in use: mounted, or held by another driver or program.
    #[error("{path} is in use (mounted, or held by device-mapper, md, a loop device or another program)")]
    Busy {
        /// The device.
        path: PathBuf,
    },
    /// It cannot be opened or asked for its size.
    #[error("cannot open {path}: {reason}")]
    Open {
        /// The device.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is neither a block device nor a regular file.
    #[error("{path} is neither a block device nor an image file")]
    NotADevice {
        /// The path.
        path: PathBuf,
    },
}

/// An opened device.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: PathBuf,
    direct: bool,
    number: Option<(u32, u32)>,
    size_bytes: u64,
    block_size_bytes: u32,
}

impl Device {
    /// Opens for reading.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        Self::open_with(path, OFlags::empty())
    }

    /// Opens for reading with O_EXCL: the kernel refuses while anybody mounts or exclusively holds the device, and
    /// refuses others as long as this lives. Image files know no O_EXCL and are opened plainly.
    pub fn open_exclusive(path: &Path) -> Result<Self, DeviceError> {
        Self::open_with(path, OFlags::EXCL)
    }

    fn open_with(path: &Path, exclusive: OFlags) -> Result<Self, DeviceError> {
        let failed = |e: io::Error| match e.raw_os_error() {
            Some(code) if code == Errno::BUSY.raw_os_error() => DeviceError::Busy {
                path: path.to_owned(),
            },
            _ => DeviceError::Open {
                path: path.to_owned(),
                reason: e.to_string(),
            },
        };
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        let is_block = kind.is_block_device();
        if !is_block && !kind.is_file() {
            return Err(DeviceError::NotADevice {
                path: path.to_owned(),
            });
        }
        let open = |flags: OFlags| {
            let bits = i32::try_from(flags.bits()).map_err(io::Error::other)?;
            File::options().read(true).custom_flags(bits).open(path)
        };
        let exclusive = if is_block { exclusive } else { OFlags::empty() };
        let (file, direct) = match open(OFlags::DIRECT | exclusive) {
            Ok(file) => (file, true),
            Err(e) if !is_block && e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                (open(OFlags::empty()).map_err(failed)?, false)
            }
            Err(e) => return Err(failed(e)),
        };
        if !direct {
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).map_err(|e| failed(e.into()))?;
        }
        let meta = file.metadata().map_err(failed)?;
        if meta.file_type().is_block_device() != is_block {
            return Err(DeviceError::NotADevice {
                path: path.to_owned(),
            });
        }
        let number = is_block.then(|| (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev())));
        let size_bytes =
            rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).map_err(|e| failed(e.into()))?;
        let block_size_bytes = if is_block {
            rustix::fs::ioctl_blksszget(file.as_fd()).map_err(|e| failed(e.into()))?
        } else {
            512
        };
        Ok(Self {
            file,
            path: path.to_owned(),
            direct,
            number,
            size_bytes,
            block_size_bytes,
        })
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor number; `None` for an image file.
    pub fn number(&self) -> Option<(u32, u32)> {
        self.number
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Logical block size in bytes.
    pub fn block_size_bytes(&self) -> u32 {
        self.block_size_bytes
    }

    /// Whether the kernel refuses writes to it (sysfs `ro`).
    pub fn is_read_only(&self) -> io::Result<bool> {
        match self.number {
            Some((major, minor)) => {
                Ok(std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/ro"))?.trim() == "1")
            }
            None => Ok(self.file.metadata()?.permissions().readonly()),
        }
    }
}

impl ReadAt for Device {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if !self.direct {
            return FileExt::read_at(&self.file, buf, offset);
        }
        let alignment = ALIGNMENT as u64;
        let start = offset / alignment * alignment;
        let skip = usize::try_from(offset - start).map_err(io::Error::other)?;
        // Up to the end of the last aligned piece; the device itself ends on a multiple of its block size.
        let len = (skip + buf.len()).div_ceil(ALIGNMENT) * ALIGNMENT;
        let mut space = vec![0_u8; len + ALIGNMENT];
        let first = space.as_ptr().align_offset(ALIGNMENT);
        let aligned = space
            .get_mut(first..first + len)
            .ok_or_else(|| io::Error::other("no aligned memory"))?;
        let in_device = self.size_bytes.saturating_sub(start).min(len as u64);
        let wanted = usize::try_from(in_device).map_err(io::Error::other)?;
        // An image file's last piece may be no whole block: then the whole piece is asked for, and comes short.
        let ask = if self.number.is_some() { wanted } else { len };
        let aligned = aligned.get_mut(..ask).unwrap_or_default();
        let got = loop {
            match FileExt::read_at(&self.file, aligned, start) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let found = aligned.get(skip..got.max(skip)).unwrap_or_default();
        let len = found.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(found) {
            *to = *from;
        }
        Ok(len)
    }
}

//! A file, or block device, that holds the data of a logical unit.

use crate::config::LunConfig;
use crate::error::DiskError;
use crate::sidecar;
use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How much is compared or written at once.
const CHUNK_LEN: usize = 256 << 10;
/// IOV_MAX of Linux.
const MAX_SLICES: usize = 1024;

/// An open disk. All offsets are within its size: the logical unit checks them.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    path: PathBuf,
    read_only: bool,
    naa: [u8; 16],
    /// Whether the file system can tell whether a read would block.
    nowait: AtomicBool,
    /// Whether ranges can be released; a block device or a file system may refuse.
    block_device: bool,
}

/// What became of a read that must not block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadNow {
    /// The whole buffer is filled.
    Done,
    /// Data are not all in memory: read again where it may take long.
    WouldBlock,
}

impl Disk {
    /// Opens the disk of a logical unit, creates it where it is to be created, and gives it its WWID.
    pub(crate) fn open(config: &LunConfig) -> Result<Self, DiskError> {
        if !matches!(config.block_size_bytes, 512 | 4096) {
            return Err(DiskError::BlockSize(config.block_size_bytes));
        }
        let file = open_or_create(config)?;
        lock(&file, config)?;
        let io = |action, source| DiskError::Io {
            action,
            path: config.path.clone(),
            source,
        };
        let kind = file.metadata().map_err(|error| io("examine", error))?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(io(
                "serve",
                io::Error::other("it is neither a file nor a block device"),
            ));
        }
        let naa = match &config.wwid {
            Some(text) => sidecar::parse_wwid(text).ok_or_else(|| DiskError::Wwid(text.clone()))?,
            None => sidecar::load_or_create(&config.path)?,
        };
        Ok(Self {
            file,
            path: config.path.clone(),
            read_only: config.read_only,
            naa,
            nowait: AtomicBool::new(true),
            block_device: kind.is_block_device(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The NAA designator.
    pub(crate) fn naa(&self) -> [u8; 16] {
        self.naa
    }

    /// Size in bytes; it must be a whole number of blocks.
    pub(crate) fn size_bytes(&self, block_size_bytes: u32) -> Result<u64, DiskError> {
        // A block device has no length in its metadata. Reads and writes name their offset, so seeking harms nobody.
        let size_bytes = rustix::fs::seek(&self.file, SeekFrom::End(0)).map_err(|error| DiskError::Io {
            action: "measure",
            path: self.path.clone(),
            source: error.into(),
        })?;
        if size_bytes == 0 || size_bytes % u64::from(block_size_bytes) != 0 {
            return Err(DiskError::Size {
                path: self.path.clone(),
                size_bytes,
                block_size_bytes,
            });
        }
        Ok(size_bytes)
    }

    /// Makes the file longer or shorter; a longer one stays sparse.
    pub(crate) fn resize(&self, size_bytes: u64, block_size_bytes: u32) -> Result<(), DiskError> {
        if self.read_only {
            return Err(DiskError::ReadOnly(self.path.clone()));
        }
        if size_bytes == 0 || size_bytes % u64::from(block_size_bytes) != 0 {
            return Err(DiskError::Size {
                path: self.path.clone(),
                size_bytes,
                block_size_bytes,
            });
        }
        self.file.set_len(size_bytes).map_err(|source| DiskError::Io {
            action: "resize",
            path: self.path.clone(),
            source,
        })
    }

    /// Reads if that takes no waiting for a disk.
    pub(crate) fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<ReadNow> {
        if !self.nowait.load(Ordering::Relaxed) {
            return self.file.read_exact_at(buffer, offset).map(|()| ReadNow::Done);
        }
        let len = buffer.len();
        match rustix::io::preadv2(
            &self.file,
            &mut [IoSliceMut::new(buffer)],
            offset,
            ReadWriteFlags::NOWAIT,
        ) {
            Ok(read) if read == len => Ok(ReadNow::Done),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(ReadNow::WouldBlock),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                self.nowait.store(false, Ordering::Relaxed);
                Ok(ReadNow::WouldBlock)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads, however long it takes.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Writes all segments, one behind the other.
    pub(crate) fn write(&self, segments: &[Bytes], mut offset: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = segments
            .iter()
            .filter(|segment| !segment.is_empty())
            .map(|segment| IoSlice::new(segment))
            .collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let batch = rest.len().min(MAX_SLICES);
            let written = match rustix::io::pwritev(&self.file, &rest[..batch], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            offset += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    /// Brings everything that was written to stable storage.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.read_only {
            Ok(())
        } else {
            self.file.sync_data()
        }
    }

    /// Makes a range read as zeros, and releases its space where that is possible.
    pub(crate) fn zero(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, offset, len) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill(offset, len, &[0; 4096]),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes `block` over and over.
    pub(crate) fn fill(&self, offset: u64, len: u64, block: &[u8]) -> io::Result<()> {
        let chunk = block.repeat((CHUNK_LEN / block.len()).max(1));
        let mut done = 0;
        while done < len {
            let piece = usize::try_from(len - done).unwrap_or(usize::MAX).min(chunk.len());
            self.file.write_all_at(&chunk[..piece], offset + done)?;
            done += piece as u64;
        }
        Ok(())
    }

    /// The first byte that differs from `segments`, counted from `offset`.
    pub(crate) fn compare(&self, segments: &[Bytes], mut offset: u64) -> io::Result<Option<u64>> {
        let mut buffer = vec![0; CHUNK_LEN];
        let mut at = 0;
        for segment in segments {
            for expected in segment.chunks(CHUNK_LEN) {
                let found = &mut buffer[..expected.len()];
                self.read(found, offset)?;
                if let Some(place) = found.iter().zip(expected).position(|(a, b)| a != b) {
                    return Ok(Some(at + place as u64));
                }
                offset += expected.len() as u64;
                at += expected.len() as u64;
            }
        }
        Ok(None)
    }

    /// The end of the run of data, or of nothing, that begins at `offset`, and whether it is data. `size_bytes` bounds
    /// it; a file system that cannot tell says that all is data.
    pub(crate) fn extent(&self, offset: u64, size_bytes: u64) -> (u64, bool) {
        if self.block_device {
            return (size_bytes, true);
        }
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data.min(size_bytes),
            Err(Errno::NXIO) => return (size_bytes, false), // no data up to the end
            Err(_) => return (size_bytes, true),
        };
        if data > offset {
            return (data, false);
        }
        match rustix::fs::seek(&self.file, SeekFrom::Hole(offset)) {
            Ok(hole) if hole > offset => (hole.min(size_bytes), true),
            _ => (size_bytes, true),
        }
    }
}

fn open_or_create(config: &LunConfig) -> Result<File, DiskError> {
    let path = &config.path;
    let io = |action, source| DiskError::Io {
        action,
        path: path.clone(),
        source,
    };
    let opened = OpenOptions::new().read(true).write(!config.read_only).open(path);
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let size_bytes = config
                .size_bytes
                .ok_or_else(|| DiskError::Missing(path.clone()))?;
            if size_bytes == 0 || size_bytes % u64::from(config.block_size_bytes) != 0 {
                let block_size_bytes = config.block_size_bytes;
                return Err(DiskError::Size {
                    path: path.clone(),
                    size_bytes,
                    block_size_bytes,
                });
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path);
            let file = file.map_err(|error| io("create", error))?;
            file.set_len(size_bytes).map_err(|error| io("size", error))?;
            Ok(file)
        }
        opened => opened.map_err(|error| io("open", error)),
    }
}

/// One server writes a file, or several read it.
fn lock(file: &File, config: &LunConfig) -> Result<(), DiskError> {
    let operation = if config.read_only {
        FlockOperation::NonBlockingLockShared
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    match rustix::fs::flock(file, operation) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(DiskError::InUse(config.path.clone())),
        Err(error) => Err(DiskError::Io {
            action: "lock",
            path: config.path.clone(),
            source: error.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(dir: &tempfile::TempDir, size_bytes: u64) -> Disk {
        let config = LunConfig {
            size_bytes: Some(size_bytes),
            ..LunConfig::new(0, dir.path().join("d.img"))
        };
        Disk::open(&config).unwrap()
    }

    #[test]
    fn written_segments_are_read_back_and_compared() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(&dir, 1 << 20);
        let segments = [Bytes::from_static(b"hello "), Bytes::from_static(b"world")];
        disk.write(&segments, 100).unwrap();
        let mut found = [0; 11];
        disk.read(&mut found, 100).unwrap();
        assert_eq!(&found, b"hello world");
        assert_eq!(disk.compare(&segments, 100).unwrap(), None);
        assert_eq!(
            disk.compare(&[Bytes::from_static(b"hello W")], 100).unwrap(),
            Some(6)
        );
    }

    #[test]
    fn zeroed_ranges_read_as_zeros_and_are_released() {
        let dir = tempfile::tempdir().unwrap();
        let disk = disk(&dir, 1 << 20);
        disk.fill(0, 1 << 20, &[7; 512]).unwrap();
        disk.zero(65_536, 131_072).unwrap();
        let mut found = vec![1; 131_072];
        disk.read(&mut found, 65_536).unwrap();
        assert!(found.iter().all(|&b| b == 0));
        assert_eq!(disk.extent(0, 1 << 20), (65_536, true));
        assert_eq!(disk.extent(65_536, 1 << 20), (196_608, false));
    }

    #[test]
    fn a_disk_is_not_served_twice() {
        let dir = tempfile::tempdir().unwrap();
        let _first = disk(&dir, 4096);
        let config = LunConfig::new(1, dir.path().join("d.img"));
        assert!(matches!(Disk::open(&config), Err(DiskError::InUse(_))));
    }

    #[test]
    fn sizes_that_are_no_blocks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("odd.img");
        let config = LunConfig {
            size_bytes: Some(1000),
            ..LunConfig::new(0, &path)
        };
        assert!(matches!(Disk::open(&config), Err(DiskError::Size { .. })));
        assert!(matches!(
            Disk::open(&LunConfig::new(0, &path)),
            Err(DiskError::Missing(_))
        ));
        std::fs::write(&path, [0; 1000]).unwrap();
        let disk = Disk::open(&LunConfig::new(0, &path)).unwrap();
        assert!(matches!(
            disk.size_bytes(512),
            Err(DiskError::Size { size_bytes: 1000, .. })
        ));
    }
}

//! The ioctls for loop devices (include/uapi/linux/loop.h, and fs.h for BLKROSET and BLKROGET).
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::Wanted;

const LOOP_CLR_FD: u32 = 0x4C01;
const LOOP_GET_STATUS64: u32 = 0x4C05;
const LOOP_SET_CAPACITY: u32 = 0x4C07;
const LOOP_CONFIGURE: u32 = 0x4C0A;
const LOOP_CTL_GET_FREE: u32 = 0x4C82;

const BLKROSET: u32 = 0x125D;
const BLKROGET: u32 = 0x125E;

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

const LO_NAME_SIZE: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; LO_NAME_SIZE],
    crypt_name: [u8; LO_NAME_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo64,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo64>() == 232 && size_of::<LoopConfig>() == 304);

impl LoopInfo64 {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; LO_NAME_SIZE],
        crypt_name: [0; LO_NAME_SIZE],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// What the driver says about a device.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) number: u32,
    pub(super) marker: String,
    pub(super) read_only: bool,
    pub(super) autoclear: bool,
    pub(super) direct_io: bool,
}

/// An ioctl with an argument that is a number or a pointer.
fn call(fd: impl AsFd, request: u32, argument: usize) -> Result<i32, Errno> {
    // SAFETY: the callers below pass either a plain number or the address of a live, correctly laid out struct of
    // the size that the request reads or writes.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request as _, argument) };
    if result >= 0 {
        return Ok(result);
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// The number of a device that is free at the moment; makes one if there is none.
pub(super) fn get_free(control: impl AsFd) -> Result<u32, Errno> {
    Ok(call(control, LOOP_CTL_GET_FREE, 0)?.unsigned_abs())
}

/// Binds a device to a file, with direct I/O, the marker and autoclear, in one step.
pub(super) fn configure(device: impl AsFd, file: impl AsFd, wanted: &Wanted) -> Result<(), Errno> {
    let mut info = LoopInfo64::EMPTY;
    info.flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
    if wanted.read_only {
        info.flags |= LO_FLAGS_READ_ONLY;
    }
    let marker = wanted.marker.as_bytes();
    // The last byte stays zero.
    let room = info
        .file_name
        .get_mut(..marker.len())
        .filter(|room| room.len() < LO_NAME_SIZE);
    room.ok_or(Errno::NAMETOOLONG)?.copy_from_slice(marker);
    let config = LoopConfig {
        fd: file.as_fd().as_raw_fd().unsigned_abs(),
        block_size: wanted.block_size_bytes,
        info,
        reserved: [0; 8],
    };
    call(device, LOOP_CONFIGURE, (&raw const config).expose_provenance()).map(drop)
}

/// What the driver says about a device; ENXIO when it is not bound.
pub(super) fn status(device: impl AsFd) -> Result<Status, Errno> {
    let mut info = LoopInfo64::EMPTY;
    call(device, LOOP_GET_STATUS64, (&raw mut info).expose_provenance())?;
    let end = info
        .file_name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(LO_NAME_SIZE);
    Ok(Status {
        number: info.number,
        marker: String::from_utf8_lossy(&info.file_name[..end]).into_owned(),
        read_only: info.flags & LO_FLAGS_READ_ONLY != 0,
        autoclear: info.flags & LO_FLAGS_AUTOCLEAR != 0,
        direct_io: info.flags & LO_FLAGS_DIRECT_IO != 0,
    })
}

/// Unbinds a device, now or with its last close.
pub(super) fn clear(device: impl AsFd) -> Result<(), Errno> {
    call(device, LOOP_CLR_FD, 0).map(drop)
}

/// Lifts a write protection that somebody set with BLKROSET. It belongs to the device's number: an unbinding leaves it,
/// and LOOP_CONFIGURE too (kernel `block/ioctl.c`, `drivers/block/loop.c`).
pub(super) fn allow_writes(device: impl AsFd) -> Result<(), Errno> {
    let read_only: libc::c_int = 0;
    call(device, BLKROSET, (&raw const read_only).expose_provenance()).map(drop)
}

/// Whether the kernel refuses writes to the device, by the driver's flag or by BLKROSET.
pub(super) fn refuses_writes(device: impl AsFd) -> Result<bool, Errno> {
    let mut read_only: libc::c_int = 0;
    call(device, BLKROGET, (&raw mut read_only).expose_provenance())?;
    Ok(read_only != 0)
}

/// Makes the device as large as its file.
pub(super) fn set_capacity(device: impl AsFd) -> Result<(), Errno> {
    call(device, LOOP_SET_CAPACITY, 0).map(drop)
}

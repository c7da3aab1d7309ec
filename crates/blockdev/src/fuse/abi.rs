//! The FUSE protocol's numbers and layouts (include/uapi/linux/fuse.h, version 7.45), as far as one file needs them.
//!
//! All integers are in the machine's byte order.

pub(super) const IN_HEADER: usize = 40;
pub(super) const OUT_HEADER: usize = 16;
/// `fuse_in_header` with the longest fixed arguments that precede data (`fuse_write_in`, 40 bytes).
pub(super) const WRITE_HEADER: usize = 80;

pub(super) const FUSE_KERNEL_VERSION: u32 = 7;
/// The version that we speak. The kernel uses the smaller one.
pub(super) const FUSE_KERNEL_MINOR_VERSION: u32 = 41;
/// `max_pages` came with 7.28; nothing older carries 1 MiB.
pub(super) const OLDEST_MINOR_VERSION: u32 = 28;

pub(super) const ROOT_ID: u64 = 1;

pub(super) mod opcode {
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const NOTIFY_REPLY: u32 = 41;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const FALLOCATE: u32 = 43;
}

pub(super) const FUSE_ASYNC_READ: u32 = 1 << 0;
pub(super) const FUSE_BIG_WRITES: u32 = 1 << 5;
pub(super) const FUSE_ASYNC_DIO: u32 = 1 << 15;
pub(super) const FUSE_MAX_PAGES: u32 = 1 << 22;
pub(super) const FUSE_INIT_EXT: u32 = 1 << 30;
/// Bit 39 of the flags, hence bit 7 of `flags2`.
pub(super) const FUSE_HAS_RESEND_FLAGS2: u32 = 1 << 7;

pub(super) const FUSE_NOTIFY_INVAL_INODE: i32 = 2;
pub(super) const FUSE_NOTIFY_RESEND: i32 = 7;

/// Reads integers of a layout one after the other; past the end it gives zeros, and `short` says so.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    pub(super) short: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, short: false }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.bytes.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.bytes = rest;
                *head
            }
            None => {
                self.bytes = &[];
                self.short = true;
                [0; N]
            }
        }
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }
}

/// Puts integers of a layout one after the other.
#[derive(Default)]
pub(super) struct Layout<const N: usize> {
    bytes: Bytes<N>,
    len: usize,
}

struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Layout<N> {
    pub(super) fn put(mut self, bytes: &[u8]) -> Self {
        self.bytes.0[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        self
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.put(&value.to_ne_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.put(&value.to_ne_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.put(&value.to_ne_bytes())
    }

    /// The whole layout; what was not put is zero.
    pub(super) fn finish(self) -> [u8; N] {
        self.bytes.0
    }
}

/// `struct fuse_out_header`.
pub(super) fn out_header(body_len: usize, error: i32, unique: u64) -> [u8; OUT_HEADER] {
    let len = u32::try_from(OUT_HEADER + body_len).unwrap_or(u32::MAX);
    Layout::<OUT_HEADER>::default()
        .u32(len)
        .put(&error.to_ne_bytes())
        .u64(unique)
        .finish()
}

/// `struct fuse_init_out`.
pub(super) fn init_out(minor: u32, max_readahead: u32, flags: u32, flags2: u32) -> [u8; 64] {
    const MAX_BACKGROUND: u16 = 256;
    const MAX_PAGES: u16 = 256;
    Layout::<64>::default()
        .u32(FUSE_KERNEL_VERSION)
        .u32(minor)
        .u32(max_readahead)
        .u32(flags)
        .u16(MAX_BACKGROUND)
        .u16(MAX_BACKGROUND / 4 * 3)
        .u32(super::MAX_WRITE as u32)
        .u32(1)
        .u16(MAX_PAGES)
        .u16(0)
        .u32(flags2)
        .finish()
}

/// `struct fuse_attr_out` of the one file.
pub(super) fn attr_out(size: u64, block_size: u32, read_only: bool) -> [u8; 104] {
    const S_IFREG: u32 = 0o100_000;
    const VALID_S: u64 = 365 * 24 * 3600;
    let mode = S_IFREG | if read_only { 0o400 } else { 0o600 };
    Layout::<104>::default()
        .u64(VALID_S)
        .u64(0)
        .u64(ROOT_ID)
        .u64(size)
        .u64(size / 512)
        .put(&[0; 36])
        .u32(mode)
        .u32(1)
        .u64(0)
        .u32(0)
        .u32(block_size)
        .finish()
}

/// `struct fuse_open_out`: file handle 0; closing a descriptor sends no FLUSH.
pub(super) fn open_out() -> [u8; 16] {
    const FOPEN_NOFLUSH: u32 = 1 << 5;
    Layout::<16>::default().u64(0).u32(FOPEN_NOFLUSH).finish()
}

/// `struct fuse_write_out`.
pub(super) fn write_out(size: u32) -> [u8; 8] {
    Layout::<8>::default().u32(size).finish()
}

/// `struct fuse_statfs_out`. Loop takes `bsize` for the granularity of discards.
pub(super) fn statfs_out(size: u64, block_size: u32) -> [u8; 80] {
    Layout::<80>::default()
        .u64(size / u64::from(block_size.max(1)))
        .put(&[0; 32])
        .u32(block_size)
        .u32(255)
        .u32(block_size)
        .finish()
}

/// `struct fuse_notify_inval_inode_out`: the attributes of the file, not its pages.
pub(super) fn inval_attributes() -> [u8; 24] {
    Layout::<24>::default()
        .u64(ROOT_ID)
        .put(&(-1i64).to_ne_bytes())
        .u64(0)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_the_kernels_offsets() {
        let attr = attr_out(0x1122_3344, 4096, false);
        assert_eq!(u64::from_ne_bytes(attr[16..24].try_into().unwrap()), 1, "ino");
        assert_eq!(
            u64::from_ne_bytes(attr[24..32].try_into().unwrap()),
            0x1122_3344,
            "size"
        );
        assert_eq!(
            u32::from_ne_bytes(attr[76..80].try_into().unwrap()),
            0o100_600,
            "mode"
        );
        assert_eq!(
            u32::from_ne_bytes(attr[96..100].try_into().unwrap()),
            4096,
            "blksize"
        );
        let init = init_out(41, 0, 1, 2);
        assert_eq!(
            u32::from_ne_bytes(init[20..24].try_into().unwrap()),
            1 << 20,
            "max_write"
        );
        assert_eq!(
            u16::from_ne_bytes(init[28..30].try_into().unwrap()),
            256,
            "max_pages"
        );
        assert_eq!(u32::from_ne_bytes(init[32..36].try_into().unwrap()), 2, "flags2");
        let statfs = statfs_out(1 << 20, 512);
        assert_eq!(
            u32::from_ne_bytes(statfs[40..44].try_into().unwrap()),
            512,
            "bsize"
        );
        assert_eq!(out_header(8, -5, 9)[..8], [24, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff]);
    }
}

//! Buffers for reads, used again: reading a block costs no zeroing and no allocation of its length.

use crate::sync::lock;
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// Length of a small buffer: what random reads need.
const SMALL_LEN: usize = 16 << 10;
/// Length of a large one: how much of a long read is read and sent at once.
pub(crate) const LARGE_LEN: usize = 256 << 10;
/// So many bytes are kept for later.
const KEEP_BYTES: usize = 2 << 20;

/// Where buffers wait until they are used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer on loan.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of `len` bytes, at most [`LARGE_LEN`]; what it holds is of no meaning.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let len = len.min(LARGE_LEN);
        let mut idle = lock(&self.idle);
        let shelf = if len <= SMALL_LEN {
            &mut idle.small
        } else {
            &mut idle.large
        };
        let bytes = match shelf.pop() {
            Some(bytes) => {
                idle.bytes -= bytes.len();
                bytes
            }
            None => {
                drop(idle);
                vec![0; if len <= SMALL_LEN { SMALL_LEN } else { LARGE_LEN }]
            }
        };
        Buffer {
            bytes,
            len,
            home: Arc::clone(self),
        }
    }

    /// Gives all idle memory back.
    pub(crate) fn release(&self) {
        *lock(&self.idle) = Idle::default();
    }
}

impl Buffer {
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The buffer as data to send; it comes home when they are sent.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut idle = lock(&self.home.idle);
        if idle.bytes + bytes.len() <= KEEP_BYTES {
            idle.bytes += bytes.len();
            let shelf = if bytes.len() <= SMALL_LEN {
                &mut idle.small
            } else {
                &mut idle.large
            };
            shelf.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_home_and_the_shelf_is_bounded() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(10);
        buffer.as_mut_slice().copy_from_slice(b"0123456789");
        let data = buffer.freeze();
        assert_eq!(&data[..], b"0123456789");
        drop(data);
        assert_eq!(lock(&buffers.idle).bytes, SMALL_LEN);
        let many: Vec<Buffer> = (0..20).map(|_| buffers.take(LARGE_LEN)).collect();
        drop(many);
        assert!(lock(&buffers.idle).bytes <= KEEP_BYTES);
        buffers.release();
        assert_eq!(lock(&buffers.idle).bytes, 0);
    }
}

//! What a block device is made of: the trait that an exporter serves.

use std::future::Future;

use bytes::Bytes;

/// Size and properties of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Capacity in bytes; a multiple of the block size.
    pub size_bytes: u64,
    /// Logical block size in bytes: 512, 1024, 2048 or 4096.
    pub block_size_bytes: u32,
    /// Writes are refused.
    pub read_only: bool,
}

/// Random access to so many bytes, served over a network. All methods may be called concurrently; overlapping calls
/// under way have no order. A call waits as long as the storage can still come back (a session that is made again).
///
/// Offsets and lengths are in bytes, multiples of the block size and within the capacity.
pub trait Storage: Send + Sync + 'static {
    /// Size and properties as they are now.
    fn geometry(&self) -> Geometry;

    /// Reads `len` bytes; exactly as many come back, in one or more pieces.
    fn read(&self, offset: u64, len: u32) -> impl Future<Output = Result<Vec<Bytes>, StorageError>> + Send;

    /// Writes all of `data`. The buffer comes from a pool; holding on to it holds its pages.
    fn write(&self, offset: u64, data: Bytes) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Makes all writes that were answered before durable.
    fn flush(&self) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// The range reads as zeros afterwards and stays allocated where that matters.
    fn write_zeroes(&self, offset: u64, len: u64) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// The range reads as zeros afterwards and may be deallocated. [`StorageError::Unsupported`] where that cannot be
    /// promised; an advisory deallocation is not enough.
    fn discard(&self, offset: u64, len: u64) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Why a storage did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The storage cannot do this at all; the kernel stops asking.
    #[error("the storage does not support this")]
    Unsupported,
    /// Write protected.
    #[error("the storage is write protected")]
    ReadOnly,
    /// A thin-provisioned storage is full.
    #[error("the storage has no space left")]
    NoSpace,
    /// Anything else.
    #[error("{0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StorageError {
    /// A failure with a text.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into().into())
    }
}

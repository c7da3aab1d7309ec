//! Joins a logical unit to a block device: `blockdev`'s trait on `initiator`'s unit.

use bytes::Bytes;
use longshore_blockdev::{Geometry, Storage, StorageError};
use longshore_initiator::{Unit, UnitError};

/// SPACE ALLOCATION FAILED WRITE PROTECT (SPC-4 table 56): a thin-provisioned unit is full.
const SPACE_ALLOCATION_FAILED: (u8, u8) = (0x27, 0x07);

/// What a device is made of.
pub(super) enum Backing {
    /// A unit that is served.
    Unit(Unit),
    /// A device that may not be served any more: everything fails.
    Dead {
        /// Its shape when it was served.
        geometry: Geometry,
        /// Why.
        reason: String,
    },
}

impl Backing {
    /// The unit, unless it is dead.
    pub(super) fn unit(&self) -> Option<&Unit> {
        match self {
            Self::Unit(unit) => Some(unit),
            Self::Dead { .. } => None,
        }
    }

    fn alive(&self) -> Result<&Unit, StorageError> {
        match self {
            Self::Unit(unit) => Ok(unit),
            Self::Dead { reason, .. } => Err(StorageError::failed(reason.clone())),
        }
    }
}

impl Storage for Backing {
    fn geometry(&self) -> Geometry {
        match self {
            Self::Unit(unit) => {
                let geometry = unit.geometry();
                Geometry {
                    size_bytes: geometry.size_bytes,
                    block_size_bytes: geometry.block_size_bytes,
                    read_only: geometry.read_only,
                }
            }
            Self::Dead { geometry, .. } => *geometry,
        }
    }

    async fn read(&self, offset: u64, len: u32) -> Result<Vec<Bytes>, StorageError> {
        let segments = self.alive()?.read(offset, len).await.map_err(failure)?;
        Ok(segments.into_iter().collect())
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<(), StorageError> {
        self.alive()?.write(offset, data).await.map_err(failure)
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.alive()?.flush().await.map_err(failure)
    }

    async fn write_zeroes(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        self.alive()?.write_zeroes(offset, len).await.map_err(failure)
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        self.alive()?.discard(offset, len).await.map_err(failure)
    }
}

fn failure(error: UnitError) -> StorageError {
    match error {
        UnitError::Unsupported { .. } => StorageError::Unsupported,
        UnitError::ReadOnly => StorageError::ReadOnly,
        UnitError::Scsi {
            sense: Some(sense), ..
        } if (sense.asc, sense.ascq) == SPACE_ALLOCATION_FAILED => StorageError::NoSpace,
        other => StorageError::Failed(Box::new(other)),
    }
}

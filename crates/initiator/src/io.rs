//! The data path of a [`Unit`]: read, write, flush, write zeroes, discard.
//!
//! None of these has a deadline: I/O waits while the session heals, until the unit or the session is closed. A future
//! that is dropped gives up waiting; what it sent may still be carried out.

use std::time::Instant;

use bytes::Bytes;
use longshore_iscsi::initiator::Segments;
use longshore_scsi::cdb::Cdb;
use longshore_scsi::sense::{Asc, SenseKey};

use crate::command::{Command, Data, Response};
use crate::error::{TransportError, UnitError};
use crate::identity::Geometry;
use crate::request::Origin;
use crate::session::Pending;
use crate::unit::Unit;

/// Zeros are sent in pieces of at most this size where the unit has no WRITE SAME.
const ZEROES_BYTES: u64 = 1 << 20;

/// A range of blocks, cut into pieces that one command can carry.
struct Pieces {
    offset: u64,
    left: u64,
    piece_bytes: u64,
    block_size_bytes: u32,
}

impl Iterator for Pieces {
    /// LBA, number of blocks, length in bytes.
    type Item = (u64, u32, u32);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let len = self.left.min(self.piece_bytes);
        let block = u64::from(self.block_size_bytes);
        let lba = self.offset / block;
        self.offset += len;
        self.left -= len;
        let blocks = u32::try_from(len / block).unwrap_or(u32::MAX);
        Some((lba, blocks, u32::try_from(len).unwrap_or(u32::MAX)))
    }
}

impl Unit {
    /// Reads `len` bytes from byte `offset` on; the bytes stay where they were received.
    ///
    /// # Errors
    /// [`UnitError::Range`], [`UnitError::Fenced`], [`UnitError::Scsi`] for a final status, [`UnitError::Short`].
    /// There is no partial result.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Segments, UnitError> {
        let geometry = self.checked(offset, u64::from(len))?;
        let pieces = pieces(
            offset,
            u64::from(len),
            u64::from(geometry.max_transfer_bytes),
            geometry,
        );
        let mut all = Segments::new();
        let mut waiting = Vec::new();
        for (lba, blocks, bytes) in pieces {
            let pending = self.start(Cdb::read(lba, blocks), Data::In(bytes));
            if bytes == len {
                return self.full_read(pending, bytes).await;
            }
            waiting.push((pending, bytes));
        }
        for (pending, bytes) in waiting {
            all.append(self.full_read(pending, bytes).await?);
        }
        Ok(all)
    }

    /// Writes `data` at byte `offset`. The bytes are sent from where they are, and kept until the unit has them on
    /// stable storage if it has a volatile cache.
    ///
    /// # Errors
    /// As [`Unit::read`], and [`UnitError::ReadOnly`]. After an error any part of the range may have been written.
    pub async fn write(&self, offset: u64, data: Bytes) -> Result<(), UnitError> {
        let geometry = self.checked_write(offset, data.len() as u64)?;
        let mut rest = data;
        let mut waiting = Vec::new();
        for (lba, blocks, bytes) in pieces(
            offset,
            rest.len() as u64,
            u64::from(geometry.max_transfer_bytes),
            geometry,
        ) {
            let piece = rest.split_to((bytes as usize).min(rest.len()));
            waiting.push((
                self.start(Cdb::write(lba, blocks, false), Data::Out(piece)),
                bytes,
            ));
        }
        self.full_writes(waiting, "WRITE").await
    }

    /// Returns when every write that was completed before is on stable storage.
    ///
    /// # Errors
    /// [`UnitError::WritesLost`] when the unit lost acknowledged writes that could not be sent again; never an `Ok` then.
    pub async fn flush(&self) -> Result<(), UnitError> {
        self.check_fence()?;
        if !self.geometry().write_cache {
            return Ok(());
        }
        let pending = self.start(Cdb::synchronize_cache(), Data::None);
        pending.forever(&self.session).await.map(drop)
    }

    /// Like [`Unit::flush`], but gives up at `deadline`.
    ///
    /// # Errors
    /// As [`Unit::flush`], and [`TransportError::Deadline`].
    pub async fn flush_by(&self, deadline: Instant) -> Result<(), UnitError> {
        match tokio::time::timeout_at(deadline.into(), self.flush()).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let what = format!("SYNCHRONIZE CACHE to LUN {}", self.lun());
                let session = format!("{:?}", self.session.info().state);
                Err(TransportError::Deadline { what, session }.into())
            }
        }
    }

    /// Fills the range with zeros, by WRITE SAME(16) where the unit has it. Blocks stay allocated or not as the unit
    /// likes.
    ///
    /// # Errors
    /// As [`Unit::write`].
    pub async fn write_zeroes(&self, offset: u64, len: u64) -> Result<(), UnitError> {
        let geometry = self.checked_write(offset, len)?;
        if geometry.write_same {
            match self.write_same(offset, len, false, geometry).await {
                Err(UnitError::Unsupported { .. }) => {
                    self.shared.set_geometry(Geometry {
                        write_same: false,
                        ..self.geometry()
                    });
                }
                result => return result,
            }
        }
        let zeroes = Bytes::from(vec![0; ZEROES_BYTES.min(len) as usize]);
        let piece_bytes = ZEROES_BYTES.min(u64::from(geometry.max_transfer_bytes));
        for (lba, blocks, bytes) in pieces(offset, len, piece_bytes, geometry) {
            let data = Data::Out(zeroes.slice(..bytes as usize));
            self.full_writes(
                vec![(self.start(Cdb::write(lba, blocks, false), data), bytes)],
                "WRITE",
            )
            .await?;
        }
        Ok(())
    }

    /// Gives the blocks of the range back to the unit; afterwards they read as zeros (WRITE SAME with the UNMAP bit).
    ///
    /// # Errors
    /// [`UnitError::Unsupported`] when the unit does not promise zeros; nothing was changed then. Else as
    /// [`Unit::write`].
    pub async fn discard(&self, offset: u64, len: u64) -> Result<(), UnitError> {
        let geometry = self.checked_write(offset, len)?;
        if !(geometry.unmap && geometry.write_same && geometry.unmapped_reads_zero) {
            return Err(UnitError::Unsupported {
                what: "discard with zeros afterwards",
            });
        }
        let result = self.write_same(offset, len, true, geometry).await;
        if matches!(result, Err(UnitError::Unsupported { .. })) {
            self.shared.set_geometry(Geometry {
                unmap: false,
                ..self.geometry()
            });
        }
        result
    }

    async fn write_same(
        &self,
        offset: u64,
        len: u64,
        unmap: bool,
        geometry: Geometry,
    ) -> Result<(), UnitError> {
        let block = Bytes::from(vec![0; geometry.block_size_bytes as usize]);
        for (lba, blocks, _) in pieces(offset, len, geometry.max_write_same_bytes, geometry) {
            let pending = self.start(Cdb::write_same_16(lba, blocks, unmap), Data::Out(block.clone()));
            let moved = geometry.block_size_bytes;
            match self.full_writes(vec![(pending, moved)], "WRITE SAME").await {
                Err(UnitError::Scsi {
                    sense: Some(sense), ..
                }) if sense.key == SenseKey::IllegalRequest
                    && [Asc::INVALID_COMMAND_OPERATION_CODE, Asc::INVALID_FIELD_IN_CDB]
                        .contains(&Asc(sense.asc, sense.ascq)) =>
                {
                    return Err(UnitError::Unsupported {
                        what: "WRITE SAME(16)",
                    });
                }
                result => result?,
            }
        }
        Ok(())
    }

    fn start(&self, cdb: Cdb, data: Data) -> Pending {
        self.session.submit(
            Command {
                lun: self.shared.lun,
                cdb,
                data,
            },
            Origin::Data,
            None,
        )
    }

    async fn full_read(&self, pending: Pending, asked: u32) -> Result<Segments, UnitError> {
        let Response { data, .. } = pending.forever(&self.session).await?;
        if data.len() != asked as usize {
            let moved = u32::try_from(data.len()).unwrap_or(u32::MAX);
            return Err(UnitError::Short {
                what: "READ".into(),
                asked,
                moved,
            });
        }
        Ok(data)
    }

    /// Waits for all, then reports the first error.
    async fn full_writes(&self, waiting: Vec<(Pending, u32)>, what: &str) -> Result<(), UnitError> {
        let mut result = Ok(());
        for (pending, asked) in waiting {
            let one = match pending.forever(&self.session).await {
                Ok(Response {
                    underflow_bytes: missing,
                    ..
                }) if missing > 0 => {
                    let moved = asked.saturating_sub(missing);
                    Err(UnitError::Short {
                        what: what.into(),
                        asked,
                        moved,
                    })
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            result = result.and(one);
        }
        result
    }

    fn checked_write(&self, offset: u64, len: u64) -> Result<Geometry, UnitError> {
        let geometry = self.checked(offset, len)?;
        if geometry.read_only {
            Err(UnitError::ReadOnly)
        } else {
            Ok(geometry)
        }
    }

    /// The range lies within the unit and on block boundaries, and the unit is not fenced.
    fn checked(&self, offset: u64, len: u64) -> Result<Geometry, UnitError> {
        self.check_fence()?;
        let geometry = self.geometry();
        let (block, size_bytes) = (u64::from(geometry.block_size_bytes), geometry.size_bytes);
        let inside = offset.checked_add(len).is_some_and(|end| end <= size_bytes);
        if !inside || offset % block != 0 || len % block != 0 {
            let block_size_bytes = geometry.block_size_bytes;
            return Err(UnitError::Range {
                offset,
                len,
                size_bytes,
                block_size_bytes,
            });
        }
        Ok(geometry)
    }
}

/// Cuts a checked range at most `piece_bytes` long, a whole number of blocks each.
fn pieces(offset: u64, len: u64, piece_bytes: u64, geometry: Geometry) -> Pieces {
    let block_size_bytes = geometry.block_size_bytes;
    let block = u64::from(block_size_bytes);
    let most = block.saturating_mul(u64::from(u32::MAX));
    let piece_bytes = (piece_bytes.clamp(block, most) / block) * block;
    Pieces {
        offset,
        left: len,
        piece_bytes,
        block_size_bytes,
    }
}

//! The I/O that a logical unit asks its caller for, and what a failed one means for the initiator.

use super::NexusId;
use crate::Sense;
use crate::sense::{Asc, SenseKey};

/// One I/O. Offsets and lengths are in bytes and lie within the medium.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Io {
    /// Read and return as Data-In.
    Read {
        /// Where.
        offset: u64,
        /// How much.
        len: u32,
    },
    /// Get `len` bytes of Data-Out and write them.
    Write {
        /// Where.
        offset: u64,
        /// How much.
        len: u32,
        /// Answer only when the data are on stable storage.
        fua: bool,
    },
    /// Check that the range can be read; with `compare`, get `len` bytes of Data-Out and compare.
    Verify {
        /// Where.
        offset: u64,
        /// How much.
        len: u32,
        /// The Data-Out is compared with the medium.
        compare: bool,
    },
    /// Compare, and write only if equal; nothing may write to the range between the two.
    CompareAndWrite {
        /// Where.
        offset: u64,
        /// What must be there.
        expected: Vec<u8>,
        /// What is written then, as long as `expected`.
        new: Vec<u8>,
        /// Answer only when the data are on stable storage.
        fua: bool,
    },
    /// Write the same block all over the range; where it is all zeros and `unmap` is set, release the range instead.
    WriteSame {
        /// Where.
        offset: u64,
        /// How much.
        len: u64,
        /// The block.
        block: Vec<u8>,
        /// The range may be released if it then reads as the block.
        unmap: bool,
        /// Answer only when the data are on stable storage.
        fua: bool,
    },
    /// Release ranges: they read as zeros afterwards.
    Unmap {
        /// Offset and length of each.
        ranges: Vec<(u64, u64)>,
    },
    /// Bring all completed writes to stable storage.
    Flush,
    /// Abort the tasks of these nexuses on this logical unit, and answer when they are over (PREEMPT AND ABORT).
    AbortTasks {
        /// The nexuses that were preempted.
        nexuses: Vec<NexusId>,
    },
    /// Say which parts from `offset` on are mapped, with [`lba_status`].
    LbaStatus {
        /// Where to begin.
        offset: u64,
        /// At most so many extents.
        max_extents: u32,
        /// ALLOCATION LENGTH of the answer.
        allocation_length: u32,
    },
}

impl Io {
    /// How many bytes of Data-Out this I/O takes from the initiator.
    #[must_use]
    pub fn data_out_len(&self) -> u32 {
        match *self {
            Io::Write { len, .. }
            | Io::Verify {
                len, compare: true, ..
            } => len,
            _ => 0,
        }
    }
}

/// A run of blocks for GET LBA STATUS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LbaExtent {
    /// First block.
    pub lba: u64,
    /// Number of blocks.
    pub blocks: u32,
    /// Whether the blocks are mapped.
    pub mapped: bool,
}

/// GET LBA STATUS parameter data (SBC-4 5.6.2), to be cut to the allocation length.
#[must_use]
pub fn lba_status(extents: &[LbaExtent]) -> Vec<u8> {
    let mut data = Vec::with_capacity(8 + extents.len() * 16);
    data.extend_from_slice(&((4 + extents.len() * 16) as u32).to_be_bytes());
    data.extend_from_slice(&[0; 4]);
    for extent in extents {
        data.extend_from_slice(&extent.lba.to_be_bytes());
        data.extend_from_slice(&extent.blocks.to_be_bytes());
        data.extend_from_slice(&[u8::from(!extent.mapped), 0, 0, 0]);
    }
    data
}

/// Why an I/O failed, as far as an initiator can make use of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoFailure {
    /// The medium cannot be read at this block.
    Read {
        /// First block that failed.
        lba: u64,
    },
    /// The medium cannot be written at this block.
    Write {
        /// First block that failed.
        lba: u64,
    },
    /// The storage behind the medium is full.
    NoSpace,
    /// Data differ from the medium at this byte of the Data-Out.
    Miscompare {
        /// Offset of the first byte that differs.
        at: u64,
    },
    /// The storage cannot do this.
    Unsupported,
}

impl IoFailure {
    /// The sense data that tell it.
    #[must_use]
    pub fn sense(self) -> Sense {
        match self {
            Self::Read { lba } => {
                Sense::new(SenseKey::MediumError, Asc::UNRECOVERED_READ_ERROR).with_information(lba)
            }
            Self::Write { lba } => Sense::new(SenseKey::MediumError, Asc::WRITE_ERROR).with_information(lba),
            Self::NoSpace => Sense::new(SenseKey::DataProtect, Asc::SPACE_ALLOCATION_FAILED),
            Self::Miscompare { at } => {
                Sense::new(SenseKey::Miscompare, Asc::MISCOMPARE_DURING_VERIFY).with_information(at)
            }
            Self::Unsupported => Sense::illegal_request(Asc::INVALID_COMMAND_OPERATION_CODE),
        }
    }
}

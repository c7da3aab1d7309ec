//! What a logical unit says about itself: who it is, how large it is, and what is wrong with it.

use longshore_scsi::identity::Wwid;

/// Who a logical unit is (INQUIRY, VPD pages 0x80 and 0x83).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The best designator of VPD page 0x83; `None` means that the unit cannot prove who it is.
    pub wwid: Option<Wwid>,
    /// T10 vendor identification.
    pub vendor: String,
    /// Product identification.
    pub product: String,
    /// Product revision level.
    pub revision: String,
    /// Unit serial number, when it has one.
    pub serial: Option<String>,
}

/// The shape of a logical unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Logical block size.
    pub block_size_bytes: u32,
    /// Physical block size.
    pub physical_block_size_bytes: u32,
    /// Capacity.
    pub size_bytes: u64,
    /// The unit refuses writes (the WP bit of MODE SENSE).
    pub read_only: bool,
    /// Completed writes may be lost at a power cycle until the next flush (the WCE bit of the caching page).
    pub write_cache: bool,
    /// The longest transfer that is sent as one command.
    pub max_transfer_bytes: u32,
    /// The transfer length that the unit likes best; 0 when it does not say.
    pub optimal_transfer_bytes: u32,
    /// The unit may unmap in answer to WRITE SAME(16) (the LBPWS bit).
    pub unmap: bool,
    /// The unit can write one block many times (WRITE SAME 16).
    pub write_same: bool,
    /// The longest WRITE SAME in bytes.
    pub max_write_same_bytes: u64,
    /// Unmapped blocks read as zeros (LBPRZ), so WRITE SAME with the UNMAP bit is a discard that zeroes.
    pub unmapped_reads_zero: bool,
}

/// What keeps a unit from being used. It does not go away by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Condition {
    /// Another logical unit answers at this LUN (F3).
    #[error("the logical unit's identity changed from {expected} to {found}; no write was sent to it")]
    IdentityChanged {
        /// Who it was when it was opened.
        expected: String,
        /// Who answers now.
        found: String,
    },
    /// The unit was formatted to another block size: every LBA means another place.
    #[error("the logical unit's block size changed from {was_bytes} to {now_bytes} bytes")]
    BlockSizeChanged {
        /// Block size when it was opened.
        was_bytes: u32,
        /// Block size now.
        now_bytes: u32,
    },
}

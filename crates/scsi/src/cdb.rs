//! Command descriptor blocks as values: what SPC-5 and SBC-4 ask of a direct-access block device.
//!
//! [`Cdb::parse`] reads the bytes that came from an initiator, [`Cdb::to_bytes`] gives those that go to a target, and the
//! constructors choose the shortest form that holds the operands.

mod build;
mod emit;
pub mod opcode;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

/// How long a READ, WRITE and the like is, which decides how large its operands may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // The names say it.
pub enum Form {
    Six,
    Ten,
    Twelve,
    Sixteen,
}

/// The blocks that a command reads, writes or verifies, with the bits that all these commands share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transfer {
    /// Form of the CDB.
    pub form: Form,
    /// First block.
    pub lba: u64,
    /// Number of blocks. The zero of READ(6) and WRITE(6) is given as the 256 that it means.
    pub blocks: u32,
    /// RDPROTECT, WRPROTECT or VRPROTECT: protection information, which must be 0 without it.
    pub protect: u8,
    /// Disable page out: a caching hint.
    pub dpo: bool,
    /// Force unit access: the command ends only when the data are on stable storage.
    pub fua: bool,
    /// BYTCHK of the VERIFY commands: what the data are compared with.
    pub byte_check: u8,
}

/// Which values MODE SENSE returns (SPC-5 6.13.1, PC field).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // The standard's own names.
pub enum PageControl {
    Current,
    Changeable,
    Default,
    Saved,
}

/// A command descriptor block. Allocation lengths and parameter list lengths are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // Variants and fields carry the standard's names.
pub enum Cdb {
    TestUnitReady,
    RequestSense {
        descriptor: bool,
        allocation_length: u8,
    },
    Inquiry {
        evpd: bool,
        page_code: u8,
        allocation_length: u16,
    },
    ModeSelect {
        form: Form,
        page_format: bool,
        save_pages: bool,
        parameter_list_length: u16,
    },
    ModeSense {
        form: Form,
        disable_block_descriptors: bool,
        page_control: PageControl,
        page: u8,
        subpage: u8,
        allocation_length: u16,
    },
    StartStopUnit {
        immediate: bool,
        power_condition: u8,
        no_flush: bool,
        load_eject: bool,
        start: bool,
    },
    PreventAllowMediumRemoval {
        prevent: u8,
    },
    Reserve6,
    Release6,
    ReadCapacity10 {
        lba: u32,
        pmi: bool,
    },
    ReadCapacity16 {
        allocation_length: u32,
    },
    GetLbaStatus {
        lba: u64,
        allocation_length: u32,
    },
    Read(Transfer),
    Write(Transfer),
    WriteAndVerify(Transfer),
    Verify(Transfer),
    PreFetch {
        form: Form,
        immediate: bool,
        lba: u64,
        blocks: u32,
    },
    SynchronizeCache {
        form: Form,
        immediate: bool,
        lba: u64,
        blocks: u32,
    },
    WriteSame {
        form: Form,
        protect: u8,
        anchor: bool,
        unmap: bool,
        no_data_out: bool,
        lba: u64,
        blocks: u32,
    },
    Unmap {
        anchor: bool,
        parameter_list_length: u16,
    },
    CompareAndWrite {
        protect: u8,
        dpo: bool,
        fua: bool,
        lba: u64,
        blocks: u8,
    },
    PersistentReserveIn {
        service_action: u8,
        allocation_length: u16,
    },
    PersistentReserveOut {
        service_action: u8,
        scope: u8,
        kind: u8,
        parameter_list_length: u32,
    },
    ReportLuns {
        select_report: u8,
        allocation_length: u32,
    },
    ReportSupportedOperationCodes {
        timeouts: bool,
        options: u8,
        opcode: u8,
        service_action: u16,
        allocation_length: u32,
    },
    ReportSupportedTaskManagementFunctions {
        extended: bool,
        allocation_length: u32,
    },
}

/// Bytes that are no CDB of this crate's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CdbError {
    /// An operation code that is not known here.
    #[error("operation code 0x{0:02x} is not supported")]
    UnknownOpcode(u8),
    /// A known operation code with a service action that is not known here.
    #[error("operation code 0x{opcode:02x} has no service action 0x{service_action:02x}")]
    UnknownServiceAction {
        /// The operation code.
        opcode: u8,
        /// The service action.
        service_action: u16,
    },
    /// Fewer bytes than the operation code asks for.
    #[error("a CDB with operation code 0x{opcode:02x} needs {needed} bytes, {len} came")]
    TooShort {
        /// The operation code; 0 where there was not even that.
        opcode: u8,
        /// Length of this CDB.
        needed: usize,
        /// Length that came.
        len: usize,
    },
    /// The control byte asks for an auto contingent allegiance (NACA), which nothing uses and this crate does not know.
    #[error("the NACA bit of the control byte is set")]
    Naca {
        /// Where the control byte stands.
        byte: u16,
    },
}

/// The bytes of a CDB, at most 16.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CdbBytes {
    bytes: [u8; 16],
    len: u8,
}

impl CdbBytes {
    /// The CDB's own bytes: 6, 10, 12 or 16.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The CDB in the 16-byte field of an iSCSI SCSI Command PDU: filled with zeros (RFC 7143 11.3.5).
    #[must_use]
    pub fn to_array(self) -> [u8; 16] {
        self.bytes
    }
}

impl AsRef<[u8]> for CdbBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for CdbBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CdbBytes({})", crate::bytes::hex(self.as_slice()))
    }
}

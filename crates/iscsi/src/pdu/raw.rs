//! A PDU as it is framed: basic header, additional headers, data (RFC 7143 §11.2), and its fields by offset.

use super::{Fault, InitiatorTaskTag, LunField, Opcode, PduError, TargetTransferTag};
use crate::serial::SerialNumber32;
use bytes::Bytes;

/// Length of a basic header segment, in bytes.
pub const BHS_LEN: usize = 48;
/// Longest sum of additional header segments, in bytes (TotalAHSLength counts 255 words).
pub const MAX_AHS_LEN: usize = 255 * 4;
/// Longest data segment that the 24-bit length can name, in bytes.
pub const MAX_DATA_SEGMENT_LEN: u32 = (1 << 24) - 1;

/// The basic header segment, in wire order.
pub type Bhs = [u8; BHS_LEN];

/// A PDU cut out of the stream, its digests checked and taken off, nothing else looked at.
///
/// The two lengths inside `bhs` (bytes 4 to 7) follow from `ahs` and `data`: the encoder writes them anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPdu {
    /// The basic header segment.
    pub bhs: Bhs,
    /// The additional header segments, each with its padding; a multiple of four bytes.
    pub ahs: Bytes,
    /// The data segment without padding.
    pub data: Bytes,
}

impl RawPdu {
    /// A header with nothing but its opcode, and no data.
    pub(crate) fn new(opcode: Opcode) -> Self {
        let mut bhs = [0; BHS_LEN];
        bhs[0] = opcode.bits();
        Self {
            bhs,
            ahs: Bytes::new(),
            data: Bytes::new(),
        }
    }

    /// What kind of PDU this is, if the RFC defines the opcode.
    pub fn opcode(&self) -> Option<Opcode> {
        Opcode::from_bits(self.opcode_bits())
    }

    /// The six opcode bits, whatever they are.
    pub fn opcode_bits(&self) -> u8 {
        self.bhs[0] & 0x3f
    }

    /// The I bit: an immediate command stands outside the command window (§4.2.2.1).
    pub fn is_immediate(&self) -> bool {
        self.bhs[0] & 0x40 != 0
    }

    /// Bytes 16 to 19, which hold the Initiator Task Tag in every PDU that has one.
    pub fn initiator_task_tag(&self) -> InitiatorTaskTag {
        InitiatorTaskTag(self.u32_at(16))
    }

    pub(crate) fn flags(&self) -> u8 {
        self.bhs[1]
    }

    pub(crate) fn flag(&self, mask: u8) -> bool {
        self.bhs[1] & mask != 0
    }

    pub(crate) fn lun(&self) -> LunField {
        LunField(self.array_at(8))
    }

    pub(crate) fn target_transfer_tag(&self) -> TargetTransferTag {
        TargetTransferTag(self.u32_at(20))
    }

    /// `N` bytes from `offset` on; every caller names a place inside the 48 bytes.
    pub(crate) fn array_at<const N: usize>(&self, offset: usize) -> [u8; N] {
        std::array::from_fn(|index| self.bhs[offset + index])
    }

    pub(crate) fn u16_at(&self, offset: usize) -> u16 {
        u16::from_be_bytes(self.array_at(offset))
    }

    pub(crate) fn u32_at(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.array_at(offset))
    }

    pub(crate) fn serial_at(&self, offset: usize) -> SerialNumber32 {
        SerialNumber32(self.u32_at(offset))
    }

    // Setters, to be chained.

    pub(crate) fn with_immediate(mut self, immediate: bool) -> Self {
        self.bhs[0] |= if immediate { 0x40 } else { 0 };
        self
    }

    pub(crate) fn with_u8(mut self, offset: usize, value: u8) -> Self {
        self.bhs[offset] = value;
        self
    }

    pub(crate) fn with_bytes(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bhs[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn with_u16(self, offset: usize, value: u16) -> Self {
        self.with_bytes(offset, &value.to_be_bytes())
    }

    pub(crate) fn with_u32(self, offset: usize, value: u32) -> Self {
        self.with_bytes(offset, &value.to_be_bytes())
    }

    pub(crate) fn with_serial(self, offset: usize, value: SerialNumber32) -> Self {
        self.with_u32(offset, value.0)
    }

    /// Attaches the additional header segments and writes TotalAHSLength.
    pub(crate) fn with_ahs(mut self, ahs: Bytes) -> Self {
        self.bhs[4] = (ahs.len() / 4).min(255) as u8;
        self.ahs = ahs;
        self
    }

    /// Attaches the data segment and writes DataSegmentLength.
    pub(crate) fn with_data(mut self, data: Bytes) -> Self {
        let len = (data.len() as u32).to_be_bytes();
        self.bhs[5..8].copy_from_slice(&len[1..]);
        self.data = data;
        self
    }

    // Checks that many PDUs share.

    /// An error about a field of this PDU.
    pub(crate) fn refuse(
        &self,
        fault: Fault,
        field: &'static str,
        value: u32,
        rule: &'static str,
    ) -> PduError {
        let section = self.opcode().map_or("11.2.1.2", Opcode::section);
        PduError {
            opcode: self.opcode_bits(),
            fault,
            field,
            value,
            rule,
            section,
        }
    }

    /// The caller asked for this kind of PDU.
    pub(crate) fn expect(&self, opcode: Opcode) -> Result<(), PduError> {
        if self.opcode_bits() == opcode.bits() {
            return Ok(());
        }
        let bits = u32::from(self.opcode_bits());
        Err(self.refuse(
            Fault::ApiMisuse,
            "Opcode",
            bits,
            "it was parsed as another kind of PDU",
        ))
    }

    /// Only SCSI commands have additional headers (§11.2.2).
    pub(crate) fn expect_no_ahs(&self) -> Result<(), PduError> {
        if self.ahs.is_empty() {
            return Ok(());
        }
        Err(self.refuse(
            Fault::PeerMisbehaved,
            "TotalAHSLength",
            (self.ahs.len() / 4) as u32,
            "only SCSI commands have additional headers",
        ))
    }

    /// This kind of PDU has no data segment.
    pub(crate) fn expect_no_data(&self) -> Result<(), PduError> {
        if self.data.is_empty() {
            return Ok(());
        }
        Err(self.refuse(
            Fault::PeerMisbehaved,
            "DataSegmentLength",
            self.data.len() as u32,
            "this PDU has no data segment",
        ))
    }

    /// The Initiator Task Tag names a task.
    pub(crate) fn expect_task_tag(&self) -> Result<InitiatorTaskTag, PduError> {
        let tag = self.initiator_task_tag();
        if !tag.is_reserved() {
            return Ok(tag);
        }
        Err(self.refuse(
            Fault::PeerMisbehaved,
            "Initiator Task Tag",
            tag.0,
            "the reserved value names no task",
        ))
    }
}

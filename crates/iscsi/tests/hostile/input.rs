//! Random bytes as a source of decisions and of PDUs.

use bytes::Bytes;
use longshore_iscsi::pdu::{BHS_LEN, Opcode, RawPdu};

/// Longest data segment of a made-up PDU, in bytes.
const MAX_DATA_LEN: usize = 1500;

/// Reads from bytes that somebody else has chosen; past their end all is zero.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub(crate) fn number(&mut self, below: usize) -> usize {
        usize::from(u16::from_be_bytes(self.array())) % below
    }

    /// A data segment, often short.
    pub(crate) fn data(&mut self) -> Bytes {
        let len = match self.byte() {
            len @ 0..64 => usize::from(len),
            _ => self.number(MAX_DATA_LEN),
        };
        let mut data = self.take(len).to_vec();
        data.resize(len, 0xa5);
        data.into()
    }

    /// A PDU with one of these opcodes. Serial numbers and tags are random; the caller mends what it wants to be
    /// right, because a random CmdSN would end every session with its first PDU.
    pub(crate) fn pdu(&mut self, opcodes: &[Opcode]) -> RawPdu {
        let mut bhs = [0; BHS_LEN];
        bhs[0] = opcodes[self.number(opcodes.len())].bits() | (self.byte() & 0x40);
        bhs[1..4].copy_from_slice(&self.array::<3>());
        if self.byte() & 3 == 0 {
            bhs[8..].copy_from_slice(&self.array::<40>());
        } else {
            // Small numbers in the fields that matter most, so that offsets and lengths meet what is there.
            for field in [20, 40, 44] {
                bhs[field + 2..field + 4].copy_from_slice(&self.array::<2>());
            }
        }
        let words = if self.byte() < 16 { self.number(8) } else { 0 };
        let mut ahs = self.take(words * 4).to_vec();
        ahs.resize(words * 4, 0);
        RawPdu {
            bhs,
            ahs: ahs.into(),
            data: self.data(),
        }
    }
}

/// Writes four bytes of a header.
pub(crate) fn put(raw: &mut RawPdu, at: usize, number: u32) {
    raw.bhs[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

/// Reads four bytes of a header.
pub(crate) fn get(raw: &RawPdu, at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|index| raw.bhs[at + index]))
}

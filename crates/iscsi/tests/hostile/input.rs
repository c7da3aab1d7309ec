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

    /// A number below `below`, which is not zero.
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

    /// A data segment whose bytes do not matter, so that the input lasts for more PDUs.
    fn filler(&mut self) -> Bytes {
        vec![0xa5; self.number(MAX_DATA_LEN)].into()
    }

    /// Rare, and never true once the input has come to its end.
    pub(crate) fn rarely(&mut self) -> bool {
        self.byte() > 250
    }

    pub(crate) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.number(choices.len())]
    }

    /// A PDU with any fields.
    pub(crate) fn any_pdu(&mut self, opcodes: &[Opcode]) -> RawPdu {
        let mut bhs: [u8; BHS_LEN] = self.array();
        bhs[0] = self.choose(opcodes).bits() | (bhs[0] & 0x40);
        let words = if bhs[4] < 64 { usize::from(bhs[4] % 8) } else { 0 };
        let mut ahs = self.take(words * 4).to_vec();
        ahs.resize(words * 4, 0);
        RawPdu {
            bhs,
            ahs: ahs.into(),
            data: self.data(),
        }
    }

    /// A PDU that parses, most of the time: nonsense in one place at once goes deeper than nonsense everywhere. Tags and
    /// serial numbers are the caller's business, and zero here.
    pub(crate) fn plausible_pdu(&mut self, opcodes: &[Opcode]) -> RawPdu {
        if self.rarely() {
            return self.any_pdu(opcodes);
        }
        let opcode = self.choose(opcodes);
        let mut raw = RawPdu {
            bhs: [0; BHS_LEN],
            ahs: Bytes::new(),
            data: Bytes::new(),
        };
        raw.bhs[0] = opcode.bits() | if self.byte() < 64 { 0x40 } else { 0 };
        raw.bhs[1] = 0x80 | self.flags(opcode);
        match opcode {
            Opcode::ScsiCommand => self.fill_command(&mut raw),
            Opcode::TextRequest | Opcode::TextResponse => {
                raw.bhs[1] = self.choose(&[0x80, 0x80, 0x80, 0x40, 0x00]);
                put(&mut raw, 20, self.choose(&[u32::MAX, u32::MAX, 1, 2]));
                raw.data = Bytes::from_static(self.choose(&TEXTS));
            }
            Opcode::NopOut | Opcode::NopIn => {
                put(&mut raw, 20, self.choose(&[u32::MAX, u32::MAX, 1]));
                raw.data = self.data();
            }
            Opcode::DataOut | Opcode::DataIn => {
                raw.bhs[1] = self.choose(&[0x00, 0x00, 0x80]);
                raw.data = self.filler();
            }
            Opcode::R2t => put(&mut raw, 44, 1 + self.number(3000) as u32),
            Opcode::TaskManagementResponse | Opcode::Reject => raw.bhs[2] = self.byte() % 13,
            Opcode::TaskManagementRequest => put(&mut raw, 20, u32::from(self.byte() % 40)),
            Opcode::AsyncMessage => raw.bhs[36] = self.choose(&[0, 1, 4, 255]),
            _ => {}
        }
        raw
    }

    fn flags(&mut self, opcode: Opcode) -> u8 {
        match opcode {
            Opcode::TaskManagementRequest => 1 + self.byte() % 9,
            Opcode::LogoutRequest => self.byte() % 3,
            Opcode::SnackRequest => self.byte() % 4,
            Opcode::ScsiResponse => self.choose(&[0, 0x02, 0x04]),
            _ => 0,
        }
    }

    /// A command that reads, writes with or without immediate data, or transfers nothing.
    fn fill_command(&mut self, raw: &mut RawPdu) {
        raw.bhs[1] = self.choose(&[0xc1, 0xa1, 0xa1, 0xa1, 0x21, 0x21, 0x81, 0xe1]);
        if raw.bhs[1] & 0x20 != 0 && self.byte() < 128 {
            raw.data = self.filler();
        }
        let len = raw.data.len() + self.number(6000);
        put(raw, 20, len as u32);
    }
}

const TEXTS: [&[u8]; 5] = [
    b"SendTargets=All\0",
    b"MaxRecvDataSegmentLength=8192\0",
    b"TargetName=iqn.2001-04.com.example:array\0TargetAddress=192.0.2.1,1\0",
    b"X-com.example.key=1\0",
    b"SendTar",
];

/// Writes four bytes of a header.
pub(crate) fn put(raw: &mut RawPdu, at: usize, number: u32) {
    raw.bhs[at..at + 4].copy_from_slice(&number.to_be_bytes());
}

/// Reads four bytes of a header.
pub(crate) fn get(raw: &RawPdu, at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|index| raw.bhs[at + index]))
}

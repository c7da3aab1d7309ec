//! PDUs out of a byte stream, their data split off the receive buffer without a copy.

use super::{FrameError, padding};
use crate::digest::{DIGEST_LEN, Digests, crc32c};
use crate::pdu::{BHS_LEN, RawPdu};
use bytes::{Buf, Bytes, BytesMut};

/// What a quiet connection's receive buffer holds, in bytes.
const MIN_READ_LEN: usize = 16 << 10;
/// What a busy connection reads at once, in bytes: 256 KiB of data with headers and digests. Only a longer PDU gets more.
const MAX_READ_LEN: usize = (256 << 10) + 1024;
/// Room for the next header behind a long PDU, so that its length is known before memory for it is asked for.
const NEXT_HEADER_LEN: usize = 2 * BHS_LEN;
/// Data up to this length is copied, so that a few bytes do not keep a whole receive block alive.
const COPY_LEN: usize = 256;

/// Cuts a byte stream into PDUs.
///
/// The driver's loop: read from the socket into the spare capacity of [`buffer`](Self::buffer), then call
/// [`decode`](Self::decode) and *handle each PDU before the next `decode`*, because a login's last response changes
/// how the next bytes are to be read ([`set_digests`](Self::set_digests)). When a connection has gone quiet,
/// [`release`](Self::release) gives its memory back.
///
/// Memory: reads grow from 16 KiB to 256 KiB while data flows and shrink again with small reads; a PDU that does not fit
/// gets room of its own, once its header has passed its digest and its length is within the limit. So a block is never
/// longer than one PDU and one read.
/// Data segments share the block they were received in, which lives as long as any of them:
/// whoever keeps a few bytes for long copies them.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    digests: Digests,
    max_data_segment: u32,
    /// The header at the front of the buffer, once it is complete and found good.
    head: Option<Head>,
    failed: Option<FrameError>,
    /// How much to read at once.
    read_len: usize,
    /// Size of the block behind `buffer`.
    block_len: usize,
    /// Length and spare capacity of the buffer when the driver last got it.
    handed_out: Option<(usize, usize)>,
}

/// Lengths of the parts of the PDU at the front of the buffer, in bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    ahs: usize,
    /// Basic and additional headers and their digest.
    headers: usize,
    data: usize,
    /// Everything with padding and data digest.
    total: usize,
}

impl Decoder {
    /// A decoder without digests that takes data segments of at most `max_data_segment` bytes
    /// (8,192 until a login has agreed on something else, §13.12).
    pub fn new(max_data_segment: u32) -> Self {
        Self {
            buffer: BytesMut::new(),
            digests: Digests::default(),
            max_data_segment,
            head: None,
            failed: None,
            read_len: MIN_READ_LEN,
            block_len: 0,
            handed_out: None,
        }
    }

    /// How the next PDUs are protected.
    pub fn set_digests(&mut self, digests: Digests) {
        self.digests = digests;
        self.head = None;
    }

    /// Our own MaxRecvDataSegmentLength, in bytes, for the next PDUs.
    pub fn set_max_data_segment(&mut self, max_data_segment: u32) {
        self.max_data_segment = max_data_segment;
        self.head = None;
    }

    /// The receive buffer, to be filled behind what it holds. It always has spare capacity.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let spare = self.spare();
        if self.buffer.is_empty() && self.block_len > 2 * self.read_len {
            self.replace_block(self.read_len);
        } else {
            match self.head {
                Some(head) if spare < self.missing(head).max(1) => {
                    let missing = self.missing(head);
                    self.make_room(self.read_len.max(missing + NEXT_HEADER_LEN));
                }
                Some(_) => {}
                None if spare < self.read_len / 4 => self.make_room(self.read_len),
                None => {}
            }
        }
        self.handed_out = Some((self.buffer.len(), self.spare()));
        &mut self.buffer
    }

    /// Takes the next complete PDU from the buffer; `None` until more bytes have arrived.
    ///
    /// # Errors
    /// [`FrameError::DataDigest`] costs one PDU, the next call goes on behind it. After any other error the stream
    /// cannot be followed, and every later call returns the same error.
    pub fn decode(&mut self) -> Result<Option<RawPdu>, FrameError> {
        self.adapt();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let head = match self.head {
            Some(head) => head,
            None => match self.read_head() {
                Ok(Some(head)) => *self.head.insert(head),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.failed.insert(error).clone()),
            },
        };
        if self.buffer.len() < head.total {
            return Ok(None);
        }
        self.head = None;
        self.take(head).map(Some)
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when it ended inside a PDU.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.buffer.len() {
            0 => Ok(()),
            received => Err(FrameError::Truncated { received }),
        }
    }

    /// Gives the receive buffer's memory back if nothing waits in it. For a connection that has gone quiet; the next
    /// [`buffer`](Self::buffer) allocates anew.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.block_len = 0;
            self.handed_out = None;
        }
    }

    /// Reads the lengths of the PDU at the front, and checks its header digest before it believes the data length.
    fn read_head(&self) -> Result<Option<Head>, FrameError> {
        let Some(bhs) = self.buffer.first_chunk::<BHS_LEN>() else {
            return Ok(None);
        };
        let ahs = usize::from(bhs[4]) * 4;
        let digested = BHS_LEN + ahs;
        let headers = digested + if self.digests.header { DIGEST_LEN } else { 0 };
        if self.buffer.len() < headers {
            return Ok(None);
        }
        if self.digests.header {
            let computed = crc32c(&[&self.buffer[..digested]]);
            let received = wire_digest(&self.buffer[digested..]);
            if computed != received {
                return Err(FrameError::HeaderDigest { received, computed });
            }
        }
        let len = u32::from_be_bytes([0, bhs[5], bhs[6], bhs[7]]);
        if len > self.max_data_segment {
            let max = self.max_data_segment;
            return Err(FrameError::DataSegmentTooLong { len, max });
        }
        let data = len as usize;
        let digest = if self.digests.data && data > 0 {
            DIGEST_LEN
        } else {
            0
        };
        Ok(Some(Head {
            ahs,
            headers,
            data,
            total: headers + data + padding(data) + digest,
        }))
    }

    /// Takes a PDU that is complete off the front.
    fn take(&mut self, head: Head) -> Result<RawPdu, FrameError> {
        let bhs = std::array::from_fn(|index| self.buffer[index]);
        let ahs = Bytes::copy_from_slice(&self.buffer[BHS_LEN..BHS_LEN + head.ahs]);
        let padded = head.headers + head.data + padding(head.data);
        if head.total > padded {
            let computed = crc32c(&[&self.buffer[head.headers..padded]]);
            if computed != wire_digest(&self.buffer[padded..]) {
                self.buffer.advance(head.total);
                return Err(FrameError::DataDigest { bhs });
            }
        }
        self.buffer.advance(head.headers);
        let data = if head.data <= COPY_LEN {
            let data = Bytes::copy_from_slice(&self.buffer[..head.data]);
            self.buffer.advance(head.data);
            data
        } else {
            self.buffer.split_to(head.data).freeze()
        };
        self.buffer.advance(head.total - head.headers - head.data);
        Ok(RawPdu { bhs, ahs, data })
    }

    /// A read that brings all that was asked for makes the next ones longer; one that brings little into an empty buffer makes them
    /// shorter.
    fn adapt(&mut self) {
        let Some((len, spare)) = self.handed_out.take() else {
            return;
        };
        let received = self.buffer.len().saturating_sub(len);
        if received >= spare.min(self.read_len) {
            self.read_len = (self.read_len * 2).min(MAX_READ_LEN);
        } else if len == 0 && received < self.read_len / 8 {
            self.read_len = (self.read_len / 2).max(MIN_READ_LEN);
        }
    }

    fn spare(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    fn missing(&self, head: Head) -> usize {
        head.total.saturating_sub(self.buffer.len())
    }

    /// Gives the buffer `additional` bytes of spare capacity: in its own block if no data segment uses that any more.
    fn make_room(&mut self, additional: usize) {
        if !self.buffer.try_reclaim(additional) {
            self.replace_block(additional);
        }
    }

    fn replace_block(&mut self, additional: usize) {
        self.block_len = self.buffer.len() + additional;
        let mut block = BytesMut::with_capacity(self.block_len);
        block.extend_from_slice(&self.buffer);
        self.buffer = block;
    }
}

/// The first four bytes, which the caller knows to be there.
fn wire_digest(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    std::array::from_fn(|index| bytes[index])
}

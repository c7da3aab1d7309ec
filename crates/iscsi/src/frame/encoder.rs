//! One PDU as bytes to write, without a copy of its data.

use super::padding;
use crate::digest::{DIGEST_LEN, Digests, crc32c};
use crate::pdu::{BHS_LEN, Bhs, MAX_AHS_LEN, MAX_DATA_SEGMENT_LEN, RawPdu};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io::IoSlice;

const SHORT_HEAD_LEN: usize = BHS_LEN + DIGEST_LEN;
const MAX_TAIL_LEN: usize = 3 + DIGEST_LEN;

/// A PDU ready to be written: header with its digest, data, padding with the data digest.
///
/// As a [`Buf`] it remembers how much has been written, so a driver may hand several frames to one vectored write.
#[derive(Clone, Debug)]
pub struct Frame {
    head: Head,
    data: Bytes,
    tail: [u8; MAX_TAIL_LEN],
    tail_len: usize,
    written: usize,
}

/// The header segments and their digest; only additional headers need the heap.
#[derive(Clone, Debug)]
enum Head {
    Short([u8; SHORT_HEAD_LEN], usize),
    Long(Bytes),
}

impl Head {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => &bytes[..*len],
            Self::Long(bytes) => bytes,
        }
    }
}

/// Encodes a PDU. TotalAHSLength and DataSegmentLength are written from the segments' true lengths.
///
/// # Panics
/// If the caller passes more than 16,777,215 bytes of data, or additional headers that are longer than 1,020 bytes
/// or no multiple of four: no PDU can be like that, and a peer's MaxRecvDataSegmentLength is never so large.
pub fn encode(pdu: RawPdu, digests: Digests) -> Frame {
    let RawPdu { mut bhs, ahs, data } = pdu;
    assert!(
        data.len() <= MAX_DATA_SEGMENT_LEN as usize,
        "a data segment has a 24-bit length"
    );
    assert!(
        ahs.len() <= MAX_AHS_LEN && ahs.len() % 4 == 0,
        "additional headers are at most 255 words"
    );
    bhs[4] = (ahs.len() / 4) as u8;
    bhs[5..8].copy_from_slice(&(data.len() as u32).to_be_bytes()[1..]);

    let mut tail = [0; MAX_TAIL_LEN];
    let mut tail_len = padding(data.len());
    if digests.data && !data.is_empty() {
        let digest = crc32c(&[&data, &tail[..tail_len]]);
        tail[tail_len..tail_len + DIGEST_LEN].copy_from_slice(&digest);
        tail_len += DIGEST_LEN;
    }
    Frame {
        head: encode_head(&bhs, &ahs, digests.header),
        data,
        tail,
        tail_len,
        written: 0,
    }
}

fn encode_head(bhs: &Bhs, ahs: &[u8], digest: bool) -> Head {
    let digest_bytes = if digest {
        crc32c(&[bhs, ahs])
    } else {
        [0; DIGEST_LEN]
    };
    let digest_len = if digest { DIGEST_LEN } else { 0 };
    if ahs.is_empty() {
        let mut head = [0; SHORT_HEAD_LEN];
        head[..BHS_LEN].copy_from_slice(bhs);
        head[BHS_LEN..].copy_from_slice(&digest_bytes);
        return Head::Short(head, BHS_LEN + digest_len);
    }
    let mut head = BytesMut::with_capacity(BHS_LEN + ahs.len() + DIGEST_LEN);
    head.put_slice(bhs);
    head.put_slice(ahs);
    head.put_slice(&digest_bytes[..digest_len]);
    Head::Long(head.freeze())
}

impl Frame {
    /// Length of the whole frame, in bytes, written or not.
    #[allow(clippy::len_without_is_empty, reason = "a frame has at least a header")]
    pub fn len(&self) -> usize {
        self.head.as_slice().len() + self.data.len() + self.tail_len
    }

    /// What is still to be written, in order: header with its digest, data, padding with the data digest.
    pub fn slices(&self) -> [&[u8]; 3] {
        let mut skip = self.written;
        [
            self.head.as_slice(),
            self.data.as_ref(),
            &self.tail[..self.tail_len],
        ]
        .map(|part| {
            let skipped = skip.min(part.len());
            skip -= skipped;
            &part[skipped..]
        })
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.len() - self.written
    }

    fn chunk(&self) -> &[u8] {
        let slices = self.slices();
        slices
            .into_iter()
            .find(|part| !part.is_empty())
            .unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining(), "more written than the frame holds");
        self.written += count;
    }

    fn chunks_vectored<'a>(&'a self, slots: &mut [IoSlice<'a>]) -> usize {
        let parts = self.slices().into_iter().filter(|part| !part.is_empty());
        let mut used = 0;
        for (slot, part) in slots.iter_mut().zip(parts) {
            *slot = IoSlice::new(part);
            used += 1;
        }
        used
    }
}

//! Reads of the probe: whole or failed, kept in pieces, within the device and the deadline.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use super::ProbeError;
use crate::device::ReadAt;

const PIECE: u64 = 64 << 10;
/// One read of the zero check.
const STRIDE: u64 = 1 << 20;

pub(super) struct Reader<'a> {
    source: &'a dyn ReadAt,
    size_bytes: u64,
    deadline: Instant,
    pieces: HashMap<u64, Vec<u8>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn ReadAt, size_bytes: u64, deadline: Instant) -> Self {
        Self {
            source,
            size_bytes,
            deadline,
            pieces: HashMap::new(),
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// `len` bytes (at most 64 KiB) at `offset`; `None` when they do not all lie within the device.
    pub(super) fn bytes(&mut self, offset: u64, len: u64) -> Result<Option<Vec<u8>>, ProbeError> {
        let Some(end) = offset
            .checked_add(len)
            .filter(|end| *end <= self.size_bytes && len <= PIECE)
        else {
            return Ok(None);
        };
        let mut out = Vec::new();
        let mut at = offset;
        while at < end {
            let index = at / PIECE;
            if !self.pieces.contains_key(&index) {
                let start = index * PIECE;
                let piece = self.read(start, PIECE.min(self.size_bytes - start))?;
                self.pieces.insert(index, piece);
            }
            let within = usize::try_from(at % PIECE).unwrap_or(0);
            let piece = self
                .pieces
                .get(&index)
                .and_then(|p| p.get(within..))
                .unwrap_or_default();
            let take = piece.len().min(usize::try_from(end - at).unwrap_or(0));
            if take == 0 {
                return Ok(None);
            }
            out.extend_from_slice(piece.get(..take).unwrap_or_default());
            at += take as u64;
        }
        Ok(Some(out))
    }

    /// Whether `magic` stands at `offset`.
    pub(super) fn has(&mut self, offset: u64, magic: &[u8]) -> Result<bool, ProbeError> {
        Ok(self
            .bytes(offset, magic.len() as u64)?
            .is_some_and(|b| b == magic))
    }

    /// Reads all of `ranges`; the offset of the first byte that is not zero. Stops at it.
    pub(super) fn first_nonzero(&mut self, ranges: &[Range<u64>]) -> Result<Option<u64>, ProbeError> {
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let bytes = self.read(at, STRIDE.min(range.end - at))?;
                if let Some(index) = nonzero(&bytes) {
                    return Ok(Some(at + index as u64));
                }
                at += bytes.len() as u64;
            }
        }
        Ok(None)
    }

    /// One read; everything that was asked for, or an error.
    fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, ProbeError> {
        if Instant::now() >= self.deadline {
            return Err(ProbeError::Deadline);
        }
        let wanted = usize::try_from(len).unwrap_or(0);
        let mut buf = vec![0_u8; wanted];
        match self.source.read_at(offset, &mut buf) {
            Ok(got) if got == wanted && got > 0 => Ok(buf),
            Ok(got) => Err(ProbeError::Short { offset, wanted, got }),
            Err(e) => Err(ProbeError::Read {
                offset,
                len: wanted,
                reason: e.to_string(),
            }),
        }
    }
}

/// Index of the first byte that is not zero. Compares whole pieces, which is quick in every build.
fn nonzero(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    for (number, piece) in bytes.chunks(ZEROS.len()).enumerate() {
        if ZEROS.get(..piece.len()) != Some(piece) {
            let within = piece.iter().position(|b| *b != 0)?;
            return Some(number * ZEROS.len() + within);
        }
    }
    None
}

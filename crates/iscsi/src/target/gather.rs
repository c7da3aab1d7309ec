//! Data-Out that waits for the rest of its sequence.

use bytes::{Bytes, BytesMut};

/// Segments from this length on are kept as they were received; shorter ones are copied together, so that a few bytes
/// do not keep a whole receive block alive and the number of segments stays small.
const KEEP_LEN: usize = 64 << 10;

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Gather {
    parts: Vec<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl Gather {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds bytes that have to wait.
    pub(super) fn hold(&mut self, data: &Bytes) {
        self.len += data.len();
        if data.len() >= KEEP_LEN {
            self.seal();
            self.parts.push(data.clone());
        } else {
            self.tail.extend_from_slice(data);
        }
    }

    /// Adds the data of a command that its driver looks at next: most are complete with it, so it is not copied.
    pub(super) fn hold_as_received(&mut self, data: Bytes) {
        self.len += data.len();
        self.seal();
        self.parts.push(data);
    }

    /// Takes everything, with `data` behind it.
    pub(super) fn take_with(&mut self, data: Bytes) -> Vec<Bytes> {
        self.seal();
        self.len = 0;
        let mut parts = std::mem::take(&mut self.parts);
        if !data.is_empty() {
            parts.push(data);
        }
        parts
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(std::mem::take(&mut self.tail).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_segments_are_copied_together_in_order() {
        let mut gather = Gather::default();
        let large = Bytes::from(vec![7; KEEP_LEN]);
        gather.hold(&Bytes::from_static(b"ab"));
        gather.hold(&Bytes::from_static(b"c"));
        gather.hold(&large);
        assert_eq!(gather.len(), 3 + KEEP_LEN);
        let parts = gather.take_with(Bytes::from_static(b"d"));
        assert_eq!(
            parts,
            vec![Bytes::from_static(b"abc"), large, Bytes::from_static(b"d")]
        );
        assert_eq!(gather.len(), 0);
        assert!(gather.take_with(Bytes::new()).is_empty());
    }
}

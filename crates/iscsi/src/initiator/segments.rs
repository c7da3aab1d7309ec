//! `Segments`: bytes that arrived in several PDUs, left where they were received.

use bytes::{Buf, Bytes, BytesMut};

/// A sequence of byte pieces. One piece, the common case, costs no allocation of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Segments {
    first: Bytes,
    rest: Vec<Bytes>,
    len: usize,
}

impl Segments {
    /// No bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Total length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece without copying it. An empty piece is left out.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        if self.first.is_empty() {
            self.first = piece;
        } else {
            self.rest.push(piece);
        }
    }

    /// Appends all pieces of `other`.
    pub fn append(&mut self, other: Segments) {
        for piece in other {
            self.push(piece);
        }
    }

    /// The pieces in order; none of them is empty.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.into_iter()
    }

    /// Drops what is beyond the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let mut left = len;
        self.first.truncate(left);
        left -= self.first.len();
        self.rest.retain_mut(|piece| {
            piece.truncate(left);
            left -= piece.len();
            !piece.is_empty()
        });
        self.len = len;
    }

    /// All bytes in one piece; copies only when there are several.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut all = BytesMut::with_capacity(self.len);
        for piece in &self {
            all.extend_from_slice(piece);
        }
        all.freeze()
    }

    /// Copies the bytes into `target`, as many as fit, and tells how many these were.
    pub fn copy_to(&self, mut target: &mut [u8]) -> usize {
        let mut copied = 0;
        for piece in self {
            let count = piece.len().min(target.len());
            let (head, tail) = target.split_at_mut(count);
            piece.slice(..count).copy_to_slice(head);
            target = tail;
            copied += count;
        }
        copied
    }
}

impl From<Bytes> for Segments {
    fn from(piece: Bytes) -> Self {
        let mut segments = Segments::new();
        segments.push(piece);
        segments
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Bytes>, std::vec::IntoIter<Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        Some(self.first)
            .filter(|piece| !piece.is_empty())
            .into_iter()
            .chain(self.rest)
    }
}

impl<'a> IntoIterator for &'a Segments {
    type Item = &'a Bytes;
    type IntoIter = std::iter::Chain<std::option::IntoIter<&'a Bytes>, std::slice::Iter<'a, Bytes>>;

    fn into_iter(self) -> Self::IntoIter {
        Some(&self.first)
            .filter(|piece| !piece.is_empty())
            .into_iter()
            .chain(self.rest.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Segments {
        let mut segments = Segments::new();
        for piece in ["abc", "", "de", "fgh"] {
            segments.push(Bytes::from_static(piece.as_bytes()));
        }
        segments
    }

    #[test]
    fn keeps_the_pieces_and_their_order() {
        let pieces: Vec<Bytes> = three().into_iter().collect();
        assert_eq!(pieces, ["abc", "de", "fgh"]);
        assert_eq!(three().len(), 8);
        assert_eq!(three().into_bytes(), "abcdefgh");
        assert!(Segments::new().is_empty());
        assert_eq!(Segments::new().into_bytes(), "");
    }

    #[test]
    fn one_piece_is_not_copied() {
        let piece = Bytes::from(vec![7_u8; 4096]);
        let at = piece.as_ptr();
        assert_eq!(Segments::from(piece).into_bytes().as_ptr(), at);
    }

    #[test]
    fn truncates_anywhere() {
        for len in 0..=9 {
            let mut segments = three();
            segments.truncate(len);
            assert_eq!(segments.len(), len.min(8));
            assert_eq!(segments.clone().into_bytes(), "abcdefgh"[..len.min(8)]);
            assert!(segments.iter().all(|piece| !piece.is_empty()));
        }
    }

    #[test]
    fn copies_as_much_as_fits() {
        let mut target = [0_u8; 6];
        assert_eq!(three().copy_to(&mut target), 6);
        assert_eq!(&target, b"abcdef");
        let mut long = [0_u8; 10];
        assert_eq!(three().copy_to(&mut long), 8);
    }
}

//! Framing (RFC 7143 §11.2): PDUs out of a byte stream and into one, with padding and digests.
//!
//! [`Decoder`] cuts received bytes into [`RawPdu`](crate::pdu::RawPdu)s, [`encode`] makes a [`Frame`] of one.
//! Neither copies a data segment of any size that matters.

mod decoder;
mod encoder;
mod error;
#[cfg(test)]
mod tests;

pub use crate::digest::Digests;
pub use decoder::Decoder;
pub use encoder::{Frame, encode};
pub use error::FrameError;

/// Padding after a segment of this length, in bytes: segments end on a word.
const fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}

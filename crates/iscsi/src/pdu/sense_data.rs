//! The data segment that carries sense data: SenseLength, sense data, the rest (RFC 7143 §11.4.7, §11.9.4).

use super::{Fault, PduError, RawPdu};
use bytes::{BufMut, Bytes, BytesMut};

/// Splits the data segment into sense data and what follows; an empty segment gives two empty parts.
pub(super) fn split(raw: &RawPdu) -> Result<(Bytes, Bytes), PduError> {
    if raw.data.is_empty() {
        return Ok((Bytes::new(), Bytes::new()));
    }
    let Some(&[high, low]) = raw.data.first_chunk::<2>() else {
        return Err(raw.refuse(
            Fault::InvalidMessage,
            "DataSegmentLength",
            1,
            "SenseLength alone has two bytes",
        ));
    };
    let end = 2 + usize::from(u16::from_be_bytes([high, low]));
    if end > raw.data.len() {
        return Err(raw.refuse(
            Fault::InvalidMessage,
            "SenseLength",
            end as u32 - 2,
            "the sense data does not fit into the data segment",
        ));
    }
    Ok((raw.data.slice(2..end), raw.data.slice(end..)))
}

/// Joins sense data and what follows; two empty parts give an empty segment.
///
/// # Panics
/// If the caller passes more than 65,535 bytes of sense data (SPC knows 252).
pub(super) fn join(sense: &[u8], rest: &[u8]) -> Bytes {
    if sense.is_empty() && rest.is_empty() {
        return Bytes::new();
    }
    assert!(
        sense.len() <= usize::from(u16::MAX),
        "sense data has at most 252 bytes"
    );
    let mut data = BytesMut::with_capacity(2 + sense.len() + rest.len());
    data.put_u16(sense.len() as u16);
    data.put_slice(sense);
    data.put_slice(rest);
    data.freeze()
}

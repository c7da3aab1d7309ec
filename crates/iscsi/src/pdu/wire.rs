//! Helpers of the PDU tests: bytes from hexadecimal text, both directions at once.

use super::{Pdu, PduError, RawPdu};
use bytes::Bytes;

/// Bytes of a text of hexadecimal digits and white space.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A PDU from the text of its header and its data.
pub(super) fn raw(header: &str, data: &'static [u8]) -> RawPdu {
    raw_with_ahs(header, "", data)
}

/// A PDU with additional headers.
pub(super) fn raw_with_ahs(header: &str, ahs: &str, data: &'static [u8]) -> RawPdu {
    let bhs = hex(header).try_into().expect("a basic header has 48 bytes");
    RawPdu {
        bhs,
        ahs: hex(ahs).into(),
        data: Bytes::from_static(data),
    }
}

/// The typed PDU and the bytes are the same thing, in both directions.
pub(super) fn assert_both_ways(pdu: impl Into<Pdu>, raw: RawPdu) {
    let pdu = pdu.into();
    assert_eq!(pdu.clone().into_raw(), raw, "emitted {pdu}");
    assert_eq!(Pdu::parse(raw), Ok(pdu), "parsed");
}

/// Why these bytes are refused.
pub(super) fn refusal(raw: RawPdu) -> PduError {
    match Pdu::parse(raw) {
        Ok(pdu) => panic!("accepted: {pdu}"),
        Err(error) => error,
    }
}

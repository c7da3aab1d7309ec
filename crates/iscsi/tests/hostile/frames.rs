//! Any byte stream, cut anywhere: PDUs or an error, within the limits, and the PDUs are encoded back to what they were.

use crate::input::Input;
use bytes::BufMut;
use longshore_iscsi::frame::{Decoder, Digests, FrameError, encode};
use longshore_iscsi::pdu::Pdu;

const MAX_DATA_SEGMENT: u32 = 4096;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let digests = Digests {
        header: choice & 1 != 0,
        data: choice & 2 != 0,
    };
    let mut decoder = Decoder::new(MAX_DATA_SEGMENT);
    decoder.set_digests(digests);
    while !input.is_empty() {
        let len = 1 + usize::from(input.byte());
        let piece = input.take(len);
        let buffer = decoder.buffer();
        assert!(
            buffer.capacity() - buffer.len() >= piece.len(),
            "a buffer without room"
        );
        assert!(
            buffer.capacity() <= (MAX_DATA_SEGMENT as usize) + (64 << 10),
            "a buffer without limit"
        );
        buffer.put_slice(piece);
        loop {
            match decoder.decode() {
                Ok(None) => break,
                Ok(Some(raw)) => {
                    assert!(raw.data.len() <= MAX_DATA_SEGMENT as usize);
                    let bytes = encode(raw.clone(), digests).slices().concat();
                    let mut again = Decoder::new(MAX_DATA_SEGMENT);
                    again.set_digests(digests);
                    again.buffer().put_slice(&bytes);
                    assert_eq!(again.decode(), Ok(Some(raw.clone())));
                    let _ = Pdu::parse(raw);
                }
                Err(FrameError::DataDigest { .. }) => {}
                Err(error) => {
                    assert!(error.is_fatal());
                    assert_eq!(decoder.decode(), Err(error), "a broken stream stays broken");
                    return;
                }
            }
        }
    }
}

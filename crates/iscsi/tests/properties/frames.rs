//! Framing: any cut of a stream gives the same PDUs, any damage is found, no bytes make the decoder panic or hoard.

use crate::arbitrary::{initiator_pdu, target_pdu};
use bytes::BufMut;
use longshore_iscsi::frame::{Decoder, Digests, FrameError, encode};
use longshore_iscsi::pdu::{Pdu, RawPdu};
use proptest::prelude::*;

const MAX_DATA_SEGMENT: u32 = 64 << 10;

fn digests() -> impl Strategy<Value = Digests> {
    any::<(bool, bool)>().prop_map(|(header, data)| Digests { header, data })
}

fn pdu() -> impl Strategy<Value = Pdu> {
    prop_oneof![initiator_pdu(), target_pdu()]
}

fn decoder(digests: Digests) -> Decoder {
    let mut decoder = Decoder::new(MAX_DATA_SEGMENT);
    decoder.set_digests(digests);
    decoder
}

/// Hands the pieces to the decoder, up to a fatal error.
fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Vec<Result<RawPdu, FrameError>> {
    let mut decoded = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let buffer = decoder.buffer();
            let len = rest.len().min(buffer.capacity() - buffer.len());
            assert!(len > 0);
            buffer.put_slice(&rest[..len]);
            rest = &rest[len..];
            while let Some(result) = decoder.decode().transpose() {
                let fatal = result.as_ref().is_err_and(FrameError::is_fatal);
                decoded.push(result);
                if fatal {
                    return decoded;
                }
            }
        }
    }
    decoded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_cut_gives_the_same_pdus(
        pdus in proptest::collection::vec(pdu(), 1..6), digests in digests(), cut in 1_usize..700,
    ) {
        let raws: Vec<RawPdu> = pdus.into_iter().map(Pdu::into_raw).collect();
        let stream = raws.iter().flat_map(|raw| encode(raw.clone(), digests).slices().concat()).collect::<Vec<u8>>();
        let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
        let mut decoder = decoder(digests);
        let decoded = decode(&mut decoder, &pieces);
        prop_assert_eq!(decoded, raws.into_iter().map(Ok).collect::<Vec<_>>());
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    /// CRC32C finds every single damaged byte; nothing damaged is ever delivered.
    #[test]
    fn a_damaged_byte_is_found(pdu in pdu(), at in any::<proptest::sample::Index>(), flip in 1_u8..) {
        let digests = Digests { header: true, data: true };
        let mut bytes = encode(pdu.into_raw(), digests).slices().concat();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        for result in decode(&mut decoder(digests), &[&bytes]) {
            prop_assert!(result.is_err(), "delivered in spite of byte {at}");
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..4096), digests in digests(), small in any::<bool>(),
    ) {
        // Lengths that fit make the decoder go on; otherwise nearly all noise ends at the first header.
        let mut bytes = bytes;
        if small {
            for at in (0..bytes.len().saturating_sub(8)).step_by(48) {
                bytes[at + 4..at + 7].fill(0);
            }
        }
        let mut decoder = decoder(digests);
        decode(&mut decoder, &[&bytes]);
        prop_assert!(decoder.buffer().capacity() <= (MAX_DATA_SEGMENT as usize) + (32 << 10));
    }
}

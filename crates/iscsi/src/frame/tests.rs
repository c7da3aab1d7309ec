//! Tests of framing: bytes on the wire, digests, limits, memory.

use super::*;
use crate::pdu::{
    Cid, InitiatorTaskTag, LogoutReason, LogoutRequest, LunField, NopOut, Pdu, RawPdu, ScsiCommand,
    TargetTransferTag, TaskAttribute,
};
use crate::serial::SerialNumber32;
use bytes::{Buf, BufMut, Bytes};

const BOTH: Digests = Digests {
    header: true,
    data: true,
};

fn nop(data: impl Into<Bytes>) -> RawPdu {
    let pdu = NopOut {
        immediate: false,
        lun: LunField::default(),
        initiator_task_tag: InitiatorTaskTag(1),
        target_transfer_tag: TargetTransferTag::RESERVED,
        cmd_sn: SerialNumber32(2),
        exp_stat_sn: SerialNumber32(3),
        data: data.into(),
    };
    pdu.into_raw()
}

fn command_with_additional_headers() -> RawPdu {
    let command = ScsiCommand {
        immediate: false,
        final_bit: true,
        read: true,
        write: true,
        attribute: TaskAttribute::Simple,
        lun: LunField::default(),
        initiator_task_tag: InitiatorTaskTag(1),
        expected_data_transfer_length: 512,
        cmd_sn: SerialNumber32(2),
        exp_stat_sn: SerialNumber32(3),
        cdb: [0x7f; 16],
        extended_cdb: Bytes::from_static(&[7; 16]),
        bidirectional_read_length: Some(512),
        data: Bytes::from_static(b"immediate"),
    };
    command.into_raw()
}

fn wire(pdu: RawPdu, digests: Digests) -> Vec<u8> {
    let frame = encode(pdu, digests);
    let bytes = frame.slices().concat();
    assert_eq!(bytes.len(), frame.len());
    bytes
}

fn decoder(digests: Digests) -> Decoder {
    let mut decoder = Decoder::new(1 << 20);
    decoder.set_digests(digests);
    decoder
}

/// Feeds bytes as a driver does: never more than the spare capacity at once.
fn feed(decoder: &mut Decoder, mut bytes: &[u8]) -> Vec<Result<RawPdu, FrameError>> {
    let mut decoded = Vec::new();
    while !bytes.is_empty() {
        let buffer = decoder.buffer();
        let len = bytes.len().min(buffer.capacity() - buffer.len());
        assert!(len > 0, "the buffer always has spare capacity");
        buffer.put_slice(&bytes[..len]);
        bytes.advance(len);
        while let Some(result) = decoder.decode().transpose() {
            let fatal = result.as_ref().is_err_and(FrameError::is_fatal);
            decoded.push(result);
            if fatal {
                return decoded;
            }
        }
    }
    decoded
}

#[test]
fn bytes_without_digests() {
    let bytes = wire(nop("ping!"), Digests::default());
    assert_eq!(bytes.len(), 48 + 8);
    assert_eq!(bytes[4..8], [0, 0, 0, 5]);
    assert_eq!(&bytes[48..], b"ping!\0\0\0");
}

/// 32 zero bytes of data give `aa 36 91 8a`, right behind the data.
#[test]
fn bytes_of_digests() {
    let bytes = wire(nop(vec![0; 32]), BOTH);
    assert_eq!(bytes.len(), 48 + 4 + 32 + 4);
    assert_eq!(bytes[84..], [0xaa, 0x36, 0x91, 0x8a]);
    assert_eq!(bytes[48..52], crc32c::crc32c(&bytes[..48]).to_le_bytes());
}

#[test]
fn an_empty_data_segment_has_no_digest() {
    assert_eq!(wire(nop(""), BOTH).len(), 48 + 4);
    let data_only = Digests {
        header: false,
        data: true,
    };
    assert_eq!(wire(nop(""), data_only).len(), 48);
}

#[test]
fn padding_is_under_the_data_digest() {
    let bytes = wire(nop("a"), BOTH);
    assert_eq!(bytes[52..56], *b"a\0\0\0");
    assert_eq!(bytes[56..], crc32c::crc32c(b"a\0\0\0").to_le_bytes());
}

#[test]
fn the_header_digest_covers_additional_headers() {
    let pdu = command_with_additional_headers();
    let bytes = wire(pdu.clone(), BOTH);
    assert_eq!(bytes[4], 7);
    assert_eq!(bytes[76..80], crc32c::crc32c(&bytes[..76]).to_le_bytes());
    assert_eq!(feed(&mut decoder(BOTH), &bytes), [Ok(pdu)]);
    for at in 48..76 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let error = feed(&mut decoder(BOTH), &damaged);
        assert!(
            matches!(error[..], [Err(FrameError::HeaderDigest { .. })]),
            "byte {at}"
        );
    }
}

#[test]
fn the_encoder_writes_the_true_lengths() {
    let mut pdu = nop("12345678");
    pdu.bhs[4..8].fill(0xff);
    let bytes = wire(pdu, Digests::default());
    assert_eq!(bytes[4..8], [0, 0, 0, 8]);
}

#[test]
fn a_frame_knows_what_is_written() {
    let mut frame = encode(nop("ping!"), BOTH);
    let whole = frame.slices().concat();
    for written in 0..whole.len() {
        assert_eq!(frame.slices().concat(), whole[written..]);
        assert_eq!(frame.remaining(), whole.len() - written);
        assert_eq!(frame.chunk()[0], whole[written]);
        frame.advance(1);
    }
    assert_eq!(
        (frame.remaining(), frame.chunk().len(), frame.len()),
        (0, 0, whole.len())
    );
}

#[test]
fn bytes_may_arrive_one_at_a_time() {
    let pdus = [
        nop(""),
        command_with_additional_headers(),
        nop("1"),
        nop(vec![9; 5000]),
    ];
    let mut decoder = decoder(BOTH);
    let mut decoded = Vec::new();
    for pdu in pdus.clone() {
        for byte in wire(pdu, BOTH) {
            decoded.extend(feed(&mut decoder, &[byte]));
        }
    }
    assert_eq!(decoded, pdus.map(Ok));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_data_digest_error_costs_one_pdu() {
    let mut bytes = wire(nop(vec![1; 1000]), BOTH);
    bytes[500] ^= 0x10;
    let bhs = *bytes.first_chunk().unwrap();
    bytes.extend(wire(nop("next"), BOTH));
    let decoded = feed(&mut decoder(BOTH), &bytes);
    assert_eq!(decoded, [Err(FrameError::DataDigest { bhs }), Ok(nop("next"))]);
}

#[test]
fn a_header_digest_error_is_final() {
    let mut bytes = wire(nop(""), BOTH);
    bytes[20] ^= 0x10;
    bytes.extend(wire(nop("next"), BOTH));
    let mut decoder = decoder(BOTH);
    let decoded = feed(&mut decoder, &bytes);
    assert!(matches!(decoded[..], [Err(FrameError::HeaderDigest { .. })]));
    assert_eq!(
        decoder.decode().map(Some),
        decoded[0].clone().map(|pdu| Some(Some(pdu)))
    );
}

/// The length is looked at before memory is asked for, and after the header digest has vouched for it.
#[test]
fn a_data_segment_beyond_the_limit_is_refused_by_its_header() {
    let bytes = wire(nop(vec![0; 101]), Digests::default());
    let mut decoder = Decoder::new(100);
    let decoded = feed(&mut decoder, &bytes[..48]);
    assert_eq!(
        decoded,
        [Err(FrameError::DataSegmentTooLong { len: 101, max: 100 })]
    );
    assert!(decoder.buffer().capacity() < 20_000);

    let mut damaged = wire(nop(vec![0; 101]), BOTH);
    damaged[5] = 0xff;
    let mut decoder = Decoder::new(100);
    decoder.set_digests(BOTH);
    let decoded = feed(&mut decoder, &damaged[..52]);
    assert!(matches!(decoded[..], [Err(FrameError::HeaderDigest { .. })]));
}

/// A login's last response ends the time without digests, with the next PDU already in the buffer.
#[test]
fn digests_start_between_two_pdus() {
    let mut decoder = Decoder::new(8192);
    let bytes = [wire(nop("login"), Digests::default()), wire(nop("after"), BOTH)].concat();
    decoder.buffer().put_slice(&bytes);
    assert_eq!(decoder.decode(), Ok(Some(nop("login"))));
    decoder.set_digests(BOTH);
    assert_eq!(decoder.decode(), Ok(Some(nop("after"))));
}

#[test]
fn a_stream_that_ends_inside_a_pdu() {
    let mut decoder = Decoder::new(8192);
    assert_eq!(
        feed(&mut decoder, &wire(nop("cut"), Digests::default())[..50]),
        []
    );
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { received: 50 }));
}

#[test]
fn data_is_split_off_without_a_copy() {
    let mut decoder = Decoder::new(1 << 20);
    let bytes = wire(nop(vec![3; 4096]), Digests::default());
    let buffer = decoder.buffer();
    buffer.put_slice(&bytes);
    let received_at = buffer[48..].as_ptr();
    let pdu = decoder.decode().unwrap().unwrap();
    assert_eq!(pdu.data.as_ptr(), received_at);
}

/// Small data (sense, pings, texts) must not keep a whole receive block alive.
#[test]
fn small_data_does_not_pin_the_receive_block() {
    let mut decoder = Decoder::new(1 << 20);
    let buffer = decoder.buffer();
    buffer.put_slice(&wire(nop(vec![3; 200]), Digests::default()));
    let received_at = buffer[48..].as_ptr();
    let pdu = decoder.decode().unwrap().unwrap();
    assert_ne!(pdu.data.as_ptr(), received_at);
}

/// While data flows reads get long; pings alone bring an idle connection back below 64 KiB, `release` at once.
#[test]
fn the_receive_buffer_follows_the_load() {
    let mut decoder = Decoder::new(1 << 20);
    assert!(decoder.buffer().capacity() <= 16 << 10);
    let long = wire(nop(vec![5; 256 << 10]), Digests::default());
    for _ in 0..20 {
        assert_eq!(feed(&mut decoder, &long).len(), 1);
    }
    assert!(decoder.buffer().capacity() >= 256 << 10);
    let ping = wire(nop(""), Digests::default());
    for _ in 0..6 {
        assert_eq!(feed(&mut decoder, &ping).len(), 1);
    }
    assert!(decoder.buffer().capacity() <= 64 << 10);
    decoder.release();
    assert!(decoder.buffer().capacity() <= 16 << 10);
}

/// Long PDUs end up in a buffer of their own size: what is copied is a partial header, not half a megabyte.
#[test]
fn long_pdus_are_not_moved_about() {
    let mut decoder = Decoder::new(1 << 20);
    let long = wire(nop(vec![5; 256 << 10]), Digests::default());
    let stream = long.repeat(20);
    let mut rest = stream.as_slice();
    let mut reads = 0;
    while !rest.is_empty() {
        let buffer = decoder.buffer();
        let len = rest.len().min(buffer.capacity() - buffer.len());
        buffer.put_slice(&rest[..len]);
        rest.advance(len);
        reads += 1;
        while decoder.decode().unwrap().is_some() {}
    }
    assert!(reads <= 60, "{reads} reads for 20 PDUs");
}

#[test]
fn a_pdu_without_data_is_only_a_header() {
    let logout = LogoutRequest {
        immediate: true,
        reason: LogoutReason::CloseSession,
        initiator_task_tag: InitiatorTaskTag(9),
        cid: Cid(0),
        cmd_sn: SerialNumber32(1),
        exp_stat_sn: SerialNumber32(1),
    };
    let bytes = wire(logout.clone().into_raw(), Digests::default());
    assert_eq!(bytes.len(), 48);
    let mut decoded = feed(&mut Decoder::new(0), &bytes);
    assert_eq!(
        Pdu::parse(decoded.remove(0).unwrap()),
        Ok(Pdu::LogoutRequest(logout))
    );
}

/// Also for a driver that reads again before it decodes: a read into no space would look like the end of the stream.
#[test]
fn the_buffer_always_has_spare_capacity() {
    let mut decoder = Decoder::new(1 << 20);
    let bytes = wire(nop(vec![5; 100_000]), Digests::default());
    decoder.buffer().put_slice(&bytes[..48]);
    assert_eq!(decoder.decode(), Ok(None));
    // The room that was made for the PDU is filled to its last byte.
    let buffer = decoder.buffer();
    let spare = buffer.capacity() - buffer.len();
    assert!(spare >= 100_000);
    buffer.put_bytes(0, spare);
    let buffer = decoder.buffer();
    assert!(buffer.capacity() > buffer.len());
}

//! Reads: order, bounds, residuals, damage.

use super::*;
use crate::frame::FrameError;

#[test]
fn pieces_are_collected_without_a_copy() {
    static FIRST: [u8; 512] = [1; 512];
    let mut fixture = Fixture::new();
    let (tag, command) = fixture.send(TaskData::In(1024));
    assert!(command.read && !command.write && command.final_bit);
    assert_eq!(command.expected_data_transfer_length, 1024);
    let first = fixture.data_in(tag, 0, 0, &FIRST);
    let second = fixture.data_in(tag, 1, 512, &[2; 512]);
    fixture.take(first).unwrap();
    let second = fixture.with_status(second, Residual::None);
    fixture.take(second).unwrap();
    let completion = fixture.completion().1.unwrap();
    let pieces: Vec<Bytes> = completion.data.into_iter().collect();
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1], Bytes::from_static(&[2; 512]));
    assert_eq!(pieces[0].len(), 512);
    assert_eq!((completion.underflow_bytes, completion.overflow_bytes), (0, 0));
}

#[test]
fn residuals_are_told_and_missing_bytes_counted() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::In(1024));
    let pdu = fixture.data_in(tag, 0, 0, &[7; 96]);
    let pdu = fixture.with_status(pdu, Residual::Underflow(928));
    fixture.take(pdu).unwrap();
    let completion = fixture.completion().1.unwrap();
    assert_eq!((completion.data.len(), completion.underflow_bytes), (96, 928));

    // A target that sends less and does not say so.
    let (tag, _) = fixture.send(TaskData::In(1024));
    let pdu = fixture.data_in(tag, 0, 0, &[7; 96]);
    let pdu = fixture.with_status(pdu, Residual::None);
    fixture.take(pdu).unwrap();
    assert_eq!(fixture.completion().1.unwrap().underflow_bytes, 928);

    // One that has more.
    let (tag, _) = fixture.send(TaskData::In(4));
    let pdu = fixture.data_in(tag, 0, 0, &[7; 4]);
    let pdu = fixture.with_status(pdu, Residual::Overflow(28));
    fixture.take(pdu).unwrap();
    assert_eq!(fixture.completion().1.unwrap().overflow_bytes, 28);

    // One that claims that less is valid than it sent.
    let (tag, _) = fixture.send(TaskData::In(64));
    let pdu = fixture.data_in(tag, 0, 0, &[7; 64]);
    let pdu = fixture.with_status(pdu, Residual::Underflow(60));
    fixture.take(pdu).unwrap();
    assert_eq!(fixture.completion().1.unwrap().data.len(), 4);
}

#[test]
fn gaps_overlaps_and_overruns_end_the_connection() {
    type Change = fn(&mut DataIn);
    let cases: [(Change, &str); 5] = [
        (|pdu| pdu.data_sn = SerialNumber32(2), "DataSN 2 came where 1"),
        (|pdu| pdu.buffer_offset = 500, "offset 500 where 512"),
        (|pdu| pdu.buffer_offset = 520, "offset 520 where 512"),
        (|pdu| pdu.data = Bytes::from_static(&[0; 513]), "exceeds the 1024"),
        (|pdu| pdu.buffer_offset = u32::MAX, "where 512"),
    ];
    for (change, expected) in cases {
        let mut fixture = Fixture::new();
        let (tag, _) = fixture.send(TaskData::In(1024));
        let first = fixture.data_in(tag, 0, 0, &[0; 512]);
        fixture.take(first).unwrap();
        let mut pdu = fixture.data_in(tag, 1, 512, &[0; 512]);
        change(&mut pdu);
        let error = violation(fixture.take(pdu)).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn data_for_a_command_that_reads_nothing_ends_the_connection() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(out(512));
    let pdu = fixture.data_in(tag, 0, 0, &[0; 512]);
    assert_eq!(violation(fixture.take(pdu)), Violation::DataInForNonRead { tag });
}

#[test]
fn damaged_data_fail_their_task_only() {
    let mut fixture = Fixture::new();
    let (damaged, _) = fixture.send(TaskData::In(1024));
    let (other, _) = fixture.send(TaskData::In(512));
    let raw: RawPdu = fixture.data_in(damaged, 0, 0, &[0; 512]).into();
    fixture
        .connection
        .handle_frame_error(fixture.now, FrameError::DataDigest { bhs: raw.bhs })
        .unwrap();
    let second = fixture.data_in(damaged, 1, 512, &[0; 512]);
    let second = fixture.with_status(second, Residual::None);
    fixture.take(second).unwrap();
    assert_eq!(fixture.completion(), (damaged, Err(TaskError::DataDigest)));
    let pdu = fixture.data_in(other, 0, 0, &[5; 512]);
    let pdu = fixture.with_status(pdu, Residual::None);
    fixture.take(pdu).unwrap();
    assert!(fixture.completion().1.is_ok());
}

#[test]
fn damaged_sense_data_are_no_status() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::None);
    let response = fixture.response(tag, CHECK_CONDITION);
    let raw: RawPdu = ScsiResponse {
        sense: Bytes::from_static(&[0x70; 18]),
        ..response
    }
    .into();
    fixture
        .connection
        .handle_frame_error(fixture.now, FrameError::DataDigest { bhs: raw.bhs })
        .unwrap();
    assert_eq!(fixture.completion(), (tag, Err(TaskError::SenseLost)));
}

#[test]
fn a_header_digest_error_ends_the_connection() {
    let mut fixture = Fixture::new();
    let error = FrameError::HeaderDigest {
        received: [0; 4],
        computed: [1; 4],
    };
    let result = fixture.connection.handle_frame_error(fixture.now, error.clone());
    assert_eq!(result, Err(ConnectionError::Frame(error)));
}

/// Each piece costs memory beyond its data, so a hostile target must not choose how many there are.
#[test]
fn a_flood_of_tiny_pieces_ends_the_connection() {
    for piece in [&[7_u8][..], &[]] {
        let mut fixture = Fixture::new();
        let (tag, _) = fixture.send(TaskData::In(1024));
        let flood = (0..1024_u32).find_map(|number| {
            let offset = number * piece.len() as u32;
            let pdu = fixture.data_in(tag, number, offset, piece);
            let refused = fixture.take(pdu).err()?;
            Some((number, refused))
        });
        let expected = Violation::DataInFlood { tag, max: 66 };
        assert_eq!(flood, Some((66, expected.into())));
    }
}

//! Writes: immediate, unsolicited and solicited data, and what an R2T may ask for.

use super::*;

fn parameters(initial_r2t: bool, immediate_data: bool) -> Parameters {
    Parameters {
        initial_r2t,
        immediate_data,
        first_burst_length: 2048,
        max_burst_length: 4096,
        max_send_data_segment_length: 1024,
        max_outstanding_r2t: 2,
        ..Parameters::default()
    }
}

/// What leaves for a write of 8 KiB before any R2T: (immediate, F bit of the command, unsolicited pieces).
fn first_burst(initial_r2t: bool, immediate_data: bool) -> (usize, bool, Vec<usize>) {
    let mut fixture = Fixture::with(parameters(initial_r2t, immediate_data));
    let (_, command) = fixture.send(out(8192));
    let mut pieces = Vec::new();
    while let Some(Pdu::DataOut(pdu)) = fixture.transmit() {
        assert!(pdu.target_transfer_tag.is_reserved());
        assert_eq!(
            pdu.buffer_offset as usize,
            command.data.len() + pieces.iter().sum::<usize>()
        );
        assert_eq!(pdu.data_sn.0 as usize, pieces.len());
        pieces.push(pdu.data.len());
    }
    (command.data.len(), command.final_bit, pieces)
}

#[test]
fn all_combinations_of_initial_r2t_and_immediate_data() {
    assert_eq!(first_burst(true, true), (1024, true, vec![]));
    assert_eq!(first_burst(true, false), (0, true, vec![]));
    assert_eq!(first_burst(false, true), (1024, false, vec![1024]));
    assert_eq!(first_burst(false, false), (0, false, vec![1024, 1024]));
}

#[test]
fn a_short_write_goes_with_its_command() {
    let mut fixture = Fixture::with(parameters(false, true));
    let (tag, command) = fixture.send(out(512));
    assert!(command.write && command.final_bit && command.data.len() == 512);
    assert!(fixture.transmit().is_none());
    fixture.respond(tag, 0).unwrap();
    assert_eq!(fixture.completion().1.unwrap().underflow_bytes, 0);
}

#[test]
fn an_r2t_is_answered_by_one_burst_without_a_copy() {
    let mut fixture = Fixture::with(parameters(true, false));
    let TaskData::Out(bytes) = out(3000) else {
        unreachable!()
    };
    let (tag, _) = fixture.send(TaskData::Out(bytes.clone()));
    let r2t = fixture.r2t(tag, 0, 0, 3000);
    fixture.take(r2t).unwrap();
    for (data_sn, range) in [(0, 0..1024), (1, 1024..2048), (2, 2048..3000)] {
        let pdu = fixture.data_out();
        assert_eq!(pdu.data.as_ptr(), bytes[range.clone()].as_ptr());
        assert_eq!(pdu.data, bytes[range.clone()]);
        assert_eq!(
            (pdu.data_sn.0, pdu.buffer_offset as usize),
            (data_sn, range.start)
        );
        assert_eq!(pdu.target_transfer_tag, TargetTransferTag(0x70));
        assert_eq!((pdu.lun, pdu.final_bit), (LUN, data_sn == 2));
    }
    fixture.respond(tag, 0).unwrap();
    assert_eq!(fixture.completion().1.unwrap().underflow_bytes, 0);
}

#[test]
fn good_status_for_a_write_that_was_not_fetched_shows_as_underflow() {
    let mut fixture = Fixture::with(parameters(true, true));
    let (tag, _) = fixture.send(out(8192));
    fixture.respond(tag, 0).unwrap();
    assert_eq!(fixture.completion().1.unwrap().underflow_bytes, 8192 - 1024);
}

#[test]
fn r2ts_that_the_rfc_forbids_end_the_connection() {
    // R2TSN, offset and length of each R2T; the last one is refused.
    type Case = (&'static [(u32, u32, u32)], &'static str);
    let cases: [Case; 9] = [
        (&[(1, 0, 512)], "R2TSN 1 came where 0"),
        (&[(0, 0, 512), (2, 512, 512)], "R2TSN 2 came where 1"),
        (&[(0, 0, 4097)], "where 1 to 4096 are legal"),
        (&[(0, 8000, 512)], "exceeds the 8192 bytes"),
        (&[(0, 0xffff_ff00, 512)], "beyond the longest possible transfer"),
        (&[(0, 512, 512)], "offset 512 where 0"),
        (&[(0, 0, 512), (1, 0, 512)], "offset 0 where 512"),
        (&[(0, 0, 512), (1, 512, 512), (2, 1024, 512)], "more than 2 R2Ts"),
        (&[(0, 8192, 512)], "exceeds the 8192 bytes"),
    ];
    for (r2ts, expected) in cases {
        let mut fixture = Fixture::with(parameters(true, false));
        let (tag, _) = fixture.send(out(8192));
        let (last, before) = r2ts.split_last().unwrap();
        for (r2t_sn, offset, len) in before {
            let r2t = fixture.r2t(tag, *r2t_sn, *offset, *len);
            fixture.take(r2t).unwrap();
        }
        let r2t = fixture.r2t(tag, last.0, last.1, last.2);
        let error = fixture.take(r2t).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_r2t_for_no_bytes_ends_the_connection() {
    let mut fixture = Fixture::with(parameters(true, false));
    let (tag, _) = fixture.send(out(8192));
    let r2t = fixture.r2t(tag, 0, 0, 0);
    assert!(fixture.take(r2t).is_err());
}

#[test]
fn an_r2t_for_a_read_or_after_the_response_ends_the_connection() {
    let mut fixture = Fixture::new();
    let (tag, _) = fixture.send(TaskData::In(512));
    let r2t = fixture.r2t(tag, 0, 0, 512);
    assert_eq!(violation(fixture.take(r2t)), Violation::R2tForNonWrite { tag });

    let mut fixture = Fixture::with(parameters(true, false));
    let (tag, _) = fixture.send(out(512));
    fixture.respond(tag, 0).unwrap();
    let r2t = fixture.r2t(tag, 0, 0, 512);
    assert_eq!(violation(fixture.take(r2t)), Violation::R2tAfterResponse { tag });
}

#[test]
fn sending_a_burst_makes_room_for_the_next_r2t() {
    let mut fixture = Fixture::with(parameters(true, false));
    let (tag, _) = fixture.send(out(8192));
    for number in 0..8 {
        let r2t = fixture.r2t(tag, number, number * 1024, 1024);
        fixture.take(r2t).unwrap();
        assert!(fixture.data_out().final_bit);
    }
}

#[test]
fn a_status_in_the_middle_of_a_burst_stops_it() {
    let mut fixture = Fixture::with(parameters(true, false));
    let (tag, _) = fixture.send(out(4096));
    let r2t = fixture.r2t(tag, 0, 0, 4096);
    fixture.take(r2t).unwrap();
    fixture.data_out();
    fixture.respond(tag, CHECK_CONDITION).unwrap();
    assert!(fixture.transmit().is_none());
}

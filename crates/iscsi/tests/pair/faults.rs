//! Faults on the way: damaged, lost and late bytes cost a command or the connection, and never deliver wrong data.

use crate::disk::{BLOCK_LEN, SENSE_CRC};
use crate::harness::{Pair, connect, pattern};
use crate::link::{Fate, Flow};
use crate::setup::Setup;
use longshore_iscsi::frame::FrameError;
use longshore_iscsi::initiator::{ConnectionError, TaskData, TaskError, Violation};
use longshore_iscsi::pdu::Pdu;
use longshore_iscsi::target;
use std::time::Duration;

const HEADER_LEN: usize = 48;

/// Tampers with the first PDU that `chosen` picks.
fn tamper_once(
    pair: &mut Pair,
    chosen: impl Fn(&Pdu) -> bool + 'static,
    mut change: impl FnMut(&mut Vec<u8>) -> Fate + 'static,
) {
    let mut done = false;
    pair.link.tamper = Some(Box::new(move |_, pdu, bytes| {
        if done || !chosen(pdu) {
            return Fate::Arrives;
        }
        done = true;
        change(bytes)
    }));
}

fn flip(at: usize) -> impl FnMut(&mut Vec<u8>) -> Fate {
    move |bytes| {
        bytes[at] ^= 0x04;
        Fate::Arrives
    }
}

fn digests() -> Pair {
    connect(&Setup::small(true, true, true, true)).expect("a login")
}

#[test]
fn a_damaged_header_ends_the_connection_for_the_initiator() {
    let mut pair = digests();
    tamper_once(&mut pair, |pdu| matches!(pdu, Pdu::DataIn(_)), flip(41));
    let read = pair.read(0, 8);
    pair.drive();
    let error = pair.initiator_error.clone();
    assert!(
        matches!(
            error,
            Some(ConnectionError::Frame(FrameError::HeaderDigest { .. }))
        ),
        "{error:?}"
    );
    assert_eq!(pair.take(read), None, "its outcome is unknown");
}

#[test]
fn a_damaged_header_ends_the_connection_for_the_target() {
    let mut pair = digests();
    tamper_once(&mut pair, |pdu| matches!(pdu, Pdu::ScsiCommand(_)), flip(35));
    pair.write(0, &pattern(1, BLOCK_LEN));
    pair.drive();
    let error = pair.target_error.clone();
    assert!(
        matches!(
            error,
            Some(target::ConnectionError::Frame(FrameError::HeaderDigest { .. }))
        ),
        "{error:?}"
    );
    assert_eq!(pair.disk.bytes[..BLOCK_LEN], [0; BLOCK_LEN]);
}

/// At error recovery level 0 damaged Data-In fails its task, is never delivered, and the others go on (§7.8).
#[test]
fn damaged_data_in_fails_its_task_only() {
    let mut pair = digests();
    tamper_once(
        &mut pair,
        |pdu| matches!(pdu, Pdu::DataIn(_)),
        flip(HEADER_LEN + 4 + 99),
    );
    let damaged = pair.read(0, 8);
    let sound = pair.read(8, 8);
    pair.drive();
    assert_eq!(pair.take(damaged), Some(Err(TaskError::DataDigest)));
    pair.take_good(sound);
}

/// The status came, but nobody knows what the target reported: neither success nor that sense data.
#[test]
fn damaged_sense_data_are_not_delivered() {
    let mut pair = digests();
    tamper_once(
        &mut pair,
        |pdu| matches!(pdu, Pdu::ScsiResponse(_)),
        flip(HEADER_LEN + 4 + 5),
    );
    let damaged = pair.submit([0xee; 16], TaskData::None, None);
    let sound = pair.read(8, 8);
    pair.drive();
    assert_eq!(pair.take(damaged), Some(Err(TaskError::SenseLost)));
    pair.take_good(sound);
}

/// Damaged Data-Out ends its command with ABORTED COMMAND, 47/05; the connection goes on (§7.8).
#[test]
fn damaged_data_out_fails_its_command_only() {
    let mut pair = connect(&Setup::small(true, false, true, true)).unwrap();
    tamper_once(
        &mut pair,
        |pdu| matches!(pdu, Pdu::DataOut(_)),
        flip(HEADER_LEN + 4 + 99),
    );
    let damaged = pair.write(0, &pattern(1, 16 * BLOCK_LEN));
    let sound = pair.write(100, &pattern(2, 16 * BLOCK_LEN));
    pair.drive();
    pair.assert_alive();
    let completion = pair.take(damaged).expect("ended").expect("with a status");
    assert_eq!((completion.status, &completion.sense[..]), (2, SENSE_CRC));
    pair.take_good(sound);
    assert_eq!(pair.target.open_commands(), 0);
}

/// Nobody knows which CDB came with it, so a damaged command cannot be answered as a command.
#[test]
fn damaged_immediate_data_end_the_connection() {
    let mut pair = digests();
    let immediate = |pdu: &Pdu| matches!(pdu, Pdu::ScsiCommand(command) if !command.data.is_empty());
    tamper_once(&mut pair, immediate, flip(HEADER_LEN + 4));
    pair.write(0, &pattern(1, BLOCK_LEN));
    pair.drive();
    let error = pair.target_error.clone();
    assert!(
        matches!(
            error,
            Some(target::ConnectionError::Frame(FrameError::DataDigest { .. }))
        ),
        "{error:?}"
    );
    assert_eq!(pair.count(|pdu| matches!(pdu, Pdu::Reject(_))), 1);
    assert_eq!(pair.disk.bytes[..BLOCK_LEN], [0; BLOCK_LEN]);
}

#[test]
fn a_status_that_never_came_is_noticed_by_the_next() {
    let mut pair = digests();
    tamper_once(
        &mut pair,
        |pdu| matches!(pdu, Pdu::ScsiResponse(_)),
        |_| Fate::Lost,
    );
    let lost = pair.write(0, &pattern(1, BLOCK_LEN));
    pair.drive();
    pair.assert_alive();
    pair.write(1, &pattern(2, BLOCK_LEN));
    pair.drive();
    let error = pair.initiator_error.clone();
    assert!(
        matches!(error, Some(ConnectionError::Violation(Violation::StatSn { .. }))),
        "{error:?}"
    );
    assert_eq!(pair.take(lost), None, "its outcome is unknown");
}

#[test]
fn data_in_that_never_came_is_noticed() {
    let mut pair = digests();
    tamper_once(&mut pair, |pdu| matches!(pdu, Pdu::DataIn(_)), |_| Fate::Lost);
    let read = pair.read(0, 8);
    pair.drive();
    let error = pair.initiator_error.clone();
    assert!(
        matches!(error, Some(ConnectionError::Violation(Violation::DataSn { .. }))),
        "{error:?}"
    );
    assert_eq!(pair.take(read), None);
}

/// A gap in the data is no data: the command fails, and what follows it goes on (§7.9).
#[test]
fn data_out_that_never_came_fails_its_command() {
    let mut pair = connect(&Setup::small(true, false, true, true)).unwrap();
    tamper_once(&mut pair, |pdu| matches!(pdu, Pdu::DataOut(_)), |_| Fate::Lost);
    let gap = pair.write(0, &pattern(1, 16 * BLOCK_LEN));
    let sound = pair.write(100, &pattern(2, 16 * BLOCK_LEN));
    pair.drive();
    let completion = pair.take(gap).expect("ended").expect("with a status");
    assert_eq!((completion.status, &completion.sense[..]), (2, SENSE_CRC));
    pair.take_good(sound);
}

/// The known failure behind it: an initiator that waits for ever for a target that has gone without a word.
#[test]
fn a_cut_cable_is_noticed_by_both_sides_in_bounded_time() {
    let mut pair = connect(&Setup::default()).unwrap();
    let read = pair.read(0, 1);
    pair.drive();
    pair.take_good(read);
    pair.link.cut();
    let stuck = pair.read(1, 1);
    pair.advance(Duration::from_secs(9));
    pair.assert_alive();
    pair.advance(Duration::from_secs(2));
    assert_eq!(pair.initiator_error, Some(ConnectionError::KeepaliveTimeout));
    assert_eq!(pair.take(stuck), None, "its outcome is unknown");
    pair.advance(Duration::from_secs(30));
    assert!(
        matches!(pair.target_error, Some(target::ConnectionError::Dead { .. })),
        "{:?}",
        pair.target_error
    );
}

/// A slow line is no dead one.
#[test]
fn latency_alone_harms_nothing() {
    let mut pair = connect(&Setup {
        latency: Duration::from_millis(1500),
        ..Setup::default()
    })
    .unwrap();
    let bytes = pattern(9, 100 * BLOCK_LEN);
    let write = pair.write(0, &bytes);
    pair.advance(Duration::from_secs(60));
    pair.take_good(write);
    let read = pair.read(0, 100);
    pair.advance(Duration::from_secs(60));
    assert!(pair.take_good(read) == bytes);
}

/// One damaged byte anywhere in a session: whatever still ends with GOOD status has moved the right bytes.
#[test]
fn no_damage_is_ever_delivered_as_data() {
    let session = |damage: Option<(usize, usize)>| {
        let mut pair = connect(&Setup::small(false, true, true, true)).unwrap();
        let mut sent = 0;
        pair.link.tamper = Some(Box::new(move |_, _, bytes| {
            if let Some((_, at)) = damage.filter(|(pdu, _)| *pdu == sent) {
                let at = at % bytes.len();
                bytes[at] ^= 0x80;
            }
            sent += 1;
            Fate::Arrives
        }));
        let first = pair.link.trace.len();
        let writes: Vec<_> = (0..3)
            .map(|n| pair.write(n * 32, &pattern(n, 12 * BLOCK_LEN)))
            .collect();
        pair.drive();
        for (n, write) in (0..).zip(writes) {
            let good = matches!(pair.take(write), Some(Ok(completion)) if completion.status == 0);
            let at = n as usize * 32 * BLOCK_LEN;
            let written = &pair.disk.bytes[at..at + 12 * BLOCK_LEN];
            assert!(
                !good || written == pattern(n, written.len()),
                "{damage:?}: write {n}"
            );
        }
        pair.disk.bytes[..17 * BLOCK_LEN].copy_from_slice(&pattern(77, 17 * BLOCK_LEN));
        if pair.initiator_error.is_none() && pair.target_error.is_none() {
            let read = pair.read(5, 12);
            pair.drive();
            if let Some(Ok(completion)) = pair.take(read) {
                let expected = &pair.disk.bytes[5 * BLOCK_LEN..17 * BLOCK_LEN];
                assert!(completion.data.into_bytes() == expected, "{damage:?}: read");
            }
        }
        pair.link.trace.len() - first
    };
    let pdus = session(None);
    assert!(pdus > 30, "{pdus} PDUs in an undamaged session");
    for pdu in 0..pdus {
        for at in [0, 1, 5, 7, 17, 41, 49, 52, 60, 333, 700, 750] {
            session(Some((pdu, at)));
        }
    }
}

/// Both directions carry what the other side sent: the trace has PDUs of both.
#[test]
fn the_link_knows_its_directions() {
    let mut pair = digests();
    let read = pair.read(0, 1);
    pair.drive();
    pair.take_good(read);
    for (flow, pdu) in &pair.link.trace {
        assert_eq!(*flow == Flow::ToInitiator, pdu.opcode().is_from_target(), "{pdu}");
    }
}

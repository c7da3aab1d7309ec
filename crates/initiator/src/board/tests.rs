//! The board alone: what is given up, what is put in front of what, and which flush must tell.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_iscsi::initiator::{Completion, Segments};
use longshore_iscsi::pdu::InitiatorTaskTag;
use longshore_scsi::cdb::Cdb;
use longshore_scsi::lun::Lun;
use longshore_scsi::sense::{Asc, Sense, SenseKey};
use tokio::sync::oneshot;

use super::{Board, Recovered, SWEEP_AT};
use crate::command::{Command, Data, Response};
use crate::error::UnitError;
use crate::identity::{Geometry, Identity};
use crate::request::{Entry, Origin};
use crate::unit::UnitShared;

type Answer = oneshot::Receiver<Result<Response, UnitError>>;

fn board(now: Instant) -> Board {
    let mut board = Board::new(Duration::from_secs(3600), Arc::new(AtomicU64::new(0)));
    let text = String::new;
    let identity = Identity {
        wwid: Some("naa.5000000000000001".parse().unwrap()),
        vendor: text(),
        product: text(),
        revision: text(),
        serial: None,
    };
    let geometry = Geometry {
        block_size_bytes: 512,
        physical_block_size_bytes: 512,
        size_bytes: 1 << 20,
        read_only: false,
        write_cache: true,
        max_transfer_bytes: 1 << 20,
        optimal_transfer_bytes: 0,
        unmap: false,
        write_same: false,
        max_write_same_bytes: 0,
        unmapped_reads_zero: false,
    };
    let unit = UnitShared::new(Lun::default(), identity, geometry, 1 << 20);
    board.open(now, Arc::new(unit), 0).unwrap();
    board
}

fn submit(board: &mut Board, now: Instant, cdb: Cdb, data: Data) -> Answer {
    let (reply, answer) = oneshot::channel();
    let lun = Lun::default();
    let command = Command { lun, cdb, data };
    board.submit(now, Entry::new(command, Origin::Data, None, reply));
    answer
}

fn write(board: &mut Board, now: Instant, lba: u64, fill: u8) -> Answer {
    let data = Data::Out(Bytes::from(vec![fill; 512]));
    submit(board, now, Cdb::write(lba, 1, false), data)
}

fn next_fill(board: &mut Board, now: Instant) -> Option<u8> {
    let entry = board.next(now)?;
    let Data::Out(data) = &entry.command.data else {
        panic!("a write is expected");
    };
    let fill = data[0];
    board.sent(InitiatorTaskTag(u32::from(fill)), entry);
    Some(fill)
}

fn status(status: u8, sense: &'static [u8]) -> Completion {
    Completion {
        status,
        sense: Bytes::from_static(sense),
        data: Segments::new(),
        underflow_bytes: 0,
        overflow_bytes: 0,
    }
}

#[test]
fn a_write_that_is_given_up_before_it_leaves_blocks_nobody() {
    let now = Instant::now();
    let mut board = board(now);
    drop(write(&mut board, now, 0, 1));
    let waiting: Vec<Answer> = (0..SWEEP_AT as u64)
        .map(|number| write(&mut board, now, 1 + number, 2))
        .collect();
    let _again = write(&mut board, now, 0, 3);
    let mut fills = Vec::new();
    while let Some(fill) = next_fill(&mut board, now) {
        fills.push(fill);
    }
    assert_eq!(fills.len(), waiting.len() + 1);
    assert_eq!(fills.iter().filter(|fill| **fill == 3).count(), 1);
}

#[test]
fn overlapping_writes_keep_their_order_over_a_recovery() {
    let now = Instant::now();
    let mut board = board(now);
    let _answers = [write(&mut board, now, 0, 1), write(&mut board, now, 0, 2)];
    let sense = Sense::new(SenseKey::UnitAttention, Asc::REPORTED_LUNS_DATA_HAS_CHANGED);
    board.attention(Lun::default(), &sense);
    assert_eq!(next_fill(&mut board, now), None, "the gate is shut");
    let round = board.take_jobs().pop().unwrap().round;
    let outcome = Recovered::Same {
        replayed: 0,
        lost: None,
    };
    board.recovered(now, Lun::default(), round, outcome);
    assert_eq!(next_fill(&mut board, now), Some(1));
    assert_eq!(next_fill(&mut board, now), None);
    board.completed(now, InitiatorTaskTag(1), Ok(status(0, &[])));
    assert_eq!(next_fill(&mut board, now), Some(2));
}

#[test]
fn a_failed_flush_that_nobody_hears_of_makes_the_next_one_fail() {
    const MEDIUM_ERROR: [u8; 18] = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0];
    let now = Instant::now();
    let mut board = board(now);
    let mut flush = |tag: u32, is_heard: bool, completion: Completion| {
        let mut answer = Some(submit(&mut board, now, Cdb::synchronize_cache(), Data::None));
        let entry = board.next(now).unwrap();
        board.sent(InitiatorTaskTag(tag), entry);
        answer = answer.filter(|_| is_heard);
        board.completed(now, InitiatorTaskTag(tag), Ok(completion));
        answer.map(|mut answer| answer.try_recv().unwrap())
    };
    assert_eq!(flush(1, false, status(2, &MEDIUM_ERROR)), None);
    let told = flush(2, true, status(0, &[])).unwrap();
    assert!(matches!(told, Err(UnitError::WritesLost { .. })), "{told:?}");
    assert!(flush(3, true, status(0, &[])).unwrap().is_ok());
}

#[test]
fn why_io_waits_is_told_while_a_unit_is_not_ready() {
    const BECOMING_READY: [u8; 18] = [0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x04, 0x01, 0, 0, 0, 0];
    let mut now = Instant::now();
    let mut board = board(now);
    let unit = board.slots[&Lun::default()].shared.clone();
    let mut answer = write(&mut board, now, 0, 1);
    for _ in 0..3 {
        assert_eq!(next_fill(&mut board, now), Some(1));
        board.completed(now, InitiatorTaskTag(1), Ok(status(2, &BECOMING_READY)));
        let trouble = unit.trouble().unwrap();
        assert!(trouble.contains("not ready"), "{trouble}");
        now = board.poll_timeout().unwrap();
        board.handle_timeout(now);
    }
    assert!(answer.try_recv().is_err(), "it waits");
    assert_eq!(next_fill(&mut board, now), Some(1));
    board.completed(now, InitiatorTaskTag(1), Ok(status(0, &[])));
    assert!(answer.try_recv().unwrap().is_ok());
    assert_eq!(unit.trouble(), None);

    // Nobody waits any more, so nothing is told any more.
    let answer = write(&mut board, now, 8, 2);
    assert_eq!(next_fill(&mut board, now), Some(2));
    board.completed(now, InitiatorTaskTag(2), Ok(status(2, &BECOMING_READY)));
    assert!(unit.trouble().is_some());
    drop(answer);
    now = board.poll_timeout().unwrap();
    board.handle_timeout(now);
    assert_eq!(next_fill(&mut board, now), None);
    assert_eq!(unit.trouble(), None);
}

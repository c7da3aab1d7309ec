//! Reads and writes under every combination of what a login can agree on, and the rules that they must keep.

use crate::disk::{BLOCK_LEN, READ_10, SENSE_OPCODE, WRITE_10, cdb};
use crate::harness::{Pair, connect, pattern};
use crate::link::Flow;
use crate::setup::Setup;
use bytes::Bytes;
use longshore_iscsi::initiator::TaskData;
use longshore_iscsi::pdu::{InitiatorTaskTag, Pdu, TargetTransferTag};
use longshore_iscsi::serial::SerialNumber32;
use longshore_iscsi::target::Limits;
use std::collections::HashMap;
use std::time::Duration;

/// Each combination of InitialR2T, ImmediateData, HeaderDigest and DataDigest.
fn combinations() -> impl Iterator<Item = [bool; 4]> {
    (0..16).map(|bits| [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits & 8 != 0])
}

#[test]
fn writes_and_reads_in_every_combination() {
    for combination in combinations() {
        let [initial_r2t, immediate_data, header, data] = combination;
        let mut pair = connect(&Setup::small(initial_r2t, immediate_data, header, data)).unwrap();
        // Around the segment, the first burst, the burst, and far beyond.
        for (index, blocks) in [1, 2, 4, 5, 8, 9, 16, 17, 100].into_iter().enumerate() {
            let (lba, bytes) = (index as u32 * 200, pattern(index as u32, blocks * BLOCK_LEN));
            let write = pair.write(lba, &bytes);
            pair.drive();
            pair.take_good(write);
            let at = lba as usize * BLOCK_LEN;
            assert!(
                pair.disk.bytes[at..at + bytes.len()] == bytes,
                "{combination:?} {blocks} blocks written"
            );
            let read = pair.read(lba, blocks);
            pair.drive();
            assert!(
                pair.take_good(read) == bytes,
                "{combination:?} {blocks} blocks read"
            );
        }
        assert_rules(&pair);
        assert_eq!(
            (pair.initiator.outstanding(), pair.target.open_commands()),
            (0, 0)
        );
    }
}

/// 60 commands at once, more than the window takes, with bursts of many of them between each other.
#[test]
fn many_commands_at_once_in_every_combination() {
    for combination in combinations() {
        let [initial_r2t, immediate_data, header, data] = combination;
        let limits = Limits {
            command_window: 7,
            solicited_bytes: 9000,
            ..Limits::default()
        };
        let mut pair = connect(&Setup {
            limits,
            ..Setup::small(initial_r2t, immediate_data, header, data)
        })
        .unwrap();
        let len = |index: u32| (1 + index as usize * 7 % 29) * BLOCK_LEN;
        let writes: Vec<_> = (0..60)
            .map(|index| pair.write(index * 32, &pattern(index, len(index))))
            .collect();
        pair.drive();
        for write in writes {
            pair.take_good(write);
        }
        let reads: Vec<_> = (0..60)
            .map(|index| pair.read(index * 32, len(index) / BLOCK_LEN))
            .collect();
        pair.drive();
        for (index, read) in (0..).zip(reads) {
            assert!(
                pair.take_good(read) == pattern(index, len(index)),
                "{combination:?} read {index}"
            );
        }
        assert!(
            pair.disk.most_open <= 7,
            "{} commands were open",
            pair.disk.most_open
        );
        assert_rules(&pair);
    }
}

/// The rules of §4.2 and §13 for everything that was sent, by whom they bind.
fn assert_rules(pair: &Pair) {
    let agreed = pair.initiator.parameters();
    let takes = pair.target.parameters().max_recv_data_segment_length;
    let mut unsolicited: HashMap<InitiatorTaskTag, u32> = HashMap::new();
    for (flow, pdu) in &pair.link.trace {
        let in_login = matches!(pdu, Pdu::LoginRequest(_) | Pdu::LoginResponse(_));
        let limit = match flow {
            _ if in_login => 8192,
            Flow::ToTarget => takes,
            Flow::ToInitiator => agreed.max_recv_data_segment_length,
        };
        assert!(pdu.clone().into_raw().data.len() as u32 <= limit, "{pdu}");
        match pdu {
            Pdu::ScsiCommand(command) => {
                let len = command.data.len() as u32;
                assert!(len == 0 || agreed.immediate_data, "{pdu}: ImmediateData=No");
                assert!(command.final_bit || !agreed.initial_r2t, "{pdu}: InitialR2T=Yes");
                unsolicited.insert(command.initiator_task_tag, len);
            }
            Pdu::DataOut(data) if data.target_transfer_tag == TargetTransferTag::RESERVED => {
                assert!(!agreed.initial_r2t, "{pdu}: InitialR2T=Yes");
                let sum = unsolicited.entry(data.initiator_task_tag).or_default();
                *sum += data.data.len() as u32;
                assert!(*sum <= agreed.first_burst_length, "{pdu}: FirstBurstLength");
            }
            Pdu::R2t(r2t) => {
                assert!(
                    r2t.desired_data_transfer_length <= agreed.max_burst_length,
                    "{pdu}"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn small_writes_need_no_r2t_when_data_may_come_unasked() {
    let mut pair = connect(&Setup::small(false, true, true, true)).unwrap();
    let write = pair.write(0, &pattern(1, 2048));
    pair.drive();
    pair.take_good(write);
    assert_eq!(pair.count(|pdu| matches!(pdu, Pdu::R2t(_))), 0);
}

#[test]
fn serial_numbers_wrap() {
    let setup = Setup {
        cmd_sn: SerialNumber32(u32::MAX - 3),
        stat_sn: SerialNumber32(u32::MAX - 9),
        ..Setup::small(true, true, true, true)
    };
    let mut pair = connect(&setup).unwrap();
    for index in 0..20 {
        let write = pair.write(index, &pattern(index, BLOCK_LEN));
        pair.drive();
        pair.take_good(write);
    }
}

/// A shut window is legal for a long time: commands wait, and go on when it opens (§4.2.2.1).
#[test]
fn a_shut_window_holds_commands_back() {
    let limits = Limits {
        command_window: 3,
        ..Limits::default()
    };
    let mut pair = connect(&Setup {
        limits,
        ..Setup::default()
    })
    .unwrap();
    pair.disk.hold = true;
    let reads: Vec<_> = (0..10).map(|lba| pair.read(lba, 1)).collect();
    pair.advance(Duration::from_secs(600));
    pair.assert_alive();
    assert_eq!(pair.disk.held.len(), 3);
    assert_eq!(pair.count(|pdu| matches!(pdu, Pdu::ScsiCommand(_))), 3);
    pair.disk.release(&mut pair.target);
    pair.drive();
    for read in reads {
        pair.take_good(read);
    }
}

#[test]
fn residuals() {
    let mut pair = connect(&Setup::small(true, true, true, true)).unwrap();
    // The initiator expects more than the command transfers, then less.
    let short = pair.submit(cdb(READ_10, 0, 1), TaskData::In(2000), None);
    let long = pair.submit(cdb(READ_10, 0, 4), TaskData::In(600), None);
    let short_write = pair.submit(
        cdb(WRITE_10, 0, 1),
        TaskData::Out(Bytes::from(vec![7; 1024])),
        None,
    );
    pair.drive();
    pair.assert_alive();
    let [short, long, short_write] =
        [short, long, short_write].map(|task| pair.take(task).expect("ended").expect("with a status"));
    assert_eq!(
        (short.data.len(), short.underflow_bytes, short.overflow_bytes),
        (512, 1488, 0)
    );
    assert_eq!(
        (long.data.len(), long.underflow_bytes, long.overflow_bytes),
        (600, 0, 1448)
    );
    assert_eq!((short_write.status, short_write.underflow_bytes), (0, 512));
    assert_eq!(pair.disk.bytes[..513], [[7; 512].as_slice(), &[0]].concat());
}

/// A SCSI failure is a status, never a lost connection.
#[test]
fn sense_data_arrive() {
    let mut pair = connect(&Setup::default()).unwrap();
    let task = pair.submit([0xee; 16], TaskData::In(100), None);
    pair.drive();
    let completion = pair.take(task).expect("ended").expect("with a status");
    assert_eq!(
        (completion.status, &completion.sense[..], completion.data.len()),
        (2, SENSE_OPCODE, 0)
    );
    pair.assert_alive();
}

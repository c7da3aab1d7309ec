//! Tables of CDB bytes and what the logical unit makes of them.

use super::*;
use crate::sense::{Asc, SenseKey};
use crate::vpd::DesignatorKind;

const NEXUS: NexusId = NexusId(1);
const OTHER: NexusId = NexusId(2);
const BLOCKS: u64 = 2048;

fn config() -> UnitConfig {
    UnitConfig {
        vendor: "LONGSHOR".into(),
        product: "VIRTUAL-DISK".into(),
        revision: "1".into(),
        serial: "0123".into(),
        designators: vec![Designator::of_logical_unit(DesignatorKind::Naa(vec![
            0x30, 1, 2, 3, 4, 5, 6, 7,
        ]))],
        capacity: Capacity {
            provisioning_managed: true,
            unmapped_reads_zeros: true,
            physical_block_exponent: 3,
            ..Capacity::plain(BLOCKS, 512)
        },
        read_only: false,
        max_transfer_bytes: 512 * 1024,
    }
}

fn unit() -> LogicalUnit {
    let mut unit = LogicalUnit::new(config());
    unit.attach(NEXUS, "iqn.2026-11.test:a,i,0x800000000001", None);
    unit.attach(OTHER, "iqn.2026-11.test:b,i,0x800000000002", None);
    unit
}

fn run(unit: &mut LogicalUnit, cdb: &[u8]) -> Step {
    unit.execute(NEXUS, cdb, &[Lun::default()])
}

fn data(step: Step) -> Vec<u8> {
    match step {
        Step::Reply(reply) if reply.status == Status::GOOD => reply.data,
        other => panic!("expected data, got {other:?}"),
    }
}

#[track_caller]
fn expect_sense(step: Step, key: SenseKey, code: Asc) {
    match step {
        Step::Reply(Reply {
            status: Status::CHECK_CONDITION,
            sense: Some(sense),
            ..
        }) => {
            assert!(sense.is(key, code), "{sense}");
        }
        other => panic!("expected {code:?}, got {other:?}"),
    }
}

#[test]
fn commands_that_are_refused_and_why() {
    let cases: &[(&[u8], Asc)] = &[
        (&[0xc1; 16], Asc::INVALID_COMMAND_OPERATION_CODE),
        (
            &[0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Asc::INVALID_COMMAND_OPERATION_CODE,
        ),
        (&[0x12, 0, 0x80, 0, 255, 0], Asc::INVALID_FIELD_IN_CDB),
        (&[0x12, 1, 0xc0, 0, 255, 0], Asc::INVALID_FIELD_IN_CDB),
        (&[0x28, 0, 0, 0, 8, 0, 0, 0, 1, 0], Asc::LBA_OUT_OF_RANGE),
        (&[0x28, 0, 0, 0, 7, 0xff, 0, 0, 2, 0], Asc::LBA_OUT_OF_RANGE),
        (&[0x28, 0, 0, 0, 8, 0, 0, 0, 0, 0], Asc::LBA_OUT_OF_RANGE),
        (&[0x28, 0, 0, 0, 0, 0, 0, 4, 1, 0], Asc::INVALID_FIELD_IN_CDB),
        (&[0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0], Asc::INVALID_FIELD_IN_CDB),
        (
            &[0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0],
            Asc::LBA_OUT_OF_RANGE,
        ),
        (&[0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0], Asc::INVALID_FIELD_IN_CDB),
        (&[0x1a, 0, 0x02, 0, 255, 0], Asc::INVALID_FIELD_IN_CDB),
        (&[0x1a, 0, 0xc8, 0, 255, 0], Asc::SAVING_PARAMETERS_NOT_SUPPORTED),
        (&[0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0], Asc::INVALID_FIELD_IN_CDB),
        (
            &[0x42, 0, 0, 0, 0, 0, 0, 0, 7, 0],
            Asc::PARAMETER_LIST_LENGTH_ERROR,
        ),
        (
            &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0],
            Asc::INVALID_FIELD_IN_CDB,
        ),
        (
            &[0xa0, 0, 9, 0, 0, 0, 0, 0, 0, 16, 0, 0],
            Asc::INVALID_FIELD_IN_CDB,
        ),
        (&[0, 0, 0, 0, 0, 4], Asc::INVALID_FIELD_IN_CDB),
    ];
    for (cdb, code) in cases {
        expect_sense(run(&mut unit(), cdb), SenseKey::IllegalRequest, *code);
    }
}

#[test]
fn reads_and_writes_become_io() {
    let mut unit = unit();
    assert_eq!(
        run(&mut unit, &[0x08, 0, 0, 2, 0, 0]),
        Step::Io(Io::Read {
            offset: 1024,
            len: 256 * 512
        })
    );
    assert_eq!(
        run(&mut unit, &[0x28, 0, 0, 0, 0, 1, 0, 0, 8, 0]),
        Step::Io(Io::Read {
            offset: 512,
            len: 4096
        })
    );
    assert_eq!(
        run(&mut unit, &[0x28, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
        Step::Io(Io::Read { offset: 512, len: 0 })
    );
    assert_eq!(
        run(&mut unit, &[0x8a, 8, 0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 0, 1, 0, 0]),
        Step::Io(Io::Write {
            offset: 2047 * 512,
            len: 512,
            fua: true
        })
    );
    assert_eq!(
        run(&mut unit, &[0x2f, 2, 0, 0, 0, 0, 0, 0, 1, 0]),
        Step::Io(Io::Verify {
            offset: 0,
            len: 512,
            compare: true
        })
    );
    assert_eq!(
        run(&mut unit, &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Step::Io(Io::Flush)
    );
}

#[test]
fn a_read_only_unit_says_so_and_refuses_writes() {
    let mut unit = LogicalUnit::new(UnitConfig {
        read_only: true,
        ..config()
    });
    assert_eq!(data(run(&mut unit, &[0x1a, 8, 0x3f, 0, 255, 0]))[2], 0x90);
    let writes: [&[u8]; 5] = [
        &[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[0x2e, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
        &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
    ];
    for cdb in writes {
        expect_sense(run(&mut unit, cdb), SenseKey::DataProtect, Asc::WRITE_PROTECTED);
    }
    assert_eq!(
        run(&mut unit, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
        Step::Io(Io::Read { offset: 0, len: 512 })
    );
}

#[test]
fn inquiry_and_its_pages() {
    let mut unit = unit();
    assert_eq!(
        &data(run(&mut unit, &[0x12, 0, 0, 0, 36, 0]))[..16],
        b"\x00\x00\x06\x12\x5b\x00\x00\x02LONGSHOR"
    );
    assert_eq!(
        data(run(&mut unit, &[0x12, 1, 0, 0, 255, 0])),
        [0, 0, 0, 6, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2]
    );
    assert_eq!(
        data(run(&mut unit, &[0x12, 1, 0x80, 0, 255, 0])),
        b"\x00\x80\x00\x040123"
    );
    assert_eq!(
        data(run(&mut unit, &[0x12, 1, 0x83, 0, 255, 0])),
        [0, 0x83, 0, 12, 1, 3, 0, 8, 0x30, 1, 2, 3, 4, 5, 6, 7]
    );
    assert_eq!(
        data(run(&mut unit, &[0x12, 1, 0x83, 0, 6, 0])),
        [0, 0x83, 0, 12, 1, 3]
    );
    assert_eq!(
        data(run(&mut unit, &[0x12, 1, 0xb2, 0, 255, 0])),
        [0, 0xb2, 0, 4, 0, 0xe4, 2, 0]
    );
    let limits = crate::vpd::BlockLimits::parse(&data(run(&mut unit, &[0x12, 1, 0xb0, 0, 255, 0]))).unwrap();
    assert_eq!(
        (limits.max_transfer_blocks, limits.write_same_non_zero),
        (1024, true)
    );
}

#[test]
fn capacity_and_luns() {
    let mut unit = unit();
    assert_eq!(
        data(run(&mut unit, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        [0, 0, 7, 0xff, 0, 0, 2, 0]
    );
    let long = data(run(
        &mut unit,
        &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 14, 0, 0],
    ));
    assert_eq!(long, [0, 0, 0, 0, 0, 0, 7, 0xff, 0, 0, 2, 0, 0, 3]);
    let luns = data(run(&mut unit, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]));
    assert_eq!(luns, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn unit_attentions_are_told_once_and_per_nexus() {
    let mut unit = unit();
    unit.raise(Asc::MODE_PARAMETERS_CHANGED, Some(OTHER));
    unit.resize(4096);
    unit.resize(4096);
    // INQUIRY is answered beside it, and the condition stays.
    assert!(matches!(
        run(&mut unit, &[0x12, 0, 0, 0, 36, 0]),
        Step::Reply(Reply {
            status: Status::GOOD,
            ..
        })
    ));
    expect_sense(
        run(&mut unit, &[0; 6]),
        SenseKey::UnitAttention,
        Asc::MODE_PARAMETERS_CHANGED,
    );
    expect_sense(
        run(&mut unit, &[0xc1; 16]),
        SenseKey::UnitAttention,
        Asc::CAPACITY_DATA_HAS_CHANGED,
    );
    assert_eq!(run(&mut unit, &[0; 6]), Step::Reply(Reply::good()));
    let other = unit.execute(OTHER, &[0; 6], &[]);
    expect_sense(other, SenseKey::UnitAttention, Asc::CAPACITY_DATA_HAS_CHANGED);
}

#[test]
fn request_sense_returns_and_clears_the_attention() {
    let mut unit = unit();
    unit.raise(Asc::REPORTED_LUNS_DATA_HAS_CHANGED, None);
    let sense = data(run(&mut unit, &[3, 0, 0, 0, 252, 0]));
    assert_eq!((sense[2], sense[12], sense[13]), (6, 0x3f, 0x0e));
    assert_eq!(
        data(run(&mut unit, &[3, 1, 0, 0, 252, 0])),
        [0x72, 0, 0, 0, 0, 0, 0, 0]
    );
    unit.raise(Asc::REPORTED_LUNS_DATA_HAS_CHANGED, None);
    run(&mut unit, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(run(&mut unit, &[0; 6]), Step::Reply(Reply::good()));
}

#[test]
fn a_nexus_that_logged_out_is_told_nothing_and_one_that_was_lost_is() {
    let mut unit = unit();
    unit.logged_out(NEXUS);
    unit.nexus_lost(OTHER);
    unit.resize(1);
    unit.attach(NEXUS, "", None);
    unit.attach(OTHER, "", None);
    assert_eq!(run(&mut unit, &[0; 6]), Step::Reply(Reply::good()));
    expect_sense(
        unit.execute(OTHER, &[0; 6], &[]),
        SenseKey::UnitAttention,
        Asc::NEXUS_LOSS_OCCURRED,
    );
    expect_sense(
        unit.execute(OTHER, &[0; 6], &[]),
        SenseKey::UnitAttention,
        Asc::CAPACITY_DATA_HAS_CHANGED,
    );
}

#[test]
fn a_reset_outranks_what_was_pending() {
    let mut unit = unit();
    unit.resize(1);
    unit.reset(Asc::BUS_DEVICE_RESET);
    expect_sense(
        run(&mut unit, &[0; 6]),
        SenseKey::UnitAttention,
        Asc::BUS_DEVICE_RESET,
    );
    assert_eq!(run(&mut unit, &[0; 6]), Step::Reply(Reply::good()));
}

fn with_parameters(unit: &mut LogicalUnit, cdb: &[u8], list: &[u8]) -> Step {
    with_parameters_of(unit, NEXUS, cdb, list)
}

fn with_parameters_of(unit: &mut LogicalUnit, nexus: NexusId, cdb: &[u8], list: &[u8]) -> Step {
    match unit.execute(nexus, cdb, &[]) {
        Step::Parameters { len, pending, .. } => {
            unit.resume(nexus, pending, &list[..list.len().min(len as usize)])
        }
        other => other,
    }
}

#[test]
fn mode_select_turns_the_write_cache_off_and_tells_the_others() {
    let mut unit = unit();
    let mut list = vec![0, 0, 0, 0];
    list.extend(crate::mode::caching_page(false).to_bytes());
    assert_eq!(
        with_parameters(&mut unit, &[0x15, 0x10, 0, 0, 24, 0], &list),
        Step::Io(Io::Flush)
    );
    let write = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(
        run(&mut unit, &write),
        Step::Io(Io::Write {
            offset: 0,
            len: 512,
            fua: true
        })
    );
    let other = unit.execute(OTHER, &[0; 6], &[]);
    expect_sense(other, SenseKey::UnitAttention, Asc::MODE_PARAMETERS_CHANGED);
    list[6] = 0x01; // RCD is not changeable
    let step = with_parameters(&mut unit, &[0x15, 0x10, 0, 0, 24, 0], &list);
    expect_sense(
        step,
        SenseKey::IllegalRequest,
        Asc::INVALID_FIELD_IN_PARAMETER_LIST,
    );
    let step = with_parameters(&mut unit, &[0x15, 0x10, 0, 0, 10, 0], &list);
    expect_sense(step, SenseKey::IllegalRequest, Asc::PARAMETER_LIST_LENGTH_ERROR);
}

#[test]
fn software_write_protection_protects() {
    let mut unit = unit();
    let mut list = vec![0; 8];
    list.extend(crate::mode::control_page(false, true).to_bytes());
    assert_eq!(
        with_parameters(&mut unit, &[0x55, 0x10, 0, 0, 0, 0, 0, 0, 20, 0], &list),
        Step::Reply(Reply::good())
    );
    let write = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    expect_sense(
        run(&mut unit, &write),
        SenseKey::DataProtect,
        Asc::WRITE_PROTECTED,
    );
}

#[test]
fn unmap_and_write_same_with_their_data() {
    let mut unit = unit();
    let list = crate::unmap::emit(&[
        crate::unmap::UnmapRange { lba: 8, blocks: 8 },
        crate::unmap::UnmapRange { lba: 0, blocks: 0 },
    ]);
    let step = with_parameters(&mut unit, &[0x42, 0, 0, 0, 0, 0, 0, 0, 40, 0], &list);
    assert_eq!(
        step,
        Step::Io(Io::Unmap {
            ranges: vec![(4096, 4096)]
        })
    );
    let list = crate::unmap::emit(&[crate::unmap::UnmapRange { lba: 2047, blocks: 2 }]);
    let step = with_parameters(&mut unit, &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &list);
    expect_sense(step, SenseKey::IllegalRequest, Asc::LBA_OUT_OF_RANGE);

    let block = [7u8; 512];
    let step = with_parameters(&mut unit, &[0x41, 8, 0, 0, 0, 1, 0, 0, 4, 0], &block);
    let same = Io::WriteSame {
        offset: 512,
        len: 2048,
        block: block.to_vec(),
        unmap: true,
        fua: false,
    };
    assert_eq!(step, Step::Io(same));
    let step = with_parameters(&mut unit, &[0x41, 0, 0, 0, 0, 1, 0, 0, 4, 0], &block[..511]);
    expect_sense(step, SenseKey::IllegalRequest, Asc::PARAMETER_LIST_LENGTH_ERROR);
    let step = run(&mut unit, &[0x93, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert!(
        matches!(
            step,
            Step::Io(Io::WriteSame {
                len: 512,
                unmap: false,
                ..
            })
        ),
        "NDOB writes zeros: {step:?}"
    );
}

#[test]
fn compare_and_write_splits_its_data() {
    let mut unit = unit();
    let list = [[1u8; 512], [2u8; 512]].concat();
    let step = with_parameters(
        &mut unit,
        &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0],
        &list,
    );
    let expected = Io::CompareAndWrite {
        offset: 1536,
        expected: vec![1; 512],
        new: vec![2; 512],
        fua: false,
    };
    assert_eq!(step, Step::Io(expected));
}

#[test]
fn a_stopped_unit_is_not_ready_until_it_is_started() {
    let mut unit = unit();
    assert_eq!(run(&mut unit, &[0x1b, 0, 0, 0, 0, 0]), Step::Io(Io::Flush));
    let read = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    expect_sense(
        run(&mut unit, &read),
        SenseKey::NotReady,
        Asc::INITIALIZING_COMMAND_REQUIRED,
    );
    run(&mut unit, &[0x1b, 0, 0, 0, 1, 0]);
    assert!(matches!(run(&mut unit, &read), Step::Io(_)));
}

#[test]
fn every_reported_command_is_known_and_the_unknown_ones_are_not_reported() {
    let mut listed = Vec::new();
    for usage in opcodes::usages() {
        let cdb = Cdb::parse(usage).unwrap_or_else(|error| panic!("{usage:02x?}: {error}"));
        listed.push(usage[0]);
        let _ = cdb;
    }
    for opcode in 0..=255u8 {
        let mut cdb = [0; 16];
        cdb[0] = opcode;
        if matches!(opcode, crate::cdb::opcode::SERVICE_ACTION_IN_16) {
            cdb[1] = 0x10;
        }
        if matches!(opcode, crate::cdb::opcode::MAINTENANCE_IN) {
            cdb[1] = 0x0c;
        }
        assert_eq!(
            Cdb::parse(&cdb).is_ok(),
            listed.contains(&opcode),
            "operation code {opcode:#04x}"
        );
    }
}

#[test]
fn supported_operation_codes_of_one_command() {
    let one = data(run(&mut unit(), &[0xa3, 0x0c, 1, 0x28, 0, 0, 0, 0, 1, 0, 0, 0]));
    assert_eq!(one, [0, 3, 0, 10, 0x28, 0x18, 255, 255, 255, 255, 0, 255, 255, 0]);
    let unknown = data(run(&mut unit(), &[0xa3, 0x0c, 1, 0xc1, 0, 0, 0, 0, 1, 0, 0, 0]));
    assert_eq!(unknown, [0, 1, 0, 0]);
    let action = data(run(
        &mut unit(),
        &[0xa3, 0x0c, 2, 0x9e, 0, 0x10, 0, 0, 1, 0, 0, 0],
    ));
    assert_eq!(action[..6], [0, 3, 0, 16, 0x9e, 0x10]);
}

mod reservations {
    use super::*;

    fn out(action: u8, kind: u8) -> [u8; 10] {
        [0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0]
    }

    fn list(key: u64, action_key: u64) -> Vec<u8> {
        [&key.to_be_bytes()[..], &action_key.to_be_bytes()[..], &[0; 8]].concat()
    }

    fn good() -> Step {
        Step::Reply(Reply::good())
    }

    fn conflict() -> Step {
        Step::Reply(Reply::status(Status::RESERVATION_CONFLICT))
    }

    const READ: [u8; 10] = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    const WRITE: [u8; 10] = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];

    #[test]
    fn write_exclusive_lets_others_read_only() {
        let mut unit = unit();
        assert_eq!(with_parameters(&mut unit, &out(0, 0), &list(0, 11)), good());
        assert_eq!(with_parameters(&mut unit, &out(1, 1), &list(11, 0)), good());
        assert_eq!(unit.execute(OTHER, &WRITE, &[]), conflict());
        assert!(matches!(unit.execute(OTHER, &READ, &[]), Step::Io(_)));
        assert_eq!(unit.execute(OTHER, &[0; 6], &[]), good());
        assert!(matches!(run(&mut unit, &WRITE), Step::Io(_)));
        let held = data(run(&mut unit, &[0x5e, 1, 0, 0, 0, 0, 0, 0, 255, 0]));
        assert_eq!(
            held,
            [
                0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 1, 0, 0
            ]
        );
    }

    #[test]
    fn full_status_names_the_initiator_ports() {
        let mut unit = unit();
        with_parameters(&mut unit, &out(0, 0), &list(0, 11));
        with_parameters(&mut unit, &out(1, 3), &list(11, 0));
        let status = data(run(&mut unit, &[0x5e, 3, 0, 0, 0, 0, 0, 0, 255, 0]));
        assert_eq!(status[..8], [0, 0, 0, 1, 0, 0, 0, 24 + 4 + 36]);
        assert_eq!(
            status[8..32],
            [
                0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 40
            ]
        );
        assert_eq!(status[32..36], [0x45, 0, 0, 36]);
        assert_eq!(&status[36..], b"iqn.2026-11.test:a,i,0x800000000001\0");
    }

    #[test]
    fn exclusive_access_of_registrants_keeps_strangers_out() {
        let mut unit = unit();
        with_parameters(&mut unit, &out(6, 0), &list(0, 11));
        with_parameters(&mut unit, &out(1, 6), &list(11, 0));
        assert_eq!(unit.execute(OTHER, &READ, &[]), conflict());
        assert_eq!(
            with_parameters_of(&mut unit, OTHER, &out(0, 0), &list(0, 22)),
            good()
        );
        assert!(matches!(unit.execute(OTHER, &WRITE, &[]), Step::Io(_)));
        // The holder leaves: the others learn that nothing is reserved any more.
        assert_eq!(with_parameters(&mut unit, &out(0, 0), &list(11, 0)), good());
        let step = unit.execute(OTHER, &[0; 6], &[]);
        expect_sense(step, SenseKey::UnitAttention, Asc::RESERVATIONS_RELEASED);
        assert!(matches!(run(&mut unit, &WRITE), Step::Io(_)));
    }

    #[test]
    fn preempt_and_abort_fences_the_victim() {
        let mut unit = unit();
        with_parameters(&mut unit, &out(0, 0), &list(0, 11));
        with_parameters_of(&mut unit, OTHER, &out(0, 0), &list(0, 22));
        with_parameters_of(&mut unit, OTHER, &out(1, 5), &list(22, 0));
        let epoch = unit.epoch(OTHER);
        let step = with_parameters(&mut unit, &out(5, 5), &list(11, 22));
        assert_eq!(step, Step::Io(Io::AbortTasks { nexuses: vec![OTHER] }));
        expect_sense(
            unit.execute(OTHER, &[0; 6], &[]),
            SenseKey::UnitAttention,
            Asc::REGISTRATIONS_PREEMPTED,
        );
        assert_eq!(unit.execute(OTHER, &WRITE, &[]), conflict());
        assert!(!unit.is_registered(OTHER));
        assert_ne!(
            unit.epoch(OTHER),
            epoch,
            "commands of the victim that wait for their data must not go on"
        );
        assert_eq!(unit.epoch(NEXUS), 0);
    }

    #[test]
    fn keys_must_match_and_types_must_be_known() {
        let mut unit = unit();
        assert_eq!(with_parameters(&mut unit, &out(0, 0), &list(5, 11)), conflict());
        assert_eq!(with_parameters(&mut unit, &out(1, 1), &list(0, 0)), conflict());
        with_parameters(&mut unit, &out(0, 0), &list(0, 11));
        let step = with_parameters(&mut unit, &out(1, 2), &list(11, 0));
        expect_sense(step, SenseKey::IllegalRequest, Asc::INVALID_FIELD_IN_CDB);
        with_parameters(&mut unit, &out(1, 1), &list(11, 0));
        let step = with_parameters(&mut unit, &out(2, 3), &list(11, 0));
        expect_sense(
            step,
            SenseKey::IllegalRequest,
            Asc::INVALID_RELEASE_OF_PERSISTENT_RESERVATION,
        );
        let mut aptpl = list(11, 12);
        aptpl[20] = 1;
        let step = with_parameters(&mut unit, &out(0, 0), &aptpl);
        expect_sense(
            step,
            SenseKey::IllegalRequest,
            Asc::INVALID_FIELD_IN_PARAMETER_LIST,
        );
    }

    #[test]
    fn registrations_survive_the_loss_of_the_nexus_and_resets() {
        let mut unit = unit();
        with_parameters(&mut unit, &out(0, 0), &list(0, 11));
        with_parameters(&mut unit, &out(1, 3), &list(11, 0));
        unit.nexus_lost(NEXUS);
        unit.reset(Asc::BUS_DEVICE_RESET);
        unit.execute(OTHER, &[0; 6], &[]);
        assert_eq!(unit.execute(OTHER, &READ, &[]), conflict());
    }

    #[test]
    fn an_old_reservation_ends_with_its_nexus() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &[0x16, 0, 0, 0, 0, 0]), good());
        assert_eq!(unit.execute(OTHER, &[0; 6], &[]), conflict());
        assert_eq!(unit.execute(OTHER, &[0x17, 0, 0, 0, 0, 0], &[]), good());
        assert_eq!(unit.execute(OTHER, &READ, &[]), conflict());
        unit.nexus_lost(NEXUS);
        assert!(matches!(unit.execute(OTHER, &READ, &[]), Step::Io(_)));
        expect_sense(
            run(&mut unit, &[0; 6]),
            SenseKey::UnitAttention,
            Asc::NEXUS_LOSS_OCCURRED,
        );
    }
}

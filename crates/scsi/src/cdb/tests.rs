//! Byte vectors of CDBs, each read and written.

use super::*;

/// Both directions of one vector; iSCSI's fill behind the CDB must not matter.
fn both_ways(bytes: &[u8], cdb: Cdb) {
    assert_eq!(Cdb::parse(bytes), Ok(cdb), "parse of {bytes:02x?}");
    let mut filled = bytes.to_vec();
    filled.resize(16, 0);
    assert_eq!(Cdb::parse(&filled), Ok(cdb), "parse of the filled {bytes:02x?}");
    assert_eq!(cdb.to_bytes().as_slice(), bytes, "bytes of {cdb:?}");
}

fn plain(form: Form, lba: u64, blocks: u32) -> Transfer {
    Transfer {
        form,
        lba,
        blocks,
        protect: 0,
        dpo: false,
        fua: false,
        byte_check: 0,
    }
}

#[test]
fn read_and_write_in_all_forms() {
    both_ways(
        &[0x08, 0x1f, 0xff, 0xfe, 7, 0],
        Cdb::Read(plain(Form::Six, 0x1f_fffe, 7)),
    );
    both_ways(&[0x0a, 0, 0, 1, 0, 0], Cdb::Write(plain(Form::Six, 1, 256)));
    both_ways(
        &[0x28, 0, 0, 0, 0x10, 0, 0, 0, 8, 0],
        Cdb::Read(plain(Form::Ten, 0x1000, 8)),
    );
    both_ways(
        &[0x2a, 0x18, 0xff, 0xff, 0xff, 0xfe, 0, 0xff, 0xff, 0],
        Cdb::Write(Transfer {
            dpo: true,
            fua: true,
            ..plain(Form::Ten, 0xffff_fffe, 0xffff)
        }),
    );
    both_ways(
        &[0xa8, 0x20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0],
        Cdb::Read(Transfer {
            protect: 1,
            ..plain(Form::Twelve, 9, 0x1_0000)
        }),
    );
    both_ways(
        &[0x8a, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0],
        Cdb::Write(Transfer {
            fua: true,
            ..plain(Form::Sixteen, 0x1_0000_0002, 3)
        }),
    );
}

#[test]
fn verify_has_byte_check_and_no_fua() {
    both_ways(
        &[0x2f, 0x12, 0, 0, 0, 5, 0, 0, 1, 0],
        Cdb::Verify(Transfer {
            dpo: true,
            byte_check: 1,
            ..plain(Form::Ten, 5, 1)
        }),
    );
    both_ways(
        &[0xae, 0x06, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0],
        Cdb::WriteAndVerify(Transfer {
            byte_check: 3,
            ..plain(Form::Twelve, 5, 1)
        }),
    );
    assert_eq!(
        Cdb::parse(&[0x2f, 0x08, 0, 0, 0, 5, 0, 0, 1, 0]),
        Ok(Cdb::Verify(plain(Form::Ten, 5, 1)))
    );
}

#[test]
fn inquiry_and_mode_pages() {
    both_ways(&[0x12, 1, 0x83, 0x01, 0x00, 0], Cdb::vpd(0x83, 256));
    both_ways(&[0x12, 0, 0, 0, 36, 0], Cdb::inquiry(36));
    both_ways(&[0x1a, 8, 0x08, 0, 0xff, 0], Cdb::mode_sense_6(8, 255));
    both_ways(
        &[0x5a, 8, 0x3f, 0, 0, 0, 0, 0x02, 0, 0],
        Cdb::mode_sense_10(0x3f, 512),
    );
    both_ways(
        &[0x1a, 0, 0x4a, 1, 20, 0],
        Cdb::ModeSense {
            form: Form::Six,
            disable_block_descriptors: false,
            page_control: PageControl::Changeable,
            page: 0x0a,
            subpage: 1,
            allocation_length: 20,
        },
    );
    both_ways(
        &[0x15, 0x11, 0, 0, 24, 0],
        Cdb::ModeSelect {
            form: Form::Six,
            page_format: true,
            save_pages: true,
            parameter_list_length: 24,
        },
    );
}

#[test]
fn capacity_and_luns() {
    both_ways(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], Cdb::read_capacity_10());
    both_ways(
        &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0],
        Cdb::read_capacity_16(),
    );
    both_ways(
        &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0],
        Cdb::report_luns(16384),
    );
    both_ways(
        &[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0],
        Cdb::GetLbaStatus {
            lba: 8,
            allocation_length: 256,
        },
    );
}

#[test]
fn cache_unmap_and_write_same() {
    both_ways(&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], Cdb::synchronize_cache());
    both_ways(
        &[0x91, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0],
        Cdb::SynchronizeCache {
            form: Form::Sixteen,
            immediate: true,
            lba: 1,
            blocks: 2,
        },
    );
    both_ways(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], Cdb::unmap(24));
    both_ways(
        &[0x93, 8, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 64, 0, 0],
        Cdb::write_same_16(256, 64, true),
    );
    both_ways(
        &[0x41, 0x18, 0, 0, 0, 4, 0, 0, 1, 0],
        Cdb::WriteSame {
            form: Form::Ten,
            protect: 0,
            anchor: true,
            unmap: true,
            no_data_out: false,
            lba: 4,
            blocks: 1,
        },
    );
    both_ways(
        &[0x89, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        Cdb::CompareAndWrite {
            protect: 0,
            dpo: false,
            fua: true,
            lba: 1,
            blocks: 1,
        },
    );
}

#[test]
fn the_rest_of_the_primary_commands() {
    both_ways(&[0; 6], Cdb::TestUnitReady);
    both_ways(
        &[3, 1, 0, 0, 252, 0],
        Cdb::RequestSense {
            descriptor: true,
            allocation_length: 252,
        },
    );
    both_ways(&[0x16, 0, 0, 0, 0, 0], Cdb::Reserve6);
    both_ways(&[0x17, 0, 0, 0, 0, 0], Cdb::Release6);
    both_ways(
        &[0x1b, 1, 0, 0, 0x32, 0],
        Cdb::StartStopUnit {
            immediate: true,
            power_condition: 3,
            no_flush: false,
            load_eject: true,
            start: false,
        },
    );
    both_ways(
        &[0x1e, 0, 0, 0, 1, 0],
        Cdb::PreventAllowMediumRemoval { prevent: 1 },
    );
    both_ways(
        &[0x5e, 2, 0, 0, 0, 0, 0, 0, 8, 0],
        Cdb::PersistentReserveIn {
            service_action: 2,
            allocation_length: 8,
        },
    );
    both_ways(
        &[0x5f, 4, 3, 0, 0, 0, 0, 0, 24, 0],
        Cdb::PersistentReserveOut {
            service_action: 4,
            scope: 0,
            kind: 3,
            parameter_list_length: 24,
        },
    );
    both_ways(
        &[0xa3, 0x0c, 0x83, 0x9e, 0, 0x10, 0, 0, 2, 0, 0, 0],
        Cdb::ReportSupportedOperationCodes {
            timeouts: true,
            options: 3,
            opcode: 0x9e,
            service_action: 0x10,
            allocation_length: 512,
        },
    );
    both_ways(
        &[0x34, 2, 0, 0, 0, 1, 0, 0, 2, 0],
        Cdb::PreFetch {
            form: Form::Ten,
            immediate: true,
            lba: 1,
            blocks: 2,
        },
    );
}

#[test]
fn the_shortest_form_that_fits_is_chosen() {
    assert_eq!(Cdb::read(0xffff_fff0, 8).to_bytes().as_slice()[0], 0x28);
    assert_eq!(Cdb::read(0xffff_fff8, 8).to_bytes().as_slice()[0], 0x88);
    assert_eq!(Cdb::write(0, 0x1_0000, false).to_bytes().as_slice()[0], 0x8a);
    assert_eq!(Cdb::write(u64::MAX, 2, false).to_bytes().as_slice()[0], 0x8a);
}

#[test]
fn what_cannot_be_read_is_named() {
    assert_eq!(
        Cdb::parse(&[]),
        Err(CdbError::TooShort {
            opcode: 0,
            needed: 6,
            len: 0
        })
    );
    assert_eq!(
        Cdb::parse(&[0x28, 0, 0, 0, 0, 0]),
        Err(CdbError::TooShort {
            opcode: 0x28,
            needed: 10,
            len: 6
        })
    );
    assert_eq!(Cdb::parse(&[0xc0; 16]), Err(CdbError::UnknownOpcode(0xc0)));
    assert_eq!(Cdb::parse(&[0x7f; 16]), Err(CdbError::UnknownOpcode(0x7f)));
    assert_eq!(
        Cdb::parse(&[0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(CdbError::UnknownServiceAction {
            opcode: 0x9e,
            service_action: 0x1f
        })
    );
    assert_eq!(Cdb::parse(&[0, 0, 0, 0, 0, 4]), Err(CdbError::Naca { byte: 5 }));
}

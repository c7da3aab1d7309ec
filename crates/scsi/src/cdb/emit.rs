//! From a [`Cdb`] to its bytes.

use super::opcode as op;
use super::{Cdb, CdbBytes, Form, PageControl, Transfer};

fn bit(set: bool, bit: u8) -> u8 {
    u8::from(set) << bit
}

fn new(opcode: u8) -> CdbBytes {
    let mut bytes = [0; 16];
    bytes[0] = opcode;
    CdbBytes {
        bytes,
        len: op::cdb_len(opcode).unwrap_or(16) as u8,
    }
}

impl CdbBytes {
    fn put<const N: usize>(mut self, at: usize, field: [u8; N]) -> Self {
        self.bytes[at..at + N].copy_from_slice(&field);
        self
    }

    /// LBA and number of blocks where READ, WRITE and others have them. Operands that are too large for the form lose
    /// their high bits; the constructors never choose such a form.
    fn extent(self, form: Form, lba: u64, blocks: u32) -> Self {
        match form {
            Form::Six => {
                let [_, high, mid, low] = (lba as u32 & 0x1f_ffff).to_be_bytes();
                self.put(1, [high, mid, low, blocks as u8])
            }
            Form::Ten => self
                .put(2, (lba as u32).to_be_bytes())
                .put(7, (blocks as u16).to_be_bytes()),
            Form::Twelve => self
                .put(2, (lba as u32).to_be_bytes())
                .put(6, blocks.to_be_bytes()),
            Form::Sixteen => self.put(2, lba.to_be_bytes()).put(10, blocks.to_be_bytes()),
        }
    }
}

fn transfer(opcodes: [u8; 4], t: &Transfer) -> CdbBytes {
    let opcode = match t.form {
        Form::Six => opcodes[0],
        Form::Ten => opcodes[1],
        Form::Twelve => opcodes[2],
        Form::Sixteen => opcodes[3],
    };
    let bytes = new(opcode);
    if t.form == Form::Six {
        return bytes.extent(t.form, t.lba, t.blocks);
    }
    let flags = t.protect << 5 | bit(t.dpo, 4) | bit(t.fua, 3) | (t.byte_check & 3) << 1;
    bytes.put(1, [flags]).extent(t.form, t.lba, t.blocks)
}

fn ten_or_sixteen(form: Form, ten: u8, sixteen: u8) -> (u8, Form) {
    if form == Form::Sixteen {
        (sixteen, Form::Sixteen)
    } else {
        (ten, Form::Ten)
    }
}

fn mode(form: Form, six: u8, ten: u8, head: [u8; 3], len: u16) -> CdbBytes {
    match form {
        Form::Six => new(six).put(1, head).put(4, [len.min(255) as u8]),
        _ => new(ten).put(1, head).put(7, len.to_be_bytes()),
    }
}

impl Cdb {
    /// The bytes as they go to the target.
    #[must_use]
    pub fn to_bytes(&self) -> CdbBytes {
        match *self {
            Cdb::TestUnitReady => new(op::TEST_UNIT_READY),
            Cdb::RequestSense {
                descriptor,
                allocation_length,
            } => new(op::REQUEST_SENSE)
                .put(1, [bit(descriptor, 0)])
                .put(4, [allocation_length]),
            Cdb::Inquiry {
                evpd,
                page_code,
                allocation_length,
            } => new(op::INQUIRY)
                .put(1, [bit(evpd, 0), page_code])
                .put(3, allocation_length.to_be_bytes()),
            Cdb::ModeSelect {
                form,
                page_format,
                save_pages,
                parameter_list_length,
            } => {
                let head = [bit(page_format, 4) | bit(save_pages, 0), 0, 0];
                mode(
                    form,
                    op::MODE_SELECT_6,
                    op::MODE_SELECT_10,
                    head,
                    parameter_list_length,
                )
            }
            Cdb::ModeSense {
                form,
                disable_block_descriptors,
                page_control,
                page,
                subpage,
                allocation_length,
            } => {
                let control = match page_control {
                    PageControl::Current => 0,
                    PageControl::Changeable => 1,
                    PageControl::Default => 2,
                    PageControl::Saved => 3,
                };
                let head = [
                    bit(disable_block_descriptors, 3),
                    control << 6 | (page & 0x3f),
                    subpage,
                ];
                mode(form, op::MODE_SENSE_6, op::MODE_SENSE_10, head, allocation_length)
            }
            Cdb::StartStopUnit {
                immediate,
                power_condition,
                no_flush,
                load_eject,
                start,
            } => new(op::START_STOP_UNIT).put(1, [bit(immediate, 0)]).put(
                4,
                [power_condition << 4 | bit(no_flush, 2) | bit(load_eject, 1) | bit(start, 0)],
            ),
            Cdb::PreventAllowMediumRemoval { prevent } => {
                new(op::PREVENT_ALLOW_MEDIUM_REMOVAL).put(4, [prevent & 3])
            }
            Cdb::Reserve6 => new(op::RESERVE_6),
            Cdb::Release6 => new(op::RELEASE_6),
            ref other => other.report_and_reserve_bytes(),
        }
    }

    /// The commands of SPC-5 that report on the target and that reserve.
    fn report_and_reserve_bytes(&self) -> CdbBytes {
        match *self {
            Cdb::ReportLuns {
                select_report,
                allocation_length,
            } => new(op::REPORT_LUNS)
                .put(2, [select_report])
                .put(6, allocation_length.to_be_bytes()),
            Cdb::ReportSupportedOperationCodes {
                timeouts,
                options,
                opcode,
                service_action,
                allocation_length,
            } => {
                let [high, low] = service_action.to_be_bytes();
                let head = [
                    op::REPORT_SUPPORTED_OPERATION_CODES,
                    bit(timeouts, 7) | (options & 7),
                    opcode,
                    high,
                    low,
                ];
                new(op::MAINTENANCE_IN)
                    .put(1, head)
                    .put(6, allocation_length.to_be_bytes())
            }
            Cdb::ReportSupportedTaskManagementFunctions {
                extended,
                allocation_length,
            } => new(op::MAINTENANCE_IN)
                .put(
                    1,
                    [op::REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS, bit(extended, 7)],
                )
                .put(6, allocation_length.to_be_bytes()),
            Cdb::PersistentReserveIn {
                service_action,
                allocation_length,
            } => new(op::PERSISTENT_RESERVE_IN)
                .put(1, [service_action & 0x1f])
                .put(7, allocation_length.to_be_bytes()),
            Cdb::PersistentReserveOut {
                service_action,
                scope,
                kind,
                parameter_list_length,
            } => new(op::PERSISTENT_RESERVE_OUT)
                .put(1, [service_action & 0x1f, scope << 4 | (kind & 0x0f)])
                .put(5, parameter_list_length.to_be_bytes()),
            ref block_command => block_command.block_command_bytes(),
        }
    }

    /// The commands of SBC-4.
    fn block_command_bytes(&self) -> CdbBytes {
        match *self {
            Cdb::Read(ref t) => transfer([op::READ_6, op::READ_10, op::READ_12, op::READ_16], t),
            Cdb::Write(ref t) => transfer([op::WRITE_6, op::WRITE_10, op::WRITE_12, op::WRITE_16], t),
            Cdb::WriteAndVerify(t) => {
                let codes = [
                    op::WRITE_AND_VERIFY_10,
                    op::WRITE_AND_VERIFY_10,
                    op::WRITE_AND_VERIFY_12,
                    op::WRITE_AND_VERIFY_16,
                ];
                transfer(codes, &not_six(t))
            }
            Cdb::Verify(t) => transfer(
                [op::VERIFY_10, op::VERIFY_10, op::VERIFY_12, op::VERIFY_16],
                &not_six(t),
            ),
            Cdb::ReadCapacity10 { lba, pmi } => new(op::READ_CAPACITY_10)
                .put(2, lba.to_be_bytes())
                .put(8, [bit(pmi, 0)]),
            Cdb::GetLbaStatus {
                lba,
                allocation_length,
            } => new(op::SERVICE_ACTION_IN_16)
                .put(1, [op::GET_LBA_STATUS])
                .put(2, lba.to_be_bytes())
                .put(10, allocation_length.to_be_bytes()),
            Cdb::PreFetch {
                form,
                immediate,
                lba,
                blocks,
            } => {
                let (opcode, form) = ten_or_sixteen(form, op::PRE_FETCH_10, op::PRE_FETCH_16);
                new(opcode).put(1, [bit(immediate, 1)]).extent(form, lba, blocks)
            }
            Cdb::SynchronizeCache {
                form,
                immediate,
                lba,
                blocks,
            } => {
                let (opcode, form) = ten_or_sixteen(form, op::SYNCHRONIZE_CACHE_10, op::SYNCHRONIZE_CACHE_16);
                new(opcode).put(1, [bit(immediate, 1)]).extent(form, lba, blocks)
            }
            Cdb::WriteSame {
                form,
                protect,
                anchor,
                unmap,
                no_data_out,
                lba,
                blocks,
            } => {
                let (opcode, form) = ten_or_sixteen(form, op::WRITE_SAME_10, op::WRITE_SAME_16);
                let no_data_out = no_data_out && form == Form::Sixteen;
                let flags = protect << 5 | bit(anchor, 4) | bit(unmap, 3) | bit(no_data_out, 0);
                new(opcode).put(1, [flags]).extent(form, lba, blocks)
            }
            Cdb::Unmap {
                anchor,
                parameter_list_length,
            } => new(op::UNMAP)
                .put(1, [bit(anchor, 0)])
                .put(7, parameter_list_length.to_be_bytes()),
            Cdb::CompareAndWrite {
                protect,
                dpo,
                fua,
                lba,
                blocks,
            } => new(op::COMPARE_AND_WRITE)
                .put(1, [protect << 5 | bit(dpo, 4) | bit(fua, 3)])
                .put(2, lba.to_be_bytes())
                .put(13, [blocks]),
            Cdb::ReadCapacity16 { allocation_length } => read_capacity_16(allocation_length),
            _ => unreachable!("the commands of SPC-5 are dealt with before it comes here"),
        }
    }
}

fn read_capacity_16(allocation_length: u32) -> CdbBytes {
    new(op::SERVICE_ACTION_IN_16)
        .put(1, [op::READ_CAPACITY_16])
        .put(10, allocation_length.to_be_bytes())
}

fn not_six(mut t: Transfer) -> Transfer {
    if t.form == Form::Six {
        t.form = Form::Ten;
    }
    t
}

//! Constructors that an initiator uses: they fill in what is always the same and choose the shortest form that fits.

use super::{Cdb, Form, PageControl, Transfer};

/// The form for a transfer: 10 bytes where they hold the operands, else 16, as Linux does.
fn form_for(lba: u64, blocks: u32) -> Form {
    // The last block must be addressable in the short form too: some devices check the sum.
    let end = lba.checked_add(u64::from(blocks));
    if blocks <= 0xffff && end.is_some_and(|end| end <= u64::from(u32::MAX)) {
        Form::Ten
    } else {
        Form::Sixteen
    }
}

fn transfer(lba: u64, blocks: u32, fua: bool) -> Transfer {
    Transfer {
        form: form_for(lba, blocks),
        lba,
        blocks,
        protect: 0,
        dpo: false,
        fua,
        byte_check: 0,
    }
}

impl Cdb {
    /// INQUIRY for the standard data.
    #[must_use]
    pub const fn inquiry(allocation_length: u16) -> Cdb {
        Cdb::Inquiry {
            evpd: false,
            page_code: 0,
            allocation_length,
        }
    }

    /// INQUIRY for a vital product data page.
    #[must_use]
    pub const fn vpd(page_code: u8, allocation_length: u16) -> Cdb {
        Cdb::Inquiry {
            evpd: true,
            page_code,
            allocation_length,
        }
    }

    /// READ of `blocks` blocks from `lba`.
    #[must_use]
    pub fn read(lba: u64, blocks: u32) -> Cdb {
        Cdb::Read(transfer(lba, blocks, false))
    }

    /// WRITE of `blocks` blocks to `lba`; with `fua` it ends only when the data are on stable storage.
    #[must_use]
    pub fn write(lba: u64, blocks: u32, fua: bool) -> Cdb {
        Cdb::Write(transfer(lba, blocks, fua))
    }

    /// READ CAPACITY(16).
    #[must_use]
    pub const fn read_capacity_16() -> Cdb {
        Cdb::ReadCapacity16 {
            allocation_length: crate::capacity::READ_CAPACITY_16_LEN as u32,
        }
    }

    /// READ CAPACITY(10).
    #[must_use]
    pub const fn read_capacity_10() -> Cdb {
        Cdb::ReadCapacity10 { lba: 0, pmi: false }
    }

    /// REPORT LUNS of all logical units that are not well known ones.
    #[must_use]
    pub const fn report_luns(allocation_length: u32) -> Cdb {
        Cdb::ReportLuns {
            select_report: 0,
            allocation_length,
        }
    }

    /// REQUEST SENSE in fixed format.
    #[must_use]
    pub const fn request_sense() -> Cdb {
        Cdb::RequestSense {
            descriptor: false,
            allocation_length: 252,
        }
    }

    /// MODE SENSE(6) of the current values of one page, without block descriptors.
    #[must_use]
    pub const fn mode_sense_6(page: u8, allocation_length: u8) -> Cdb {
        Cdb::ModeSense {
            form: Form::Six,
            disable_block_descriptors: true,
            page_control: PageControl::Current,
            page,
            subpage: 0,
            allocation_length: allocation_length as u16,
        }
    }

    /// MODE SENSE(10) of the current values of one page, without block descriptors.
    #[must_use]
    pub const fn mode_sense_10(page: u8, allocation_length: u16) -> Cdb {
        Cdb::ModeSense {
            form: Form::Ten,
            disable_block_descriptors: true,
            page_control: PageControl::Current,
            page,
            subpage: 0,
            allocation_length,
        }
    }

    /// SYNCHRONIZE CACHE(10) of the whole medium, answered when it is done.
    #[must_use]
    pub const fn synchronize_cache() -> Cdb {
        Cdb::SynchronizeCache {
            form: Form::Ten,
            immediate: false,
            lba: 0,
            blocks: 0,
        }
    }

    /// UNMAP with a parameter list of this length (see [`crate::unmap::emit`]).
    #[must_use]
    pub const fn unmap(parameter_list_length: u16) -> Cdb {
        Cdb::Unmap {
            anchor: false,
            parameter_list_length,
        }
    }

    /// WRITE SAME(16) of the one block that is sent along; with `unmap` the target may release the blocks instead, and
    /// they then read as that block (SBC-4 5.50: an unmap only where the result reads the same).
    #[must_use]
    pub const fn write_same_16(lba: u64, blocks: u32, unmap: bool) -> Cdb {
        Cdb::WriteSame {
            form: Form::Sixteen,
            protect: 0,
            anchor: false,
            unmap,
            no_data_out: false,
            lba,
            blocks,
        }
    }
}

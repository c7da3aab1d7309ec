//! From bytes to a [`Cdb`].

use super::opcode::{self as op, cdb_len};
use super::{Cdb, CdbError, Form, PageControl, Transfer};

/// Fields of a CDB whose length has been checked against its operation code.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bit(&self, byte: usize, bit: u8) -> bool {
        self.0[byte] & (1 << bit) != 0
    }
    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) << 32 | u64::from(self.u32(at + 4))
    }

    /// The form of the CDB, with its LBA and its number of blocks, where READ, WRITE, VERIFY and others have them.
    fn extent(&self) -> (Form, u64, u32) {
        match self.0.len() {
            6 => {
                let lba = u32::from_be_bytes([0, self.0[1] & 0x1f, self.0[2], self.0[3]]);
                let blocks = if self.0[4] == 0 { 256 } else { u32::from(self.0[4]) };
                (Form::Six, lba.into(), blocks)
            }
            10 => (Form::Ten, self.u32(2).into(), self.u16(7).into()),
            12 => (Form::Twelve, self.u32(2).into(), self.u32(6)),
            _ => (Form::Sixteen, self.u64(2), self.u32(10)),
        }
    }

    fn transfer(&self) -> Transfer {
        let (form, lba, blocks) = self.extent();
        let flags = if form == Form::Six { 0 } else { self.0[1] };
        Transfer {
            form,
            lba,
            blocks,
            protect: flags >> 5,
            dpo: flags & 0x10 != 0,
            fua: flags & 0x08 != 0,
            byte_check: 0,
        }
    }

    fn verify(&self) -> Transfer {
        Transfer {
            fua: false,
            byte_check: (self.0[1] >> 1) & 3,
            ..self.transfer()
        }
    }

    fn mode_sense(&self) -> Cdb {
        let page_control = match self.0[2] >> 6 {
            0 => PageControl::Current,
            1 => PageControl::Changeable,
            2 => PageControl::Default,
            _ => PageControl::Saved,
        };
        let (form, allocation_length) = if self.0.len() == 6 {
            (Form::Six, self.0[4].into())
        } else {
            (Form::Ten, self.u16(7))
        };
        Cdb::ModeSense {
            form,
            disable_block_descriptors: self.bit(1, 3),
            page_control,
            page: self.0[2] & 0x3f,
            subpage: self.0[3],
            allocation_length,
        }
    }

    fn mode_select(&self) -> Cdb {
        let (form, parameter_list_length) = if self.0.len() == 6 {
            (Form::Six, self.0[4].into())
        } else {
            (Form::Ten, self.u16(7))
        };
        Cdb::ModeSelect {
            form,
            page_format: self.bit(1, 4),
            save_pages: self.bit(1, 0),
            parameter_list_length,
        }
    }

    fn write_same(&self) -> Cdb {
        let (form, lba, blocks) = self.extent();
        Cdb::WriteSame {
            form,
            protect: self.0[1] >> 5,
            anchor: self.bit(1, 4),
            unmap: self.bit(1, 3),
            no_data_out: form == Form::Sixteen && self.bit(1, 0),
            lba,
            blocks,
        }
    }

    fn service_action_in(&self) -> Result<Cdb, CdbError> {
        match self.0[1] & 0x1f {
            op::READ_CAPACITY_16 => Ok(Cdb::ReadCapacity16 {
                allocation_length: self.u32(10),
            }),
            op::GET_LBA_STATUS => Ok(Cdb::GetLbaStatus {
                lba: self.u64(2),
                allocation_length: self.u32(10),
            }),
            other => Err(CdbError::UnknownServiceAction {
                opcode: self.0[0],
                service_action: other.into(),
            }),
        }
    }

    fn maintenance_in(&self) -> Result<Cdb, CdbError> {
        match self.0[1] & 0x1f {
            op::REPORT_SUPPORTED_OPERATION_CODES => Ok(Cdb::ReportSupportedOperationCodes {
                timeouts: self.bit(2, 7),
                options: self.0[2] & 7,
                opcode: self.0[3],
                service_action: self.u16(4),
                allocation_length: self.u32(6),
            }),
            op::REPORT_SUPPORTED_TASK_MANAGEMENT_FUNCTIONS => {
                Ok(Cdb::ReportSupportedTaskManagementFunctions {
                    extended: self.bit(2, 7),
                    allocation_length: self.u32(6),
                })
            }
            other => Err(CdbError::UnknownServiceAction {
                opcode: self.0[0],
                service_action: other.into(),
            }),
        }
    }
}

impl Cdb {
    /// Reads a CDB. Bytes behind the length that the operation code asks for are not looked at: iSCSI fills the field
    /// to 16 bytes.
    ///
    /// # Errors
    /// [`CdbError`]; what an operand may be is decided by the device server, not here.
    pub fn parse(bytes: &[u8]) -> Result<Cdb, CdbError> {
        let len = bytes.len();
        let &opcode = bytes.first().ok_or(CdbError::TooShort {
            opcode: 0,
            needed: 6,
            len,
        })?;
        let needed = cdb_len(opcode).ok_or(CdbError::UnknownOpcode(opcode))?;
        let fields = Fields(
            bytes
                .get(..needed)
                .ok_or(CdbError::TooShort { opcode, needed, len })?,
        );
        let cdb = parse_fields(opcode, &fields)?;
        if fields.0[needed - 1] & 0x04 != 0 {
            return Err(CdbError::Naca {
                byte: needed as u16 - 1,
            });
        }
        Ok(cdb)
    }
}

fn parse_fields(opcode: u8, f: &Fields<'_>) -> Result<Cdb, CdbError> {
    Ok(match opcode {
        op::TEST_UNIT_READY => Cdb::TestUnitReady,
        op::REQUEST_SENSE => Cdb::RequestSense {
            descriptor: f.bit(1, 0),
            allocation_length: f.0[4],
        },
        op::INQUIRY => Cdb::Inquiry {
            evpd: f.bit(1, 0),
            page_code: f.0[2],
            allocation_length: f.u16(3),
        },
        op::MODE_SELECT_6 | op::MODE_SELECT_10 => f.mode_select(),
        op::MODE_SENSE_6 | op::MODE_SENSE_10 => f.mode_sense(),
        op::RESERVE_6 => Cdb::Reserve6,
        op::RELEASE_6 => Cdb::Release6,
        op::START_STOP_UNIT => Cdb::StartStopUnit {
            immediate: f.bit(1, 0),
            power_condition: f.0[4] >> 4,
            no_flush: f.bit(4, 2),
            load_eject: f.bit(4, 1),
            start: f.bit(4, 0),
        },
        op::PREVENT_ALLOW_MEDIUM_REMOVAL => Cdb::PreventAllowMediumRemoval { prevent: f.0[4] & 3 },
        op::READ_CAPACITY_10 => Cdb::ReadCapacity10 {
            lba: f.u32(2),
            pmi: f.bit(8, 0),
        },
        op::SERVICE_ACTION_IN_16 => f.service_action_in()?,
        op::READ_6 | op::READ_10 | op::READ_12 | op::READ_16 => Cdb::Read(f.transfer()),
        op::WRITE_6 | op::WRITE_10 | op::WRITE_12 | op::WRITE_16 => Cdb::Write(f.transfer()),
        op::WRITE_AND_VERIFY_10 | op::WRITE_AND_VERIFY_12 | op::WRITE_AND_VERIFY_16 => {
            Cdb::WriteAndVerify(f.verify())
        }
        op::VERIFY_10 | op::VERIFY_12 | op::VERIFY_16 => Cdb::Verify(f.verify()),
        op::PRE_FETCH_10 | op::PRE_FETCH_16 => {
            let (form, lba, blocks) = f.extent();
            Cdb::PreFetch {
                form,
                immediate: f.bit(1, 1),
                lba,
                blocks,
            }
        }
        op::SYNCHRONIZE_CACHE_10 | op::SYNCHRONIZE_CACHE_16 => {
            let (form, lba, blocks) = f.extent();
            Cdb::SynchronizeCache {
                form,
                immediate: f.bit(1, 1),
                lba,
                blocks,
            }
        }
        op::WRITE_SAME_10 | op::WRITE_SAME_16 => f.write_same(),
        op::UNMAP => Cdb::Unmap {
            anchor: f.bit(1, 0),
            parameter_list_length: f.u16(7),
        },
        op::COMPARE_AND_WRITE => Cdb::CompareAndWrite {
            protect: f.0[1] >> 5,
            dpo: f.bit(1, 4),
            fua: f.bit(1, 3),
            lba: f.u64(2),
            blocks: f.0[13],
        },
        op::PERSISTENT_RESERVE_IN => Cdb::PersistentReserveIn {
            service_action: f.0[1] & 0x1f,
            allocation_length: f.u16(7),
        },
        op::PERSISTENT_RESERVE_OUT => Cdb::PersistentReserveOut {
            service_action: f.0[1] & 0x1f,
            scope: f.0[2] >> 4,
            kind: f.0[2] & 0x0f,
            parameter_list_length: f.u32(5),
        },
        op::REPORT_LUNS => Cdb::ReportLuns {
            select_report: f.0[2],
            allocation_length: f.u32(6),
        },
        op::MAINTENANCE_IN => f.maintenance_in()?,
        other => return Err(CdbError::UnknownOpcode(other)),
    })
}

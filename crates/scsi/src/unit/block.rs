//! The commands of SBC-4: what they may ask for, and the I/O that they become.

use super::inquiry::{MAX_UNMAP_BLOCKS, MAX_UNMAP_DESCRIPTORS, MAX_WRITE_SAME_BYTES};
use super::{Io, LogicalUnit, Reply, Step, exact_parameters, parameters};
use crate::cdb::{Cdb, Transfer};
use crate::sense::{Asc, SenseKey};
use crate::unmap::{self, DESCRIPTOR_LEN, HEADER_LEN};
use crate::{Sense, Status};

pub(super) fn execute(unit: &LogicalUnit, cdb: &Cdb) -> Step {
    run(unit, cdb).unwrap_or_else(Step::from)
}

pub(super) fn resume(unit: &LogicalUnit, cdb: &Cdb, data: &[u8]) -> Step {
    run_with_data(unit, cdb, data).unwrap_or_else(Step::from)
}

fn run(unit: &LogicalUnit, cdb: &Cdb) -> Result<Step, Sense> {
    if unit.stopped && !matches!(cdb, Cdb::SynchronizeCache { .. }) {
        return Err(Sense::new(SenseKey::NotReady, Asc::INITIALIZING_COMMAND_REQUIRED));
    }
    match *cdb {
        Cdb::ReadCapacity10 { lba, pmi } => read_capacity_10(unit, lba, pmi),
        Cdb::ReadCapacity16 { allocation_length } => Ok(Step::Reply(Reply::data(
            unit.config.capacity.to_read_capacity_16().to_vec(),
            allocation_length,
        ))),
        Cdb::Read(t) => {
            let (offset, len) = transfer(unit, &t)?;
            Ok(Step::Io(Io::Read { offset, len }))
        }
        Cdb::Write(t) => {
            let (offset, len) = transfer(unit, &t)?;
            writable(unit)?;
            Ok(Step::Io(Io::Write {
                offset,
                len,
                fua: t.fua || !unit.write_cache,
            }))
        }
        Cdb::WriteAndVerify(t) => {
            let (offset, len) = transfer(unit, &t)?;
            writable(unit)?;
            if t.byte_check > 1 {
                return Err(Sense::invalid_field_in_cdb(1));
            }
            // The data are verified on the medium, not in a cache: they must be there first.
            Ok(Step::Io(Io::Write {
                offset,
                len,
                fua: true,
            }))
        }
        Cdb::Verify(t) => verify(unit, &t),
        Cdb::PreFetch { lba, blocks, .. } => {
            extent(unit, lba, blocks.into())?;
            Ok(Step::Reply(Reply::status(Status::CONDITION_MET)))
        }
        Cdb::SynchronizeCache { lba, blocks, .. } => {
            extent(unit, lba, blocks.into())?;
            Ok(Step::Io(Io::Flush))
        }
        Cdb::GetLbaStatus {
            lba,
            allocation_length,
        } => {
            let (offset, _) = extent(unit, lba, 1)?;
            let max_extents = (allocation_length.saturating_sub(8) / 16).clamp(1, 256);
            Ok(Step::Io(Io::LbaStatus {
                offset,
                max_extents,
                allocation_length,
            }))
        }
        Cdb::WriteSame { .. } => write_same(unit, cdb),
        Cdb::Unmap {
            anchor,
            parameter_list_length,
        } => unmap_command(unit, cdb, anchor, parameter_list_length),
        Cdb::CompareAndWrite {
            protect, lba, blocks, ..
        } => {
            unprotected(protect)?;
            extent(unit, lba, blocks.into())?;
            writable(unit)?;
            Ok(exact_parameters(
                *cdb,
                2 * u32::from(blocks) * unit.config.capacity.block_size_bytes,
            ))
        }
        _ => Err(Sense::illegal_request(Asc::INVALID_COMMAND_OPERATION_CODE)),
    }
}

fn read_capacity_10(unit: &LogicalUnit, lba: u32, pmi: bool) -> Result<Step, Sense> {
    if !pmi && lba != 0 {
        return Err(Sense::invalid_field_in_cdb(2));
    }
    Ok(Step::Reply(Reply::data(
        unit.config.capacity.to_read_capacity_10().to_vec(),
        8,
    )))
}

/// The range in bytes of `blocks` blocks from `lba` on. Zero blocks are nothing, but their LBA must exist.
fn extent(unit: &LogicalUnit, lba: u64, blocks: u64) -> Result<(u64, u64), Sense> {
    let capacity = &unit.config.capacity;
    let out_of_range = Sense::illegal_request(Asc::LBA_OUT_OF_RANGE);
    let end = lba.checked_add(blocks).ok_or(out_of_range)?;
    if end > capacity.blocks || lba >= capacity.blocks {
        return Err(out_of_range);
    }
    let block = u64::from(capacity.block_size_bytes);
    Ok((lba * block, blocks * block))
}

fn unprotected(protect: u8) -> Result<(), Sense> {
    if protect == 0 {
        Ok(())
    } else {
        Err(Sense::invalid_field_in_cdb(1))
    }
}

fn writable(unit: &LogicalUnit) -> Result<(), Sense> {
    if unit.is_write_protected() {
        Err(Sense::new(SenseKey::DataProtect, Asc::WRITE_PROTECTED))
    } else {
        Ok(())
    }
}

fn transfer(unit: &LogicalUnit, t: &Transfer) -> Result<(u64, u32), Sense> {
    unprotected(t.protect)?;
    let (offset, len) = extent(unit, t.lba, t.blocks.into())?;
    match u32::try_from(len) {
        Ok(len) if len <= unit.config.max_transfer_bytes => Ok((offset, len)),
        _ => Err(Sense::invalid_field_in_cdb(
            if t.form == crate::cdb::Form::Sixteen {
                10
            } else {
                6
            },
        )),
    }
}

fn verify(unit: &LogicalUnit, t: &Transfer) -> Result<Step, Sense> {
    let compare = match t.byte_check {
        0 => false,
        1 => true,
        _ => return Err(Sense::invalid_field_in_cdb(1)),
    };
    let (offset, len) = transfer(unit, t)?;
    Ok(Step::Io(Io::Verify { offset, len, compare }))
}

fn write_same(unit: &LogicalUnit, cdb: &Cdb) -> Result<Step, Sense> {
    let &Cdb::WriteSame {
        protect,
        anchor,
        unmap,
        no_data_out,
        lba,
        blocks,
        form,
    } = cdb
    else {
        return Err(Sense::invalid_field_in_cdb(0));
    };
    unprotected(protect)?;
    let managed = unit.config.capacity.provisioning_managed;
    if anchor || (unmap && !managed) {
        return Err(Sense::invalid_field_in_cdb(1));
    }
    let (_, len) = extent(unit, lba, blocks.into())?;
    writable(unit)?;
    if blocks == 0 || len > MAX_WRITE_SAME_BYTES {
        return Err(Sense::invalid_field_in_cdb(
            if form == crate::cdb::Form::Sixteen { 10 } else { 7 },
        ));
    }
    let block = unit.config.capacity.block_size_bytes;
    if no_data_out {
        write_same_of(unit, cdb, &vec![0; block as usize])
    } else {
        Ok(exact_parameters(*cdb, block))
    }
}

fn write_same_of(unit: &LogicalUnit, cdb: &Cdb, block: &[u8]) -> Result<Step, Sense> {
    let &Cdb::WriteSame {
        unmap, lba, blocks, ..
    } = cdb
    else {
        return Err(Sense::invalid_field_in_cdb(0));
    };
    let (offset, len) = extent(unit, lba, blocks.into())?;
    Ok(Step::Io(Io::WriteSame {
        offset,
        len,
        block: block.to_vec(),
        unmap,
        fua: !unit.write_cache,
    }))
}

fn unmap_command(unit: &LogicalUnit, cdb: &Cdb, anchor: bool, len: u16) -> Result<Step, Sense> {
    if !unit.config.capacity.provisioning_managed {
        return Err(Sense::illegal_request(Asc::INVALID_COMMAND_OPERATION_CODE));
    }
    if anchor {
        return Err(Sense::invalid_field_in_cdb(1));
    }
    writable(unit)?;
    match usize::from(len) {
        0 => Ok(Step::Reply(Reply::good())),
        1..HEADER_LEN => Err(Sense::illegal_request(Asc::PARAMETER_LIST_LENGTH_ERROR)),
        len if len > HEADER_LEN + MAX_UNMAP_DESCRIPTORS as usize * DESCRIPTOR_LEN => {
            Err(Sense::invalid_field_in_cdb(7))
        }
        len => Ok(parameters(*cdb, len as u32)),
    }
}

fn run_with_data(unit: &LogicalUnit, cdb: &Cdb, data: &[u8]) -> Result<Step, Sense> {
    // The state may have changed while the data were on their way.
    writable(unit)?;
    let short = Sense::illegal_request(Asc::PARAMETER_LIST_LENGTH_ERROR);
    match *cdb {
        Cdb::WriteSame { .. } => {
            let block = data
                .get(..unit.config.capacity.block_size_bytes as usize)
                .ok_or(short)?;
            write_same_of(unit, cdb, block)
        }
        Cdb::CompareAndWrite { fua, lba, blocks, .. } => {
            let (offset, len) = extent(unit, lba, blocks.into())?;
            let len = len as usize;
            let data = data.get(..2 * len).ok_or(short)?;
            let (expected, new) = data.split_at(len);
            let fua = fua || !unit.write_cache;
            Ok(Step::Io(Io::CompareAndWrite {
                offset,
                expected: expected.to_vec(),
                new: new.to_vec(),
                fua,
            }))
        }
        Cdb::Unmap { .. } => unmap_ranges(unit, data),
        _ => Err(Sense::illegal_request(Asc::INVALID_COMMAND_OPERATION_CODE)),
    }
}

fn unmap_ranges(unit: &LogicalUnit, data: &[u8]) -> Result<Step, Sense> {
    let list = unmap::parse(data).ok_or(Sense::illegal_request(Asc::PARAMETER_LIST_LENGTH_ERROR))?;
    let mut ranges = Vec::with_capacity(list.len());
    let mut total = 0u64;
    for range in list.iter().filter(|range| range.blocks > 0) {
        ranges.push(extent(unit, range.lba, range.blocks.into())?);
        total = total.saturating_add(range.blocks.into());
    }
    if total > MAX_UNMAP_BLOCKS.into() {
        return Err(Sense::invalid_field_in_parameters(HEADER_LEN as u16));
    }
    Ok(if ranges.is_empty() {
        Step::Reply(Reply::good())
    } else {
        Step::Io(Io::Unmap { ranges })
    })
}

//! One logical unit at run time: its device server, its disk, and who may touch the disk when.

use crate::config::LunConfig;
use crate::disk::Disk;
use crate::error::{DiskError, LunError};
use crate::faults::ReadFaults;
use crate::sidecar::wwid_text;
use crate::sync::{lock, write};
use longshore_scsi::Lun as LunBytes;
use longshore_scsi::capacity::Capacity;
use longshore_scsi::sense::Asc;
use longshore_scsi::unit::{IoFailure, LogicalUnit, UnitConfig};
use longshore_scsi::vpd::{Association, Designator, DesignatorKind};
use std::io;
use std::sync::{Mutex, RwLock};

const VENDOR: &str = "LNGSHORE";
const PRODUCT: &str = "VIRTUAL-DISK";
const REVISION: &str = "1";
/// Most bytes of one READ or WRITE. They are streamed: this bounds how long one command keeps its connection busy.
const MAX_TRANSFER_BYTES: u32 = 32 << 20;

/// A logical unit. I/O holds `gate` shared; COMPARE AND WRITE, and whoever must know that no earlier I/O is under way
/// any more, hold it alone.
#[derive(Debug)]
pub(crate) struct Lun {
    pub(crate) number: u16,
    pub(crate) unit: Mutex<LogicalUnit>,
    pub(crate) gate: RwLock<()>,
    pub(crate) disk: Disk,
    pub(crate) block_size_bytes: u32,
    pub(crate) read_only: bool,
    pub(crate) faults: ReadFaults,
}

impl Lun {
    /// Opens the disk and makes its logical unit.
    pub(crate) fn open(config: &LunConfig, target_name: &str) -> Result<Self, LunError> {
        if config.number > LunBytes::MAX_NUMBER {
            return Err(LunError::Number(config.number));
        }
        let failed = |source: DiskError| LunError::Disk {
            number: config.number,
            source,
        };
        let disk = Disk::open(config).map_err(failed)?;
        let size_bytes = disk.size_bytes(config.block_size_bytes).map_err(failed)?;
        let unit = LogicalUnit::new(unit_config(config, target_name, disk.naa(), size_bytes));
        Ok(Self {
            number: config.number,
            unit: Mutex::new(unit),
            gate: RwLock::new(()),
            disk,
            block_size_bytes: config.block_size_bytes,
            read_only: config.read_only,
            faults: ReadFaults::default(),
        })
    }

    /// Nothing is done on this disk any more: commands that wait for their data are aborted, I/O that has begun ends.
    pub(crate) fn retire(&self) {
        lock(&self.unit).reset(Asc::REPORTED_LUNS_DATA_HAS_CHANGED);
        drop(write(&self.gate));
    }

    /// The WWID as initiators see it.
    pub(crate) fn wwid(&self) -> String {
        wwid_text(self.disk.naa())
    }

    pub(crate) fn lba(&self, offset: u64) -> u64 {
        offset / u64::from(self.block_size_bytes)
    }

    /// What a failed read means to an initiator.
    pub(crate) fn read_failure(&self, error: &io::Error, offset: u64) -> IoFailure {
        tracing::warn!(path = %self.disk.path().display(), offset, %error, "a read failed");
        IoFailure::Read {
            lba: self.lba(offset),
        }
    }

    /// What a failed write means to an initiator.
    pub(crate) fn write_failure(&self, error: &io::Error, offset: u64) -> IoFailure {
        tracing::warn!(path = %self.disk.path().display(), offset, %error, "a write failed");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IoFailure::NoSpace,
            _ => IoFailure::Write {
                lba: self.lba(offset),
            },
        }
    }
}

fn unit_config(config: &LunConfig, target_name: &str, naa: [u8; 16], size_bytes: u64) -> UnitConfig {
    let block_size_bytes = config.block_size_bytes;
    UnitConfig {
        vendor: VENDOR.to_owned(),
        product: PRODUCT.to_owned(),
        revision: REVISION.to_owned(),
        serial: wwid_text(naa).trim_start_matches("naa.").to_owned(),
        designators: designators(naa, target_name),
        capacity: Capacity {
            physical_block_exponent: if block_size_bytes == 512 { 3 } else { 0 },
            provisioning_managed: true,
            unmapped_reads_zeros: true,
            ..Capacity::plain(size_bytes / u64::from(block_size_bytes), block_size_bytes)
        },
        read_only: config.read_only,
        max_transfer_bytes: MAX_TRANSFER_BYTES,
    }
}

/// The unit's own name, and those of its one port and its device (SPC-5 7.7.6, SAM-5 annex A).
fn designators(naa: [u8; 16], target_name: &str) -> Vec<Designator> {
    vec![
        Designator::of_logical_unit(DesignatorKind::Naa(naa.to_vec())),
        Designator::of_target_port(DesignatorKind::RelativeTargetPort(1)),
        Designator::of_target_port(DesignatorKind::ScsiNameString(format!("{target_name},t,0x0001"))),
        Designator {
            association: Association::TargetDevice,
            kind: DesignatorKind::ScsiNameString(target_name.to_owned()),
        },
    ]
}

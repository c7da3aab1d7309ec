//! INQUIRY with its vital product data pages (SPC-5 6.7).

use super::{LogicalUnit, Reply, Step};
use crate::Sense;
use crate::inquiry::{DIRECT_ACCESS, StandardInquiry};
use crate::vpd::{self, BlockDeviceCharacteristics, BlockLimits, LogicalBlockProvisioning, ProvisioningType};

const PAGES: [u8; 6] = [
    vpd::SUPPORTED_PAGES,
    vpd::UNIT_SERIAL_NUMBER,
    vpd::DEVICE_IDENTIFICATION,
    vpd::BLOCK_LIMITS,
    vpd::BLOCK_DEVICE_CHARACTERISTICS,
    vpd::LOGICAL_BLOCK_PROVISIONING,
];

/// Standards that are claimed: SAM-5, iSCSI, SPC-4, SBC-3 (SPC-5 table 60, no version claimed).
const VERSION_DESCRIPTORS: [u16; 4] = [0x00a0, 0x0960, 0x0460, 0x04c0];

/// Blocks of one COMPARE AND WRITE: all that its CDB can ask for.
const MAX_COMPARE_AND_WRITE_BLOCKS: u8 = 255;
/// Bytes of one WRITE SAME, and of one UNMAP range: what a file system releases within moments.
pub(super) const MAX_WRITE_SAME_BYTES: u64 = 256 << 20;
/// Blocks of one UNMAP in all.
pub(super) const MAX_UNMAP_BLOCKS: u32 = 1 << 20;
/// Ranges of one UNMAP.
pub(super) const MAX_UNMAP_DESCRIPTORS: u32 = 256;

/// Bytes of a transfer that runs well.
const OPTIMAL_TRANSFER_BYTES: u32 = 1 << 20;
/// What a file system allocates and releases at once.
const UNMAP_GRANULARITY_BYTES: u32 = 4096;

pub(super) fn answer(unit: &LogicalUnit, evpd: bool, page: u8, allocation_length: u16) -> Step {
    let data = match (evpd, page) {
        (false, 0) => standard(unit).to_bytes().to_vec(),
        (false, _) => return Sense::invalid_field_in_cdb(2).into(),
        (true, vpd::SUPPORTED_PAGES) => vpd::supported_pages(DIRECT_ACCESS, &PAGES),
        (true, vpd::UNIT_SERIAL_NUMBER) => vpd::unit_serial_number(DIRECT_ACCESS, &unit.config.serial),
        (true, vpd::DEVICE_IDENTIFICATION) => {
            vpd::device_identification(DIRECT_ACCESS, &unit.config.designators)
        }
        (true, vpd::BLOCK_LIMITS) => block_limits(unit).to_page(DIRECT_ACCESS),
        (true, vpd::BLOCK_DEVICE_CHARACTERISTICS) => characteristics().to_page(DIRECT_ACCESS),
        (true, vpd::LOGICAL_BLOCK_PROVISIONING) => provisioning(unit).to_page(DIRECT_ACCESS),
        (true, _) => return Sense::invalid_field_in_cdb(2).into(),
    };
    Step::Reply(Reply::data(data, allocation_length.into()))
}

fn standard(unit: &LogicalUnit) -> StandardInquiry {
    StandardInquiry {
        peripheral: DIRECT_ACCESS,
        removable: false,
        version: 6,
        command_queueing: true,
        target_port_group_support: 0,
        third_party_copy: false,
        protect: false,
        vendor: unit.config.vendor.clone(),
        product: unit.config.product.clone(),
        revision: unit.config.revision.clone(),
        version_descriptors: VERSION_DESCRIPTORS.to_vec(),
    }
}

fn block_limits(unit: &LogicalUnit) -> BlockLimits {
    let block = unit.config.capacity.block_size_bytes;
    let unmap = unit.config.capacity.provisioning_managed;
    BlockLimits {
        write_same_non_zero: true,
        max_compare_and_write_blocks: MAX_COMPARE_AND_WRITE_BLOCKS,
        optimal_transfer_granularity: 1 << unit.config.capacity.physical_block_exponent,
        max_transfer_blocks: unit.config.max_transfer_bytes / block,
        optimal_transfer_blocks: OPTIMAL_TRANSFER_BYTES.min(unit.config.max_transfer_bytes) / block,
        max_unmap_blocks: if unmap { MAX_UNMAP_BLOCKS } else { 0 },
        max_unmap_descriptors: if unmap { MAX_UNMAP_DESCRIPTORS } else { 0 },
        optimal_unmap_granularity: if unmap {
            (UNMAP_GRANULARITY_BYTES / block).max(1)
        } else {
            0
        },
        unmap_granularity_alignment: unmap.then_some(0),
        max_write_same_blocks: MAX_WRITE_SAME_BYTES / u64::from(block),
    }
}

fn characteristics() -> BlockDeviceCharacteristics {
    BlockDeviceCharacteristics {
        medium_rotation_rate: 1,
        ..BlockDeviceCharacteristics::default()
    }
}

fn provisioning(unit: &LogicalUnit) -> LogicalBlockProvisioning {
    let capacity = &unit.config.capacity;
    let managed = capacity.provisioning_managed;
    LogicalBlockProvisioning {
        unmap: managed,
        write_same_16: managed,
        write_same_10: managed,
        reads_zeros: u8::from(capacity.unmapped_reads_zeros),
        anchor: false,
        provisioning: if managed {
            ProvisioningType::ThinProvisioned
        } else {
            ProvisioningType::NotReported
        },
    }
}

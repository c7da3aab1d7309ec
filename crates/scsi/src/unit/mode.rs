//! MODE SENSE and MODE SELECT (SPC-5 6.13, 6.11): write cache and software write protection can be changed.

use super::{LogicalUnit, NexusId, Reply, Step};
use crate::Sense;
use crate::cdb::{Cdb, Form, PageControl};
use crate::mode::{
    ALL_PAGES, ALL_SUBPAGES, CACHING, CONTROL, ModePage, ModeParameters, caching_page, control_page,
    error_recovery_page, informational_exceptions_page,
};
use crate::sense::Asc;

/// All pages with these values, in ascending order.
fn pages(write_cache: bool, software_write_protect: bool) -> [ModePage; 4] {
    [
        error_recovery_page(),
        caching_page(write_cache),
        control_page(false, software_write_protect),
        informational_exceptions_page(),
    ]
}

/// The pages as a mask of the bits that MODE SELECT may change.
fn changeable() -> [ModePage; 4] {
    let mut pages = pages(true, true);
    for page in &mut pages {
        match page.page {
            CACHING => page.body = mask(page.body.len(), 0, 0x04),
            CONTROL => page.body = mask(page.body.len(), 2, 0x08),
            _ => page.body.fill(0),
        }
    }
    pages
}

fn mask(len: usize, at: usize, bits: u8) -> Vec<u8> {
    let mut body = vec![0; len];
    body[at] = bits;
    body
}

pub(super) fn sense(unit: &LogicalUnit, cdb: &Cdb) -> Step {
    let &Cdb::ModeSense {
        form,
        disable_block_descriptors,
        page_control,
        page,
        subpage,
        allocation_length,
    } = cdb
    else {
        return Sense::invalid_field_in_cdb(0).into();
    };
    let all = match page_control {
        PageControl::Current => pages(unit.write_cache, unit.software_write_protect),
        PageControl::Changeable => changeable(),
        PageControl::Default => pages(true, false),
        PageControl::Saved => return Sense::illegal_request(Asc::SAVING_PARAMETERS_NOT_SUPPORTED).into(),
    };
    let wanted: Vec<ModePage> = match (page, subpage) {
        (ALL_PAGES, 0 | ALL_SUBPAGES) => all.into(),
        (_, 0 | ALL_SUBPAGES) => all.into_iter().filter(|p| p.page == page).collect(),
        _ => Vec::new(),
    };
    if wanted.is_empty() {
        return Sense::invalid_field_in_cdb(2).into();
    }
    let block_descriptors = if disable_block_descriptors {
        Vec::new()
    } else {
        block_descriptor(unit).to_vec()
    };
    let parameters = ModeParameters {
        write_protected: unit.is_write_protected(),
        dpo_fua: true,
        block_descriptors,
        pages: wanted,
        ..ModeParameters::default()
    };
    Step::Reply(Reply::data(parameters.to_bytes(form), allocation_length.into()))
}

/// The short LBA block descriptor (SBC-4 6.5.2).
fn block_descriptor(unit: &LogicalUnit) -> [u8; 8] {
    let capacity = &unit.config.capacity;
    let blocks = u32::try_from(capacity.blocks).unwrap_or(u32::MAX);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&blocks.to_be_bytes());
    bytes[4..].copy_from_slice(&capacity.block_size_bytes.to_be_bytes());
    bytes[4] = 0;
    bytes
}

pub(super) fn select(unit: &mut LogicalUnit, nexus: NexusId, cdb: &Cdb, data: &[u8]) -> Step {
    let &Cdb::ModeSelect {
        form,
        page_format,
        save_pages,
        parameter_list_length,
    } = cdb
    else {
        return Sense::invalid_field_in_cdb(0).into();
    };
    if save_pages || !page_format {
        return Sense::invalid_field_in_cdb(1).into();
    }
    if parameter_list_length == 0 {
        return Step::Reply(Reply::good());
    }
    let data = &data[..data.len().min(parameter_list_length.into())];
    let Ok(parameters) = ModeParameters::parse_select(form, data) else {
        return Sense::illegal_request(Asc::PARAMETER_LIST_LENGTH_ERROR).into();
    };
    let mut changed = (unit.write_cache, unit.software_write_protect);
    for page in &parameters.pages {
        let known = pages(unit.write_cache, unit.software_write_protect)
            .into_iter()
            .find(|p| p.page == page.page);
        let allowed = changeable().into_iter().find(|p| p.page == page.page);
        let (Some(known), Some(allowed)) = (known, allowed) else {
            return Sense::invalid_field_in_parameters(head_len(form)).into();
        };
        if page.subpage != 0 || page.body.len() != known.body.len() || changes_more(page, &known, &allowed) {
            return Sense::invalid_field_in_parameters(head_len(form)).into();
        }
        match page.page {
            CACHING => changed.0 = page.body[0] & 0x04 != 0,
            CONTROL => changed.1 = page.body[2] & 0x08 != 0,
            _ => {}
        }
    }
    apply(unit, nexus, changed)
}

fn apply(
    unit: &mut LogicalUnit,
    nexus: NexusId,
    (write_cache, software_write_protect): (bool, bool),
) -> Step {
    let cache_off = unit.write_cache && !write_cache;
    if (write_cache, software_write_protect) != (unit.write_cache, unit.software_write_protect) {
        unit.write_cache = write_cache;
        unit.software_write_protect = software_write_protect;
        unit.raise(Asc::MODE_PARAMETERS_CHANGED, Some(nexus));
    }
    // What is in the cache when it is turned off must reach the medium (SBC-4 6.5.6).
    if cache_off {
        Step::Io(super::Io::Flush)
    } else {
        Step::Reply(Reply::good())
    }
}

fn head_len(form: Form) -> u16 {
    if form == Form::Six { 4 } else { 8 }
}

/// Whether `page` differs from `known` in a bit that is not in `allowed`.
fn changes_more(page: &ModePage, known: &ModePage, allowed: &ModePage) -> bool {
    page.body
        .iter()
        .zip(&known.body)
        .zip(&allowed.body)
        .any(|((new, old), mask)| (new ^ old) & !mask != 0)
}

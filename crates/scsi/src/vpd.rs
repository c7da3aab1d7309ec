//! Vital product data pages (SPC-5 7.7, SBC-4 6.6): the header that all share, and the pages that matter here.

mod block_limits;
mod characteristics;
mod designator;
mod provisioning;

pub use block_limits::BlockLimits;
pub use characteristics::BlockDeviceCharacteristics;
pub use designator::{Association, Designator, DesignatorKind, MAX_DESIGNATORS};
pub use provisioning::{LogicalBlockProvisioning, ProvisioningType};

use crate::bytes::{u8_at, u16_at};

/// Supported VPD pages.
pub const SUPPORTED_PAGES: u8 = 0x00;
/// Unit serial number.
pub const UNIT_SERIAL_NUMBER: u8 = 0x80;
/// Device identification.
pub const DEVICE_IDENTIFICATION: u8 = 0x83;
/// Block limits.
pub const BLOCK_LIMITS: u8 = 0xb0;
/// Block device characteristics.
pub const BLOCK_DEVICE_CHARACTERISTICS: u8 = 0xb1;
/// Logical block provisioning.
pub const LOGICAL_BLOCK_PROVISIONING: u8 = 0xb2;

/// Why a VPD page was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VpdError {
    /// Not even the page's header came, or less than a fixed page needs.
    #[error("VPD page 0x{page:02x}: {len} bytes came, {needed} are needed")]
    TooShort {
        /// Page that was asked for.
        page: u8,
        /// Length that came.
        len: usize,
        /// Length that is needed.
        needed: usize,
    },
    /// Another page came than was asked for: some devices answer an unknown page with standard INQUIRY data.
    #[error("VPD page 0x{page:02x} was asked for, page 0x{came:02x} came")]
    WrongPage {
        /// Page that was asked for.
        page: u8,
        /// Page code in the answer.
        came: u8,
    },
    /// The page is longer than the answer: ask again with a larger allocation length.
    #[error("VPD page 0x{page:02x} announces {needed_bytes} bytes, {len} came")]
    Truncated {
        /// Page that was asked for.
        page: u8,
        /// Allocation length that holds the whole page.
        needed_bytes: usize,
        /// Length that came.
        len: usize,
    },
    /// A designator runs over the end of its page.
    #[error("VPD page 0x83: the designator at byte {at} runs over the end of the page")]
    BrokenDesignator {
        /// Offset in the page.
        at: usize,
    },
}

/// A whole page around `body`.
#[must_use]
pub fn page(peripheral: u8, page: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![peripheral, page];
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The body of `page` in an answer.
///
/// # Errors
/// [`VpdError`]; [`VpdError::Truncated`] says how much to ask for.
pub fn body(page: u8, bytes: &[u8]) -> Result<&[u8], VpdError> {
    let len = bytes.len();
    let too_short = VpdError::TooShort { page, len, needed: 4 };
    let came = u8_at(bytes, 1).ok_or(too_short)?;
    let body_len = usize::from(u16_at(bytes, 2).ok_or(too_short)?);
    if came != page {
        return Err(VpdError::WrongPage { page, came });
    }
    bytes.get(4..4 + body_len).ok_or(VpdError::Truncated {
        page,
        needed_bytes: 4 + body_len,
        len,
    })
}

/// The body that must have at least `needed` bytes.
fn fixed_body(page: u8, bytes: &[u8], needed: usize) -> Result<&[u8], VpdError> {
    let body = body(page, bytes)?;
    if body.len() < needed {
        return Err(VpdError::TooShort {
            page,
            len: bytes.len(),
            needed: 4 + needed,
        });
    }
    Ok(body)
}

/// Page 00h with these page codes, which must be in ascending order.
#[must_use]
pub fn supported_pages(peripheral: u8, pages: &[u8]) -> Vec<u8> {
    page(peripheral, SUPPORTED_PAGES, pages)
}

/// The page codes in page 00h.
///
/// # Errors
/// [`VpdError`] of the header.
pub fn parse_supported_pages(bytes: &[u8]) -> Result<Vec<u8>, VpdError> {
    body(SUPPORTED_PAGES, bytes).map(<[u8]>::to_vec)
}

/// Page 80h.
#[must_use]
pub fn unit_serial_number(peripheral: u8, serial: &str) -> Vec<u8> {
    page(peripheral, UNIT_SERIAL_NUMBER, serial.as_bytes())
}

/// The serial number in page 80h, without the spaces around it.
///
/// # Errors
/// [`VpdError`] of the header.
pub fn parse_unit_serial_number(bytes: &[u8]) -> Result<String, VpdError> {
    body(UNIT_SERIAL_NUMBER, bytes).map(crate::bytes::ascii_text)
}

/// Page 83h.
#[must_use]
pub fn device_identification(peripheral: u8, designators: &[Designator]) -> Vec<u8> {
    let body: Vec<u8> = designators.iter().flat_map(Designator::to_bytes).collect();
    page(peripheral, DEVICE_IDENTIFICATION, &body)
}

/// The designators in page 83h, at most [`MAX_DESIGNATORS`].
///
/// # Errors
/// [`VpdError`]; also where one designator is broken: an identity is read whole or not at all.
pub fn parse_device_identification(bytes: &[u8]) -> Result<Vec<Designator>, VpdError> {
    designator::parse_all(body(DEVICE_IDENTIFICATION, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_pages_that_are_lists() {
        let bytes = supported_pages(0, &[0x00, 0x80, 0x83]);
        assert_eq!(bytes, [0, 0, 0, 3, 0, 0x80, 0x83]);
        assert_eq!(parse_supported_pages(&bytes), Ok(vec![0, 0x80, 0x83]));

        let bytes = unit_serial_number(0, "AB12");
        assert_eq!(bytes, [0, 0x80, 0, 4, b'A', b'B', b'1', b'2']);
        assert_eq!(parse_unit_serial_number(&bytes), Ok("AB12".to_owned()));
    }

    #[test]
    fn a_page_that_was_cut_says_how_much_to_ask_for() {
        let bytes = unit_serial_number(0, "AB12");
        assert_eq!(
            parse_unit_serial_number(&bytes[..6]),
            Err(VpdError::Truncated {
                page: 0x80,
                needed_bytes: 8,
                len: 6
            })
        );
        assert_eq!(
            parse_supported_pages(&bytes),
            Err(VpdError::WrongPage { page: 0, came: 0x80 })
        );
        assert_eq!(
            body(0x83, &[0, 0x83, 0]),
            Err(VpdError::TooShort {
                page: 0x83,
                len: 3,
                needed: 4
            })
        );
    }
}

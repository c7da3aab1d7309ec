//! Mode parameters: headers of MODE SENSE and MODE SELECT and the pages of a direct-access block device
//! (SPC-5 7.5, SBC-4 6.5).

use crate::bytes::{u8_at, u16_at};
use crate::cdb::Form;

/// Read-write error recovery page.
pub const READ_WRITE_ERROR_RECOVERY: u8 = 0x01;
/// Caching page.
pub const CACHING: u8 = 0x08;
/// Control page.
pub const CONTROL: u8 = 0x0a;
/// Informational exceptions control page.
pub const INFORMATIONAL_EXCEPTIONS: u8 = 0x1c;
/// All pages.
pub const ALL_PAGES: u8 = 0x3f;
/// All subpages.
pub const ALL_SUBPAGES: u8 = 0xff;

/// Why mode parameters were not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// Not even the header came.
    #[error("mode parameters of {len} bytes; their header alone has {needed}")]
    TooShort {
        /// Length that came.
        len: usize,
        /// Length of the header.
        needed: usize,
    },
    /// A page, or the block descriptors, run over the end.
    #[error("the mode page or block descriptor at byte {at} runs over the end of the mode parameters")]
    Broken {
        /// Offset in the parameters.
        at: usize,
    },
}

/// One mode page.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ModePage {
    /// PS: the page can be saved (in MODE SENSE data).
    pub saveable: bool,
    /// PAGE CODE.
    pub page: u8,
    /// SUBPAGE CODE; 0 for the page_0 format.
    pub subpage: u8,
    /// What follows the page's header.
    pub body: Vec<u8>,
}

impl ModePage {
    /// The page's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let first = u8::from(self.saveable) << 7 | (self.page & 0x3f);
        let mut bytes = if self.subpage == 0 {
            vec![first, self.body.len() as u8]
        } else {
            let [high, low] = (self.body.len() as u16).to_be_bytes();
            vec![first | 0x40, self.subpage, high, low]
        };
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The page at the beginning of `bytes` and how long it is.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let first = u8_at(bytes, 0)?;
        let (subpage, head, len) = if first & 0x40 == 0 {
            (0, 2, usize::from(u8_at(bytes, 1)?))
        } else {
            (u8_at(bytes, 1)?, 4, usize::from(u16_at(bytes, 2)?))
        };
        let body = bytes.get(head..head + len)?.to_vec();
        Some((
            Self {
                saveable: first & 0x80 != 0,
                page: first & 0x3f,
                subpage,
                body,
            },
            head + len,
        ))
    }
}

/// The mode parameter list of a direct-access block device.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ModeParameters {
    /// WP: the medium is write protected.
    pub write_protected: bool,
    /// DPOFUA: the DPO and FUA bits are supported.
    pub dpo_fua: bool,
    /// MEDIUM TYPE.
    pub medium_type: u8,
    /// Block descriptors, as they are: 8 bytes each, or 16 with LONGLBA.
    pub block_descriptors: Vec<u8>,
    /// LONGLBA (ten-byte header only).
    pub long_lba: bool,
    /// The pages.
    pub pages: Vec<ModePage>,
}

impl ModeParameters {
    /// The parameter list that MODE SENSE returns.
    #[must_use]
    pub fn to_bytes(&self, form: Form) -> Vec<u8> {
        let pages: Vec<u8> = self.pages.iter().flat_map(ModePage::to_bytes).collect();
        let specific = u8::from(self.write_protected) << 7 | u8::from(self.dpo_fua) << 4;
        let rest = self.block_descriptors.len() + pages.len();
        let mut bytes = if form == Form::Six {
            vec![
                (rest + 3).min(255) as u8,
                self.medium_type,
                specific,
                self.block_descriptors.len() as u8,
            ]
        } else {
            let [len_high, len_low] = ((rest + 6).min(0xffff) as u16).to_be_bytes();
            let [descriptors_high, descriptors_low] = (self.block_descriptors.len() as u16).to_be_bytes();
            let long_lba = u8::from(self.long_lba);
            vec![
                len_high,
                len_low,
                self.medium_type,
                specific,
                long_lba,
                0,
                descriptors_high,
                descriptors_low,
            ]
        };
        bytes.extend_from_slice(&self.block_descriptors);
        bytes.extend_from_slice(&pages);
        bytes
    }

    /// Reads what MODE SENSE returned, as far as both MODE DATA LENGTH and `bytes` go. The last page may be cut by
    /// the allocation length: it is left out.
    ///
    /// # Errors
    /// [`ModeError`] where the header or the block descriptors are incomplete.
    pub fn parse_sense(form: Form, bytes: &[u8]) -> Result<Self, ModeError> {
        let announced = match form {
            Form::Six => u8_at(bytes, 0).map(|len| usize::from(len) + 1),
            _ => u16_at(bytes, 0).map(|len| usize::from(len) + 2),
        };
        let end = bytes.len().min(announced.unwrap_or(0));
        Self::parse(form, &bytes[..end], false)
    }

    /// Reads a MODE SELECT parameter list, in which every page must be whole.
    ///
    /// # Errors
    /// [`ModeError`].
    pub fn parse_select(form: Form, bytes: &[u8]) -> Result<Self, ModeError> {
        Self::parse(form, bytes, true)
    }

    fn parse(form: Form, bytes: &[u8], whole: bool) -> Result<Self, ModeError> {
        let head_len = if form == Form::Six { 4 } else { 8 };
        let too_short = ModeError::TooShort {
            len: bytes.len(),
            needed: head_len,
        };
        let head = bytes.get(..head_len).ok_or(too_short)?;
        let (medium_type, specific, long_lba, descriptors_len) = if form == Form::Six {
            (head[1], head[2], false, usize::from(head[3]))
        } else {
            (
                head[2],
                head[3],
                head[4] & 1 != 0,
                usize::from(u16::from_be_bytes([head[6], head[7]])),
            )
        };
        let block_descriptors = bytes.get(head_len..head_len + descriptors_len);
        let block_descriptors = block_descriptors
            .ok_or(ModeError::Broken { at: head_len })?
            .to_vec();
        let mut pages = Vec::new();
        let mut at = head_len + descriptors_len;
        while at < bytes.len() {
            match ModePage::parse(&bytes[at..]) {
                Some((page, len)) => {
                    pages.push(page);
                    at += len;
                }
                None if whole => return Err(ModeError::Broken { at }),
                None => break,
            }
        }
        Ok(Self {
            write_protected: specific & 0x80 != 0,
            dpo_fua: specific & 0x10 != 0,
            medium_type,
            block_descriptors,
            long_lba,
            pages,
        })
    }

    /// The page with this code, of the page_0 format.
    #[must_use]
    pub fn page(&self, page: u8) -> Option<&ModePage> {
        self.pages.iter().find(|p| p.page == page && p.subpage == 0)
    }

    /// WCE of the caching page: completed writes may be in a volatile cache. `None` without a caching page.
    #[must_use]
    pub fn write_cache_enabled(&self) -> Option<bool> {
        self.page(CACHING)
            .and_then(|page| u8_at(&page.body, 0))
            .map(|flags| flags & 0x04 != 0)
    }
}

/// The caching page (SBC-4 6.5.6): 18 bytes of body.
#[must_use]
pub fn caching_page(write_cache_enabled: bool) -> ModePage {
    let mut body = vec![0; 18];
    body[0] = u8::from(write_cache_enabled) << 2;
    ModePage {
        saveable: false,
        page: CACHING,
        subpage: 0,
        body,
    }
}

/// The control page (SPC-5 7.5.10): 10 bytes of body.
#[must_use]
pub fn control_page(descriptor_sense: bool, software_write_protect: bool) -> ModePage {
    let mut body = vec![0; 10];
    body[0] = u8::from(descriptor_sense) << 2;
    body[1] = 0x10; // QUEUE ALGORITHM MODIFIER 1: commands of SIMPLE tasks may be reordered.
    body[2] = u8::from(software_write_protect) << 3;
    body[3] = 0x40; // TAS: commands that another nexus aborts are answered with TASK ABORTED.
    ModePage {
        saveable: false,
        page: CONTROL,
        subpage: 0,
        body,
    }
}

/// The informational exceptions control page (SPC-5 7.5.13), nothing enabled: 10 bytes of body.
#[must_use]
pub fn informational_exceptions_page() -> ModePage {
    ModePage {
        saveable: false,
        page: INFORMATIONAL_EXCEPTIONS,
        subpage: 0,
        body: vec![0; 10],
    }
}

/// The read-write error recovery page (SBC-4 6.5.10), all zero: 10 bytes of body.
#[must_use]
pub fn error_recovery_page() -> ModePage {
    ModePage {
        saveable: false,
        page: READ_WRITE_ERROR_RECOVERY,
        subpage: 0,
        body: vec![0; 10],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ModeParameters {
        ModeParameters {
            write_protected: true,
            dpo_fua: true,
            pages: vec![caching_page(true), control_page(false, false)],
            ..ModeParameters::default()
        }
    }

    #[test]
    fn six_both_ways() {
        let bytes = sample().to_bytes(Form::Six);
        assert_eq!(bytes.len(), 4 + 20 + 12);
        assert_eq!(bytes[..7], [35, 0, 0x90, 0, 0x08, 18, 0x04]);
        assert_eq!(bytes[24..28], [0x0a, 10, 0, 0x10]);
        assert_eq!(ModeParameters::parse_sense(Form::Six, &bytes), Ok(sample()));
        assert_eq!(sample().write_cache_enabled(), Some(true));
    }

    #[test]
    fn ten_both_ways_with_block_descriptor() {
        let parameters = ModeParameters {
            block_descriptors: vec![0, 0, 8, 0, 0, 0, 2, 0],
            ..sample()
        };
        let bytes = parameters.to_bytes(Form::Ten);
        assert_eq!(bytes[..10], [0, 46, 0, 0x90, 0, 0, 0, 8, 0, 0]);
        assert_eq!(ModeParameters::parse_sense(Form::Ten, &bytes), Ok(parameters));
    }

    #[test]
    fn a_page_that_the_allocation_length_cut_is_left_out() {
        let bytes = sample().to_bytes(Form::Six);
        let parameters = ModeParameters::parse_sense(Form::Six, &bytes[..30]).unwrap();
        assert_eq!(parameters.pages, vec![caching_page(true)]);
        assert_eq!(
            ModeParameters::parse_select(Form::Six, &bytes[..30]),
            Err(ModeError::Broken { at: 24 })
        );
        assert_eq!(
            ModeParameters::parse_sense(Form::Six, &bytes[..3]),
            Err(ModeError::TooShort { len: 3, needed: 4 })
        );
        assert_eq!(
            ModeParameters::parse_sense(Form::Six, &[7, 0, 0, 8, 0]),
            Err(ModeError::Broken { at: 4 })
        );
    }

    #[test]
    fn bytes_behind_the_announced_length_are_not_looked_at() {
        let mut bytes = sample().to_bytes(Form::Six);
        bytes.extend_from_slice(&[0x1c, 200, 1]);
        assert_eq!(ModeParameters::parse_sense(Form::Six, &bytes), Ok(sample()));
    }

    #[test]
    fn subpages_have_a_longer_header() {
        let page = ModePage {
            saveable: true,
            page: 0x0a,
            subpage: 1,
            body: vec![1, 2],
        };
        assert_eq!(page.to_bytes(), [0xca, 1, 0, 2, 1, 2]);
        let parameters = ModeParameters {
            pages: vec![page],
            ..ModeParameters::default()
        };
        assert_eq!(
            ModeParameters::parse_select(Form::Ten, &parameters.to_bytes(Form::Ten)),
            Ok(parameters)
        );
    }
}

//! REPORT LUNS parameter data (SPC-5 6.38).

use crate::Lun;
use crate::bytes::u32_at;

/// Why a LUN list was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LunListError {
    /// Not even the header came.
    #[error("REPORT LUNS returned {len} bytes, 8 are needed")]
    TooShort {
        /// Length that came.
        len: usize,
    },
    /// The list is longer than the caller wants to see.
    #[error("REPORT LUNS announces {count} logical units, at most {limit} are accepted")]
    TooMany {
        /// Number that is announced.
        count: usize,
        /// The caller's limit.
        limit: usize,
    },
    /// The list is longer than the answer: ask again with a larger allocation length.
    #[error("REPORT LUNS announces {needed_bytes} bytes, {len} came")]
    Truncated {
        /// Allocation length that holds the whole list.
        needed_bytes: u32,
        /// Length that came.
        len: usize,
    },
}

/// The parameter data for these logical units.
#[must_use]
pub fn emit(luns: &[Lun]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + luns.len() * 8);
    bytes.extend_from_slice(&((luns.len() * 8) as u32).to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    luns.iter()
        .for_each(|lun| bytes.extend_from_slice(&lun.to_bytes()));
    bytes
}

/// Reads parameter data, at most `limit` logical units.
///
/// # Errors
/// [`LunListError`]; [`LunListError::Truncated`] says how much to ask for.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Vec<Lun>, LunListError> {
    let len = bytes.len();
    let list_bytes = u32_at(bytes, 0).ok_or(LunListError::TooShort { len })?;
    let count = list_bytes as usize / 8;
    if count > limit {
        return Err(LunListError::TooMany { count, limit });
    }
    let needed = 8 + count * 8;
    let list = bytes.get(8..needed).ok_or(LunListError::Truncated {
        needed_bytes: needed as u32,
        len,
    })?;
    Ok(list
        .chunks_exact(8)
        .filter_map(|lun| lun.try_into().ok())
        .map(Lun::from_bytes)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let luns = [Lun::from_number(0).unwrap(), Lun::from_number(300).unwrap()];
        let bytes = emit(&luns);
        assert_eq!(
            bytes,
            [
                0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0x2c, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(parse(&bytes, 16), Ok(luns.to_vec()));
    }

    #[test]
    fn a_list_that_was_cut_says_how_much_to_ask_for() {
        let bytes = emit(&[Lun::default(); 3]);
        assert_eq!(
            parse(&bytes[..16], 16),
            Err(LunListError::Truncated {
                needed_bytes: 32,
                len: 16
            })
        );
        assert_eq!(parse(&bytes[..3], 16), Err(LunListError::TooShort { len: 3 }));
        assert_eq!(
            parse(&bytes, 2),
            Err(LunListError::TooMany { count: 3, limit: 2 })
        );
        assert!(matches!(
            parse(&[0xff; 8], 4096),
            Err(LunListError::TooMany { .. })
        ));
    }
}

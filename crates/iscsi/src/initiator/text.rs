//! A text exchange as the initiator sees it: one request, an answer in one or more PDUs (RFC 7143 §11.10, §11.11).

use super::Violation;
use crate::pdu::TextResponse;
use bytes::{Bytes, BytesMut};

/// The longest answer that is taken, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// The most PDUs of one answer.
pub const TEXT_PDUS_MAX: u32 = 4096;

/// What came of the answer so far.
#[derive(Debug, Default)]
pub(super) struct TextExchange {
    answer: BytesMut,
    pdus: u32,
}

/// How the exchange goes on.
pub(super) enum Progress {
    /// The answer is complete.
    Done(Bytes),
    /// The target has more; it wants an empty request with its tag.
    More,
}

impl TextExchange {
    /// Takes one PDU of the answer.
    pub(super) fn take(&mut self, pdu: &TextResponse) -> Result<Progress, Violation> {
        self.pdus += 1;
        if self.pdus > TEXT_PDUS_MAX || self.answer.len() + pdu.data.len() > TEXT_BYTES_MAX {
            return Err(Violation::TextTooLong {
                max_bytes: TEXT_BYTES_MAX,
                max_pdus: TEXT_PDUS_MAX,
            });
        }
        self.answer.extend_from_slice(&pdu.data);
        if pdu.final_bit {
            return Ok(Progress::Done(std::mem::take(&mut self.answer).freeze()));
        }
        if pdu.target_transfer_tag.is_reserved() {
            return Err(Violation::TextWithoutTag);
        }
        Ok(Progress::More)
    }
}

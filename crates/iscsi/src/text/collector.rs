//! Text that is split over several PDUs by the C bit (RFC 7143 §6.2).

use super::{KeyValues, TextError, TextLimits};
use bytes::BytesMut;

/// Joins the data segments of one exchange until a PDU without the C bit ends it.
#[derive(Debug)]
pub struct TextCollector {
    text: BytesMut,
    limits: TextLimits,
}

impl TextCollector {
    /// A collector for texts up to these limits.
    pub fn new(limits: TextLimits) -> Self {
        Self {
            text: BytesMut::new(),
            limits,
        }
    }

    /// Takes the next data segment: `None` while the text goes on (C bit), otherwise the pairs of the whole text.
    ///
    /// # Errors
    /// The text grows beyond the limit, or is none ([`KeyValues::parse`]). The collector is empty afterwards.
    pub fn push(&mut self, segment: &[u8], continue_bit: bool) -> Result<Option<KeyValues>, TextError> {
        if segment.len() > self.limits.bytes - self.text.len() {
            self.text = BytesMut::new();
            return Err(TextError::TooLong {
                max: self.limits.bytes,
            });
        }
        if continue_bit {
            self.text.extend_from_slice(segment);
            return Ok(None);
        }
        if self.text.is_empty() {
            return KeyValues::parse(segment, self.limits).map(Some);
        }
        let mut text = std::mem::take(&mut self.text);
        text.extend_from_slice(segment);
        KeyValues::parse(&text, self.limits).map(Some)
    }

    /// True when a text has begun and not ended.
    pub fn is_collecting(&self) -> bool {
        !self.text.is_empty()
    }
}

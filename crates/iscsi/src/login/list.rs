//! Key lists over several PDUs: put together and cut up along the C bit (RFC 7143 §6.2, §11.12.2).

use super::MAX_LOGIN_DATA_SEGMENT;
use super::error::ProtocolError;
use crate::text::{KeyValues, TextCollector, TextLimits};
use bytes::Bytes;

/// One complete key list, in its order.
pub(super) type KeyList = Vec<(String, String)>;

/// Puts the other side's list together.
#[derive(Debug)]
pub(super) struct Inbox(TextCollector);

impl Default for Inbox {
    fn default() -> Self {
        Self(TextCollector::new(TextLimits::NEGOTIATION))
    }
}

impl Inbox {
    /// Takes one data segment; gives the list if it is complete, `None` while its C bit says that more comes.
    pub(super) fn take(&mut self, data: &[u8], continues: bool) -> Result<Option<KeyList>, ProtocolError> {
        if data.len() > MAX_LOGIN_DATA_SEGMENT {
            return Err(ProtocolError::DataTooLong { len: data.len() });
        }
        let Some(list) = self.0.push(data, continues)? else {
            return Ok(None);
        };
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Ok(Some(list.iter().map(owned).collect()))
    }
}

/// Cuts our own list up.
#[derive(Debug, Default)]
pub(super) struct Outbox(Bytes);

impl Outbox {
    /// Whether parts of a list are still to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what is still to be sent is the last part.
    pub(super) fn fits_one_part(&self) -> bool {
        self.0.len() <= MAX_LOGIN_DATA_SEGMENT
    }

    /// Takes a list to send; the former one must have been sent.
    pub(super) fn put(&mut self, list: &[(String, String)]) {
        debug_assert!(self.is_empty());
        self.0 = encode(list);
    }

    /// The next data segment, and whether more follows: the C bit.
    pub(super) fn next(&mut self) -> (Bytes, bool) {
        let len = self.0.len().min(MAX_LOGIN_DATA_SEGMENT);
        let part = self.0.split_to(len);
        (part, !self.is_empty())
    }
}

/// The bytes of a list of ours. Its values have been checked where they came in ([`is_value`]).
pub(super) fn encode(list: &[(String, String)]) -> Bytes {
    let mut text = KeyValues::new();
    for (key, value) in list {
        let pushed = text.push(key.as_str(), value.as_str());
        debug_assert!(pushed.is_ok(), "{key} was not checked");
    }
    text.encode()
}

/// Whether a text of our caller's can be the value of a key.
pub(super) fn is_value(text: &str) -> bool {
    KeyValues::new().push("X", text).is_ok()
}

/// Whether a key belongs to the security stage alone (RFC 7143 §12).
pub(super) fn is_security_key(key: &str) -> bool {
    key == "AuthMethod" || key.starts_with("CHAP_")
}

/// Takes the one value of `key` out of a list; a key that may come once came twice is an error.
pub(super) fn take_one(list: &mut KeyList, key: &'static str) -> Result<Option<String>, ProtocolError> {
    let Some(at) = list.iter().position(|(name, _)| name == key) else {
        return Ok(None);
    };
    let (_, value) = list.remove(at);
    if list.iter().any(|(name, _)| name == key) {
        return Err(ProtocolError::RepeatedKey { key: key.to_owned() });
    }
    Ok(Some(value))
}

/// The error of an illegal value, which is cut to what a reader needs.
pub(super) fn bad_value(key: &'static str, value: &str) -> ProtocolError {
    ProtocolError::BadValue {
        key,
        value: value.chars().take(64).collect(),
    }
}

//! A list of key=value pairs, in the order of the wire.

use super::{TextError, TextLimits};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// Longest key, in bytes (§6.1).
pub const MAX_KEY_LEN: usize = 63;
/// Longest value, in bytes: a whole data segment of a login.
pub const MAX_VALUE_LEN: usize = 8192;

/// Pairs in the order of the wire. A key may stand more than once, as in an answer to SendTargets;
/// where it must not, ask [`check_unique`](Self::check_unique).
///
/// `Debug` hides the values of CHAP keys.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyValues {
    pairs: Vec<(String, String)>,
}

impl KeyValues {
    /// No pairs.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// Reads a complete text. Empty pieces between zero bytes are passed over.
    ///
    /// # Errors
    /// A limit exceeded; a pair without end or without `=`; a key or value against the grammar.
    pub fn parse(text: &[u8], limits: TextLimits) -> Result<Self, TextError> {
        if text.len() > limits.bytes {
            return Err(TextError::TooLong { max: limits.bytes });
        }
        let mut list = Self::new();
        let mut at = 0;
        for piece in text.split_inclusive(|byte| *byte == 0) {
            let Some((0, pair)) = piece.split_last() else {
                return Err(TextError::Unterminated { at });
            };
            if !pair.is_empty() {
                if list.pairs.len() == limits.pairs {
                    return Err(TextError::TooManyPairs { max: limits.pairs });
                }
                list.pairs.push(parse_pair(pair, at)?);
            }
            at += piece.len();
        }
        Ok(list)
    }

    /// Adds a pair at the end.
    ///
    /// # Errors
    /// A key or value against the grammar (values hold no control characters, so nothing can end a pair early).
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<(), TextError> {
        let (key, value) = (key.into(), value.into());
        check_key(&key)?;
        check_value(&key, &value)?;
        self.pairs.push((key, value));
        Ok(())
    }

    /// The value of the first pair with this key. Keys are case-sensitive.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// True without pairs.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// No key stands twice.
    ///
    /// # Errors
    /// [`TextError::Duplicate`] with the first key that does.
    pub fn check_unique(&self) -> Result<(), TextError> {
        let mut keys: Vec<&str> = self.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(TextError::Duplicate {
                key: pair[0].to_owned(),
            }),
        }
    }

    /// The text on the wire.
    pub fn encode(&self) -> Bytes {
        let len = self.iter().map(|(key, value)| key.len() + value.len() + 2);
        let mut text = BytesMut::with_capacity(len.sum());
        for (key, value) in self.iter() {
            text.put_slice(key.as_bytes());
            text.put_u8(b'=');
            text.put_slice(value.as_bytes());
            text.put_u8(0);
        }
        text.freeze()
    }

    /// The text cut into data segments of at most `max_len` bytes (at least one byte): all but the last go out with
    /// the C bit. An empty list gives one empty segment.
    pub fn encode_segments(&self, max_len: usize) -> Vec<Bytes> {
        let mut rest = self.encode();
        let max_len = max_len.max(1);
        let mut segments = Vec::with_capacity(rest.len() / max_len + 1);
        while rest.len() > max_len {
            segments.push(rest.split_to(max_len));
        }
        segments.push(rest);
        segments
    }
}

fn parse_pair(pair: &[u8], at: usize) -> Result<(String, String), TextError> {
    let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
        return Err(TextError::NoEqualsSign { at });
    };
    let (key, value) = (&pair[..equals], &pair[equals + 1..]);
    let key = match std::str::from_utf8(key) {
        Ok(key) => key.to_owned(),
        Err(_) => return Err(bad_key(&String::from_utf8_lossy(key), "it is no ASCII")),
    };
    check_key(&key)?;
    let Ok(value) = std::str::from_utf8(value) else {
        let why = "it is no UTF-8";
        return Err(TextError::BadValue { key, why });
    };
    check_value(&key, value)?;
    Ok((key, value.to_owned()))
}

fn check_key(key: &str) -> Result<(), TextError> {
    if key.len() > MAX_KEY_LEN {
        return Err(bad_key(key, "it has more than 63 characters"));
    }
    if !key.starts_with(|first: char| first.is_ascii_uppercase()) {
        return Err(bad_key(key, "it does not start with a capital letter"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-+@_#".contains(c);
    if !key.chars().all(allowed) {
        return Err(bad_key(
            key,
            "it holds something else than letters, digits and .-+@_#",
        ));
    }
    Ok(())
}

fn bad_key(key: &str, why: &'static str) -> TextError {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let key = key.chars().take(MAX_KEY_LEN).map(printable).collect();
    TextError::BadKey { key, why }
}

fn check_value(key: &str, value: &str) -> Result<(), TextError> {
    let why = if value.len() > MAX_VALUE_LEN {
        "it has more than 8192 bytes"
    } else if value.chars().any(char::is_control) {
        "it holds a control character"
    } else {
        return Ok(());
    };
    let key = key.to_owned();
    Err(TextError::BadValue { key, why })
}

impl fmt::Debug for KeyValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(key, value)| {
            let hidden = key.starts_with("CHAP_");
            (key, if hidden { "(hidden)" } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}

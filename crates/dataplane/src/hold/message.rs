//! Messages between `hold` and the data plane: a head of eight bytes, a name, a body; descriptors travel beside them.
//!
//! Head: version, kind, length of the name, zero, then the number of the request (little-endian), which its reply
//! repeats. The layout of the head never changes, because a new data plane talks to an older `hold` after an upgrade.

use zeroize::Zeroizing;

/// The version that this code speaks.
pub(crate) const VERSION: u8 = 1;
/// Largest name in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 128;
/// Largest body in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 64 << 10;
/// Largest message in bytes.
pub(crate) const MAX_MESSAGE_BYTES: usize = HEAD_BYTES + MAX_NAME_BYTES + MAX_BODY_BYTES;
/// Longest text of a refusal in bytes.
const MAX_TEXT_BYTES: usize = 512;
const HEAD_BYTES: usize = 8;

/// What a message asks or tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// To `hold`: keep the body and the descriptors under the name, in place of what was kept under it before.
    Keep = 1,
    /// To `hold`: close and wipe what is kept under the name.
    Release = 2,
    /// To `hold`: send everything that is kept, an [`Kind::Entry`] each, then [`Kind::Done`].
    GiveBack = 3,
    /// To `hold`: the data plane listens.
    Ready = 4,
    /// To `hold`: the data plane is about to end, and wants no successor. Refused while anything is kept.
    Bye = 5,
    /// To a `hold` that takes over: the descriptor is a pidfd of the data plane. Always the first message.
    Adopt = 6,
    /// From `hold`: done.
    Done = 64,
    /// From `hold`: not done; the body is a text that says why.
    Refused = 65,
    /// From `hold`: one kept name with its body and descriptors.
    Entry = 66,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Keep,
            2 => Self::Release,
            3 => Self::GiveBack,
            4 => Self::Ready,
            5 => Self::Bye,
            6 => Self::Adopt,
            64 => Self::Done,
            65 => Self::Refused,
            66 => Self::Entry,
            _ => return None,
        })
    }
}

/// A message that was taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: Kind,
    /// The number of the request.
    pub(crate) sequence: u32,
    /// Empty where the kind has none.
    pub(crate) name: &'a str,
    /// May hold secrets: no `Debug`.
    pub(crate) body: &'a [u8],
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("a message of {0} bytes is not between {HEAD_BYTES} and {MAX_MESSAGE_BYTES}")]
    Length(usize),
    #[error("message version {0} instead of {VERSION}")]
    Version(u8),
    #[error("unknown kind of message {0}")]
    Kind(u8),
    #[error("the name in a message is malformed")]
    Name,
}

impl<'a> Message<'a> {
    /// Takes one message apart.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, MessageError> {
        let length = MessageError::Length(bytes.len());
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(length);
        }
        let (&[version, kind, name_len, _, n0, n1, n2, n3], rest) =
            bytes.split_first_chunk::<HEAD_BYTES>().ok_or(length)?;
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        let kind = Kind::from_byte(kind).ok_or(MessageError::Kind(kind))?;
        let (name, body) = rest.split_at_checked(name_len.into()).ok_or(MessageError::Name)?;
        let name = std::str::from_utf8(name).map_err(|_| MessageError::Name)?;
        if name.len() > MAX_NAME_BYTES || body.len() > MAX_BODY_BYTES {
            return Err(length);
        }
        Ok(Self {
            kind,
            sequence: u32::from_le_bytes([n0, n1, n2, n3]),
            name,
            body,
        })
    }

    /// Puts the message together. The buffer is wiped when dropped.
    pub(crate) fn encode(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        if self.name.len() > MAX_NAME_BYTES {
            return Err(MessageError::Name);
        }
        // As large as needed at once: a buffer that grows leaves copies behind.
        let len = HEAD_BYTES + self.name.len() + self.body.len();
        if self.body.len() > MAX_BODY_BYTES {
            return Err(MessageError::Length(len));
        }
        let name_len = u8::try_from(self.name.len()).map_err(|_| MessageError::Name)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.extend_from_slice(&[VERSION, self.kind as u8, name_len, 0]);
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(self.body);
        Ok(bytes)
    }
}

/// A reply of `hold` without descriptors: [`Kind::Done`], or [`Kind::Refused`] with a text.
pub(crate) fn reply(sequence: u32, outcome: Result<(), &str>) -> Zeroizing<Vec<u8>> {
    let (kind, text) = match outcome {
        Ok(()) => (Kind::Done, ""),
        Err(text) => (Kind::Refused, text),
    };
    let text = &text.as_bytes()[..text.len().min(MAX_TEXT_BYTES)];
    let message = Message {
        kind,
        sequence,
        name: "",
        body: text,
    };
    // Its lengths are within the limits.
    message.encode().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way() {
        let message = Message {
            kind: Kind::Keep,
            sequence: 0x0102_0304,
            name: "ab",
            body: b"xyz",
        };
        let bytes = message.encode().unwrap();
        assert_eq!(bytes[..], *b"\x01\x01\x02\x00\x04\x03\x02\x01abxyz");
        assert!(Message::parse(&bytes).unwrap() == message);
    }

    #[test]
    fn every_malformed_message_is_named() {
        let parse = |bytes: &[u8]| Message::parse(bytes).err();
        assert_eq!(parse(b""), Some(MessageError::Length(0)));
        assert_eq!(parse(b"\x01\x01\x00\x00\0\0\0"), Some(MessageError::Length(7)));
        assert_eq!(parse(b"\x02\x01\x00\x00\0\0\0\0"), Some(MessageError::Version(2)));
        assert_eq!(parse(b"\x01\x07\x00\x00\0\0\0\0"), Some(MessageError::Kind(7)));
        assert_eq!(parse(b"\x01\x01\x02\x00\0\0\0\0a"), Some(MessageError::Name));
        assert_eq!(parse(b"\x01\x01\x01\x00\0\0\0\0\xff"), Some(MessageError::Name));
        let mut long = vec![0; HEAD_BYTES + MAX_BODY_BYTES + 1];
        long[..2].copy_from_slice(&[VERSION, 1]);
        assert_eq!(parse(&long), Some(MessageError::Length(long.len())));
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let body = vec![0; MAX_BODY_BYTES + 1];
        let name = "n".repeat(MAX_NAME_BYTES + 1);
        let message = Message {
            kind: Kind::Keep,
            sequence: 0,
            name: "",
            body: &body,
        };
        assert!(message.encode().is_err());
        let message = Message {
            body: &[],
            name: &name,
            ..message
        };
        assert!(message.encode().is_err());
        let text = "x".repeat(10_000);
        assert_eq!(reply(1, Err(&text)).len(), HEAD_BYTES + MAX_TEXT_BYTES);
    }
}

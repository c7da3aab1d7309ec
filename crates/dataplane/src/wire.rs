//! Frames on the local socket: a length of four bytes (big-endian), then so many bytes of JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::proto::MAX_MESSAGE_BYTES;

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The socket failed; `UnexpectedEof` when the other side went away.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Longer than the protocol allows.
    #[error("a message of {len} bytes is longer than the {MAX_MESSAGE_BYTES} that the protocol allows")]
    TooLong {
        /// Its length.
        len: u64,
    },
    /// Not the JSON that was expected.
    #[error("a message that this version does not understand: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Encodes a message with its length. The buffer is wiped when dropped: it may hold a secret.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Zeroizing<Vec<u8>>, WireError> {
    // Large enough that a message with secrets is never moved while it grows, which would leave a copy behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(16 << 10));
    buffer.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *buffer, message)?;
    let len = body_len(buffer.len() as u64 - 4)?;
    buffer[..4].copy_from_slice(&len.to_be_bytes());
    Ok(buffer)
}

/// Checks a body's length against the protocol's limit.
pub(crate) fn body_len(len: u64) -> Result<u32, WireError> {
    match u32::try_from(len) {
        Ok(len) if len <= MAX_MESSAGE_BYTES => Ok(len),
        _ => Err(WireError::TooLong { len }),
    }
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(to: &mut impl Write, message: &T) -> Result<(), WireError> {
    Ok(to.write_all(&encode(message)?)?)
}

/// Receives one message.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> Result<T, WireError> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let len = body_len(u64::from(u32::from_be_bytes(head)))?;
    let mut body = Zeroizing::new(vec![0; len as usize]);
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way() {
        let mut bytes = Vec::new();
        send(&mut bytes, &vec!["a", "b"]).unwrap();
        assert_eq!(bytes, b"\x00\x00\x00\x09[\"a\",\"b\"]");
        assert_eq!(receive::<Vec<String>>(&mut bytes.as_slice()).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_allocation() {
        let bytes = u32::MAX.to_be_bytes();
        assert!(
            matches!(receive::<String>(&mut bytes.as_slice()), Err(WireError::TooLong { len }) if len == u64::from(u32::MAX))
        );
        let long = "x".repeat(MAX_MESSAGE_BYTES as usize);
        assert!(matches!(encode(&long), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn a_torn_message_is_an_end_of_file_not_a_message() {
        let mut bytes = Vec::new();
        send(&mut bytes, &"hello").unwrap();
        bytes.pop();
        let Err(WireError::Io(error)) = receive::<String>(&mut bytes.as_slice()) else {
            panic!("accepted")
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

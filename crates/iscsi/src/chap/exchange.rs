//! Challenge and response (RFC 7143 §12.1.3): made, read from text, proved and checked.

use super::algorithm::Algorithm;
use super::binary::{BinaryError, decode_binary, encode_hex};
use super::credentials::ChapCredentials;
use std::fmt;
use subtle::ConstantTimeEq;

/// What the other side sent is no usable part of a CHAP exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChapError {
    /// A binary value cannot be read.
    #[error("{key} cannot be read: {reason}")]
    Binary {
        /// `CHAP_C` or `CHAP_R`.
        key: &'static str,
        /// What is wrong with it.
        reason: BinaryError,
    },
    /// `CHAP_I` is no number from 0 to 255.
    #[error("CHAP_I is not a number from 0 to 255")]
    Identifier,
    /// The response has another length than the digest of the chosen algorithm.
    #[error("CHAP_R has {len} bytes where {algorithm} gives {expected}")]
    ResponseLength {
        /// The chosen algorithm.
        algorithm: Algorithm,
        /// Its length in bytes.
        len: usize,
        /// The length of the algorithm's digest in bytes.
        expected: usize,
    },
}

/// A challenge with its identifier, ours or the other side's.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    identifier: u8,
    bytes: Vec<u8>,
}

impl Challenge {
    /// A challenge of our own from fresh random bytes, as long as the algorithm's digest (RFC 1994 §2.3 asks that
    /// it be unpredictable and never used again). The identifier only numbers the exchange.
    #[must_use]
    pub fn from_random(random: &[u8; 32], algorithm: Algorithm) -> Self {
        Self {
            identifier: random[31],
            bytes: random[..algorithm.digest_len()].to_vec(),
        }
    }

    /// Reads the other side's `CHAP_I` and `CHAP_C`.
    ///
    /// # Errors
    /// [`ChapError::Identifier`] and [`ChapError::Binary`]; at most 1,024 bytes are taken.
    pub fn parse(identifier: &str, challenge: &str) -> Result<Self, ChapError> {
        let identifier = crate::params::parse_number(identifier)
            .and_then(|number| u8::try_from(number).ok())
            .ok_or(ChapError::Identifier)?;
        let bytes = decode_binary(challenge).map_err(|reason| ChapError::Binary {
            key: "CHAP_C",
            reason,
        })?;
        Ok(Self { identifier, bytes })
    }

    /// The value of `CHAP_I`.
    #[must_use]
    pub fn identifier_text(&self) -> String {
        self.identifier.to_string()
    }

    /// The value of `CHAP_C`.
    #[must_use]
    pub fn challenge_text(&self) -> String {
        encode_hex(&self.bytes)
    }

    /// Whether both hold the same challenge bytes: the mark of a reflected one, whatever its identifier.
    #[must_use]
    pub fn is_reflection_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    /// The proof that `credentials` are known.
    #[must_use]
    pub fn respond(&self, algorithm: Algorithm, credentials: &ChapCredentials) -> Response {
        Response {
            len: algorithm.digest_len(),
            bytes: algorithm.digest(self.identifier, credentials.secret(), &self.bytes),
        }
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("identifier", &self.identifier)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// A proof, ours or the other side's. Comparing two takes the same time wherever they differ.
#[derive(Clone)]
pub struct Response {
    len: usize,
    bytes: [u8; 32],
}

impl Response {
    /// Reads the other side's `CHAP_R`.
    ///
    /// # Errors
    /// [`ChapError::Binary`], and [`ChapError::ResponseLength`] if it is not exactly as long as the digest.
    pub fn parse(text: &str, algorithm: Algorithm) -> Result<Self, ChapError> {
        let received = decode_binary(text).map_err(|reason| ChapError::Binary {
            key: "CHAP_R",
            reason,
        })?;
        let expected = algorithm.digest_len();
        if received.len() != expected {
            return Err(ChapError::ResponseLength {
                algorithm,
                len: received.len(),
                expected,
            });
        }
        let mut bytes = [0; 32];
        bytes[..expected].copy_from_slice(&received);
        Ok(Self { len: expected, bytes })
    }

    /// The value of `CHAP_R`.
    #[must_use]
    pub fn text(&self) -> String {
        encode_hex(&self.bytes[..self.len])
    }

    /// Whether both are the same proof, in constant time.
    #[must_use]
    pub fn proves(&self, expected: &Self) -> bool {
        self.len == expected.len && bool::from(self.bytes.ct_eq(&expected.bytes))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").finish_non_exhaustive()
    }
}

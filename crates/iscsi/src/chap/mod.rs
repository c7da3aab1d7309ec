//! CHAP, the authentication method of RFC 7143 §12.1.3 (RFC 1994): one exchange in either direction.
//!
//! The party that wants proof makes a [`Challenge`]; the party that proves itself answers with a [`Response`],
//! the digest of identifier, secret and challenge. One-way CHAP proves the initiator to the target; mutual CHAP
//! proves the target to the initiator too, with another secret. The order of the messages belongs to
//! [`crate::login`]; this module holds what is computed and what is refused.

mod algorithm;
mod binary;
mod credentials;
mod exchange;
#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, Algorithms};
pub use binary::{BinaryError, MAX_BINARY_LEN, decode_binary, encode_hex};
pub use credentials::{ChapCredentials, CredentialsError, MIN_SECRET_BITS, SecretWarning};
pub use exchange::{Challenge, ChapError, Response};

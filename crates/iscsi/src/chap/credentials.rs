//! A CHAP name and its secret, checked once, wiped on drop, never in `Debug` output.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use subtle::ConstantTimeEq;

/// Secrets below this many bits get a [`SecretWarning`] (RFC 7143 §9.2.1 asks for it unless IPsec is used).
pub const MIN_SECRET_BITS: usize = 96;

/// Longest name in bytes (the limit of a text value, RFC 7143 §6.1).
const MAX_NAME_LEN: usize = 255;

/// Longest secret in bytes: far above what any array takes, so that a wrong file is noticed.
const MAX_SECRET_LEN: usize = 1024;

/// Who proves itself, and with which secret.
#[derive(Clone)]
pub struct ChapCredentials {
    name: String,
    secret: SecretString,
}

/// Why a name and a secret are not usable for CHAP. The secret is never part of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The name is empty, over 255 bytes, or holds a control character.
    #[error(
        "the CHAP name is not usable: it must have 1 to {MAX_NAME_LEN} bytes and no control character; correct it in the volume's secret"
    )]
    Name,
    /// The secret is empty.
    #[error("the CHAP secret of {name:?} is empty; give the secret that is set on the array")]
    EmptySecret {
        /// The CHAP name.
        name: String,
    },
    /// The secret is over 1,024 bytes.
    #[error(
        "the CHAP secret of {name:?} has over {MAX_SECRET_LEN} bytes; check that the right file was given"
    )]
    LongSecret {
        /// The CHAP name.
        name: String,
    },
    /// Both directions of mutual CHAP have one secret, which would let a peer answer with our own proof.
    #[error(
        "the CHAP secrets of {name:?} and {other:?} are equal: mutual CHAP needs a secret of its own for each direction (RFC 7143 §9.2.1); set another on the array"
    )]
    SameSecret {
        /// The name of one direction.
        name: String,
        /// The name of the other direction.
        other: String,
    },
}

/// What a caller should tell its user about a secret that is taken all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretWarning {
    /// The CHAP name.
    pub name: String,
    /// The length of its secret in bits.
    pub bits: usize,
}

impl fmt::Display for SecretWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the CHAP secret of {:?} has {} bits; with fewer than {MIN_SECRET_BITS} it can be guessed from one recorded login (RFC 7143 §9.2.1)",
            self.name, self.bits
        )
    }
}

impl ChapCredentials {
    /// Checks a name and a secret.
    ///
    /// # Errors
    /// [`CredentialsError`] if either is empty or too long, or the name holds a control character.
    pub fn new(name: impl Into<String>, secret: SecretString) -> Result<Self, CredentialsError> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_NAME_LEN || name.chars().any(char::is_control) {
            return Err(CredentialsError::Name);
        }
        match secret.expose_secret().len() {
            0 => Err(CredentialsError::EmptySecret { name }),
            len if len > MAX_SECRET_LEN => Err(CredentialsError::LongSecret { name }),
            _ => Ok(Self { name, secret }),
        }
    }

    /// The name, as it stands in `CHAP_N`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A warning if the secret has under [`MIN_SECRET_BITS`] bits.
    #[must_use]
    pub fn warning(&self) -> Option<SecretWarning> {
        let bits = self.secret().len() * 8;
        (bits < MIN_SECRET_BITS).then(|| SecretWarning {
            name: self.name.clone(),
            bits,
        })
    }

    /// Refuses a pair of credentials for mutual CHAP that share their secret.
    ///
    /// # Errors
    /// [`CredentialsError::SameSecret`].
    pub fn differ_from(&self, other: &Self) -> Result<(), CredentialsError> {
        if bool::from(self.secret().ct_eq(other.secret())) {
            return Err(CredentialsError::SameSecret {
                name: self.name.clone(),
                other: other.name.clone(),
            });
        }
        Ok(())
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.secret.expose_secret().as_bytes()
    }
}

impl fmt::Debug for ChapCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChapCredentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

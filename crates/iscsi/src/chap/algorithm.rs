//! The digest algorithms of CHAP and the order in which they are offered (IANA "iSCSI CHAP algorithms").

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;
use std::fmt;

/// A digest algorithm, by its number in `CHAP_A`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// 5, RFC 1994: broken as a hash, yet the only one that most arrays know.
    Md5,
    /// 6.
    Sha1,
    /// 7.
    Sha256,
    /// 8.
    Sha3_256,
}

impl Algorithm {
    /// Every algorithm that is implemented, the strongest first.
    pub const ALL: [Self; 4] = [Self::Sha3_256, Self::Sha256, Self::Sha1, Self::Md5];

    /// The number that stands in `CHAP_A`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Md5 => 5,
            Self::Sha1 => 6,
            Self::Sha256 => 7,
            Self::Sha3_256 => 8,
        }
    }

    /// The algorithm of a number in `CHAP_A`, if it is implemented.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| u32::from(algorithm.number()) == number)
    }

    /// Length of a response in bytes.
    #[must_use]
    pub fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sha3_256 => 32,
        }
    }

    /// Whether the hash is one that collisions are known for. RFC 1994's construction does not rest on collision
    /// resistance, but who may choose should choose another.
    #[must_use]
    pub fn is_weak(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }

    /// The digest of identifier, secret and challenge, in this order (RFC 1994 §4.1), in the first
    /// [`digest_len`](Self::digest_len) bytes.
    pub(super) fn digest(self, identifier: u8, secret: &[u8], challenge: &[u8]) -> [u8; 32] {
        fn run<D: Digest>(identifier: u8, secret: &[u8], challenge: &[u8]) -> [u8; 32] {
            let digest = D::new()
                .chain_update([identifier])
                .chain_update(secret)
                .chain_update(challenge)
                .finalize();
            let mut padded = [0; 32];
            padded[..digest.len()].copy_from_slice(&digest);
            padded
        }
        match self {
            Self::Md5 => run::<Md5>(identifier, secret, challenge),
            Self::Sha1 => run::<Sha1>(identifier, secret, challenge),
            Self::Sha256 => run::<Sha256>(identifier, secret, challenge),
            Self::Sha3_256 => run::<Sha3_256>(identifier, secret, challenge),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha3_256 => "SHA3-256",
        })
    }
}

/// The algorithms that one side allows, in its order of preference, without repetition and never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms(Vec<Algorithm>);

impl Algorithms {
    /// The algorithms of `list` in its order; `None` if it is empty. Repeated ones count once.
    #[must_use]
    pub fn new(list: &[Algorithm]) -> Option<Self> {
        let mut algorithms = Vec::with_capacity(Algorithm::ALL.len());
        for algorithm in list {
            if !algorithms.contains(algorithm) {
                algorithms.push(*algorithm);
            }
        }
        (!algorithms.is_empty()).then_some(Self(algorithms))
    }

    /// SHA3-256 and SHA-256 only: no weak hash.
    #[must_use]
    pub fn strong() -> Self {
        Self(vec![Algorithm::Sha3_256, Algorithm::Sha256])
    }

    /// Everything that is implemented, the strongest first: what a target accepts by default.
    #[must_use]
    pub fn all() -> Self {
        Self(Algorithm::ALL.to_vec())
    }

    /// The same without `algorithm`; `None` if nothing is left.
    #[must_use]
    pub fn without(&self, algorithm: Algorithm) -> Option<Self> {
        let rest: Vec<_> = self.iter().filter(|other| *other != algorithm).collect();
        Self::new(&rest)
    }

    /// In the order of preference.
    pub fn iter(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.0.iter().copied()
    }

    /// Whether `algorithm` is allowed.
    #[must_use]
    pub fn contains(&self, algorithm: Algorithm) -> bool {
        self.0.contains(&algorithm)
    }
}

/// SHA3-256, SHA-256, and MD5 for the arrays that know no other: what an initiator offers by default.
impl Default for Algorithms {
    fn default() -> Self {
        Self(vec![Algorithm::Sha3_256, Algorithm::Sha256, Algorithm::Md5])
    }
}

/// The value of `CHAP_A`: the numbers, separated by commas.
impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, algorithm) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", algorithm.number())?;
        }
        Ok(())
    }
}

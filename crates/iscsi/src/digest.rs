//! Header and data digests: CRC32C as it goes onto the wire (RFC 7143 §13.1).

/// Length of a digest, in bytes.
pub const DIGEST_LEN: usize = 4;

/// Which digests a connection carries, one negotiated choice for each kind (§13.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digests {
    /// A CRC32C after the basic and additional header segments.
    pub header: bool,
    /// A CRC32C after each data segment that is not empty.
    pub data: bool,
}

/// The CRC32C of the parts, one after the other, in wire order: 32 zero bytes give `aa 36 91 8a`.
pub fn crc32c(parts: &[&[u8]]) -> [u8; DIGEST_LEN] {
    parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part))
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7143 appendix A (RFC 3720 B.4), byte for byte.
    #[test]
    fn the_rfcs_examples() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(&[&[0; 32]]), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(crc32c(&[&[0xff; 32]]), [0x43, 0xab, 0xa8, 0x62]);
        assert_eq!(crc32c(&[&up]), [0x4e, 0x79, 0xdd, 0x46]);
        assert_eq!(crc32c(&[&down]), [0x5c, 0xdb, 0x3f, 0x11]);
    }

    #[test]
    fn parts_give_the_digest_of_their_concatenation() {
        assert_eq!(crc32c(&[&[0; 20], &[], &[0; 12]]), crc32c(&[&[0; 32]]));
    }
}

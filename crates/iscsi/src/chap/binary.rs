//! Binary values in text keys: hexadecimal and base64 constants (RFC 7143 §6.1), bounded.

/// Longest binary value in bytes that a CHAP key may carry (RFC 7143 §12.1.3).
pub const MAX_BINARY_LEN: usize = 1024;

/// Why a text value is not a binary value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// Neither `0x…` nor `0b…`.
    #[error("it starts with neither 0x nor 0b")]
    NoPrefix,
    /// Nothing after the prefix.
    #[error("it holds no digit")]
    Empty,
    /// A character that is no digit of the encoding, or padding that is out of place.
    #[error("it holds a character that is no digit of its encoding")]
    BadDigit,
    /// Longer than [`MAX_BINARY_LEN`].
    #[error("it is longer than {MAX_BINARY_LEN} bytes")]
    TooLong,
}

/// The bytes of a hexadecimal (`0x…`, `0X…`) or base64 (`0b…`, `0B…`) constant.
///
/// An odd number of hexadecimal digits has an implied leading zero; the padding of base64 may be absent, for
/// there are peers that leave it out.
///
/// # Errors
/// [`BinaryError`]; the length is checked before anything is allocated.
pub fn decode_binary(text: &str) -> Result<Vec<u8>, BinaryError> {
    let bytes = text.as_bytes();
    match bytes {
        [b'0', b'x' | b'X', digits @ ..] => decode_hex(digits),
        [b'0', b'b' | b'B', digits @ ..] => decode_base64(digits),
        _ => Err(BinaryError::NoPrefix),
    }
}

/// `bytes` as a hexadecimal constant with its prefix `0x`.
#[must_use]
pub fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn decode_hex(digits: &[u8]) -> Result<Vec<u8>, BinaryError> {
    if digits.is_empty() {
        return Err(BinaryError::Empty);
    }
    if digits.len() > MAX_BINARY_LEN * 2 {
        return Err(BinaryError::TooLong);
    }
    let mut bytes = Vec::with_capacity(digits.len().div_ceil(2));
    let (odd, pairs) = digits.split_at(digits.len() % 2);
    if let [digit] = odd {
        bytes.push(hex_digit(*digit)?);
    }
    for pair in pairs.chunks_exact(2) {
        bytes.push(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?);
    }
    Ok(bytes)
}

fn hex_digit(digit: u8) -> Result<u8, BinaryError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(BinaryError::BadDigit),
    }
}

fn decode_base64(text: &[u8]) -> Result<Vec<u8>, BinaryError> {
    if text.len() > MAX_BINARY_LEN.div_ceil(3) * 4 {
        return Err(BinaryError::TooLong);
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    if digits.is_empty() {
        return Err(BinaryError::Empty);
    }
    // Padding, where there is any, must fill the last group of four, which holds at least two digits.
    let misplaced = padding > 0 && (text.len() % 4 != 0 || padding > 2);
    if misplaced || digits.len() % 4 == 1 {
        return Err(BinaryError::BadDigit);
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | u32::from(base64_digit(*digit)?);
        }
        let count = group.len() * 6 / 8;
        bits <<= 32 - group.len() * 6;
        bytes.extend_from_slice(&bits.to_be_bytes()[..count]);
    }
    if bytes.len() > MAX_BINARY_LEN {
        return Err(BinaryError::TooLong);
    }
    Ok(bytes)
}

fn base64_digit(digit: u8) -> Result<u8, BinaryError> {
    match digit {
        b'A'..=b'Z' => Ok(digit - b'A'),
        b'a'..=b'z' => Ok(digit - b'a' + 26),
        b'0'..=b'9' => Ok(digit - b'0' + 52),
        b'+' => Ok(62),
        b'/' => Ok(63),
        _ => Err(BinaryError::BadDigit),
    }
}

//! The values of operational keys as text (RFC 7143 §6.1): numbers, booleans, reserved words.

/// A decimal or hexadecimal constant of at most 32 bits; `None` for anything else.
#[must_use]
pub fn parse_number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        _ => (text, 10),
    };
    // `from_str_radix` also takes a sign, which the grammar does not know.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// `Yes` or `No`, as 1 or 0.
pub(super) fn parse_boolean(text: &str) -> Option<u32> {
    match text {
        "Yes" => Some(1),
        "No" => Some(0),
        _ => None,
    }
}

/// 1 as `Yes`, 0 as `No`.
pub(super) fn boolean_text(value: u32) -> &'static str {
    if value == 0 { "No" } else { "Yes" }
}

/// Whether a value is one of the words that answer an offer without choosing a value (RFC 7143 §6.2).
pub(super) fn is_refusal(text: &str) -> bool {
    matches!(text, "Irrelevant" | "NotUnderstood" | "Reject")
}

//! The parser of mountinfo's lines (proc(5): `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::MountEntry;

/// The most mounts that are taken from one table (the kernel's default limit is 100,000).
pub(super) const MAX_ENTRIES: usize = 1 << 18;
/// The most optional fields and the most options of one line.
const MAX_WORDS: usize = 4096;

/// A mountinfo text that breaks the documented form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A field is missing or not a number.
    #[error("line {line}: the field {field:?} is missing or malformed")]
    Field {
        /// Line number, from 1.
        line: usize,
        /// Which field.
        field: &'static str,
    },
    /// More lines than 262,144, or more words in a line than a mount can have.
    #[error("line {line}: more entries than are allowed")]
    TooMany {
        /// Line number, from 1.
        line: usize,
    },
}

pub(super) fn parse(text: &[u8]) -> Result<Vec<MountEntry>, ParseError> {
    let mut entries = Vec::new();
    for (index, line) in text.split(|b| *b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Err(ParseError::TooMany { line: index + 1 });
        }
        entries.push(parse_line(line, index + 1)?);
    }
    Ok(entries)
}

fn parse_line(text: &[u8], line: usize) -> Result<MountEntry, ParseError> {
    let mut words = text.split(|b| *b == b' ');
    let mut next = |field: &'static str| words.next().ok_or(ParseError::Field { line, field });
    let wrong = |field: &'static str| ParseError::Field { line, field };

    let mount_id = number(next("mount id")?).ok_or(wrong("mount id"))?;
    let parent_id = number(next("parent id")?).ok_or(wrong("parent id"))?;
    let device = std::str::from_utf8(next("major:minor")?)
        .ok()
        .and_then(|t| t.parse().ok());
    let device = device.ok_or(wrong("major:minor"))?;
    let root = path(next("root")?);
    let mount_point = path(next("mount point")?);
    if !mount_point.is_absolute() {
        return Err(wrong("mount point"));
    }
    let options = list(next("mount options")?, line)?;
    let mut optional_fields = Vec::new();
    loop {
        match next("separator")? {
            b"-" => break,
            field if optional_fields.len() < MAX_WORDS => optional_fields.push(unescape(field)),
            _ => return Err(ParseError::TooMany { line }),
        }
    }
    let fs_type = unescape(next("file system type")?);
    let source = unescape(next("source")?);
    let super_options = list(next("super options")?, line)?;
    Ok(MountEntry {
        mount_id,
        parent_id,
        device,
        root,
        mount_point,
        options,
        optional_fields,
        fs_type,
        source,
        super_options,
    })
}

fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn path(word: &[u8]) -> PathBuf {
    PathBuf::from(unescape(word))
}

fn list(word: &[u8], line: usize) -> Result<Vec<OsString>, ParseError> {
    let mut list = Vec::new();
    for option in word.split(|b| *b == b',').filter(|o| !o.is_empty()) {
        if list.len() == MAX_WORDS {
            return Err(ParseError::TooMany { line });
        }
        list.push(unescape(option));
    }
    Ok(list)
}

/// Resolves `\ooo` (three octal digits; the kernel writes them for space, tab, newline, `\` and `#`).
/// Anything else after a backslash stays as it is.
fn unescape(word: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, tail)) = rest.split_first() {
        if let (b'\\', Some(value)) = (byte, octal(tail)) {
            out.push(value);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    OsString::from_vec(out)
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3)?;
    let mut value = 0_u16;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value * 8 + u16::from(digit - b'0');
    }
    u8::try_from(value).ok()
}

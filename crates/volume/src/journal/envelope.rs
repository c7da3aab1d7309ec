//! The outermost layer of a journal file: one JSON object that holds a CRC32C and the record's exact bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The major version that this program writes and reads. A newer minor version only adds fields.
pub(super) const MAJOR: u32 = 1;

/// A record is far smaller; a larger file is damaged.
pub(super) const MAX_LEN: usize = 1 << 20;

const HEAD: &str = "{\"crc32c\":\"";
const MIDDLE: &str = "\",\"record\":";
const TAIL: &str = "}\n";

/// Why bytes are not a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They are damaged.
    Damaged(String),
    /// They are of this newer major version.
    Newer(u32),
}

/// The bytes of a file that holds `record`.
pub(super) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(record)?;
    let mut bytes = format!("{HEAD}{:08x}{MIDDLE}", crc32c::crc32c(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    bytes.extend_from_slice(TAIL.as_bytes());
    Ok(bytes)
}

/// Reads a record. Every byte counts: those around the record are compared, those of it are summed.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Flaw> {
    let damaged = |reason: &str| Flaw::Damaged(reason.to_owned());
    if bytes.is_empty() {
        return Err(damaged("it is empty"));
    }
    if bytes.len() > MAX_LEN {
        return Err(damaged("it is longer than a record can be"));
    }
    let rest = bytes
        .strip_prefix(HEAD.as_bytes())
        .ok_or_else(|| damaged("its head is not a record's"))?;
    let (sum, rest) = rest.split_at_checked(8).ok_or_else(|| damaged("it is cut off"))?;
    let rest = rest
        .strip_prefix(MIDDLE.as_bytes())
        .ok_or_else(|| damaged("its head is not a record's"))?;
    let body = rest
        .strip_suffix(TAIL.as_bytes())
        .ok_or_else(|| damaged("its end is missing"))?;
    if format!("{:08x}", crc32c::crc32c(body)).as_bytes() != sum {
        return Err(damaged("its CRC32C does not match"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| Flaw::Damaged(e.to_string()))?;
    let major = value
        .get("version")
        .and_then(Value::as_u64)
        .ok_or_else(|| damaged("it has no version"))?;
    match u32::try_from(major) {
        Ok(MAJOR) => serde_json::from_value(value).map_err(|e| Flaw::Damaged(e.to_string())),
        Ok(newer) if newer > MAJOR => Err(Flaw::Newer(newer)),
        _ => Err(Flaw::Damaged(format!("its version {major} never existed"))),
    }
}

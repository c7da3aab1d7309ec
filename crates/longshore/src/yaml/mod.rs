//! YAML files that people write: read strictly, every mistake named with file, line, column and field.

pub(crate) mod fields;
pub(crate) mod problem;
pub(crate) mod tree;

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// Reads a file (`-` is standard input) up to the bound; the text is wiped when dropped, because it may hold a Secret.
///
/// # Errors
/// In words: it cannot be read, is too large, or is not UTF-8.
pub(crate) fn read_file(file: &Path) -> Result<Zeroizing<String>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let limit = tree::MAX_FILE_BYTES as u64 + 1;
    let outcome = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    outcome.map_err(|error| format!("cannot read it: {error}"))?;
    if bytes.len() as u64 == limit {
        return Err(format!("larger than {} bytes", tree::MAX_FILE_BYTES));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes
            .iter()
            .take(error.valid_up_to())
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        format!("not UTF-8 text (line {line})")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A file's name as problems show it.
pub(crate) fn display(file: &Path) -> String {
    if file == Path::new("-") {
        "(standard input)".to_owned()
    } else {
        file.display().to_string()
    }
}

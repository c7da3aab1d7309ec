//! Small files that survive a crash: temporary file, fsync, rename, fsync of the directory.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// What to do when the file is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and the call succeeds.
    Keep,
    /// It is replaced.
    Replace,
}

/// Writes `content` to `path`; its directory is made with mode 0700 if need be.
///
/// # Errors
/// What the operating system says.
pub(crate) fn write(path: &Path, content: &[u8], existing: Existing) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    match existing {
        Existing::Replace => {
            temporary.persist(path)?;
        }
        Existing::Keep => match temporary.persist_noclobber(path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        },
    }
    File::open(directory)?.sync_all()
}

/// Removes a file durably; an absent one is fine.
///
/// # Errors
/// What the operating system says.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads a file of at most `max_bytes`; `None` when it is absent.
///
/// # Errors
/// What the operating system says; `InvalidData` for a larger file.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than {max_bytes} bytes"),
        ));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_or_is_replaced_and_no_temporary_file_stays() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("new/file");
        write(&path, b"one", Existing::Keep).expect("written");
        write(&path, b"two", Existing::Keep).expect("kept");
        assert_eq!(read(&path, 10).expect("read").as_deref(), Some(&b"one"[..]));
        write(&path, b"three", Existing::Replace).expect("replaced");
        assert_eq!(read(&path, 10).expect("read").as_deref(), Some(&b"three"[..]));
        assert!(read(&path, 4).is_err(), "over the bound");
        assert_eq!(
            std::fs::read_dir(dir.path().join("new")).expect("list").count(),
            1
        );
        remove(&path).expect("removed");
        remove(&path).expect("absent is fine");
        assert_eq!(read(&path, 10).expect("read"), None);
    }
}

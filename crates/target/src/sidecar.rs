//! The sidecar of a disk file: its WWID, which stays with the disk over restarts and moves.
//!
//! WWIDs are NAA 6 designators with a locally administered company id (the U/L bit of IEEE 802 is set) and 100 random
//! bits behind it.

use crate::error::DiskError;
use longshore_scsi::identity::Wwid;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// NAA 6 with the company id 02-4C-53.
const PREFIX: [u8; 4] = [0x60, 0x24, 0xc5, 0x30];
/// A sidecar is not longer than this.
const MAX_LEN: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    wwid: String,
}

/// Where the sidecar of `disk` stands.
pub(crate) fn path_of(disk: &Path) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".longshore");
    PathBuf::from(name)
}

/// The 16 bytes of a WWID of the form `naa.6…`.
pub(crate) fn parse_wwid(text: &str) -> Option<[u8; 16]> {
    let wwid: Wwid = text.parse().ok()?;
    let digits = wwid
        .as_str()
        .strip_prefix("naa.6")
        .filter(|rest| rest.len() == 31)?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    Some((number | 6 << 124).to_be_bytes())
}

/// The text of a NAA 6 designator.
pub(crate) fn wwid_text(naa: [u8; 16]) -> String {
    format!("naa.{:032x}", u128::from_be_bytes(naa))
}

/// Reads the WWID of `disk`; a disk that has none yet gets one, durably, before it is served.
pub(crate) fn load_or_create(disk: &Path) -> Result<[u8; 16], DiskError> {
    let path = path_of(disk);
    match File::open(&path) {
        Ok(file) => read(file, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(source) => Err(DiskError::Io {
            action: "open the sidecar",
            path,
            source,
        }),
    }
}

fn read(file: File, path: &Path) -> Result<[u8; 16], DiskError> {
    let damaged = |reason: String| DiskError::Sidecar {
        path: path.to_owned(),
        reason,
    };
    let mut text = String::new();
    file.take(MAX_LEN)
        .read_to_string(&mut text)
        .map_err(|error| damaged(error.to_string()))?;
    let content: Content = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if content.version != 1 {
        return Err(damaged(format!("version {} is not known here", content.version)));
    }
    parse_wwid(&content.wwid).ok_or_else(|| damaged(format!("{:?} is no WWID", content.wwid)))
}

fn create(path: PathBuf) -> Result<[u8; 16], DiskError> {
    let mut naa = [0; 16];
    let random = getrandom::fill(&mut naa).map_err(|error| io::Error::other(error.to_string()));
    naa[..3].copy_from_slice(&PREFIX[..3]);
    naa[3] = PREFIX[3] | (naa[3] & 0x0f);
    let content = Content {
        version: 1,
        wwid: wwid_text(naa),
    };
    let written = random.and_then(|()| write_durably(&path, &content));
    written.map_err(|source| DiskError::SidecarWrite { path, source })?;
    Ok(naa)
}

fn write_durably(path: &Path, content: &Content) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)?;
    let mut text = serde_json::to_string(content).map_err(io::Error::other)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wwid_stays_with_its_disk_also_when_both_files_move() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("a.img");
        let first = load_or_create(&disk).unwrap();
        assert_eq!(load_or_create(&disk).unwrap(), first);
        let moved = dir.path().join("b.img");
        fs::rename(path_of(&disk), path_of(&moved)).unwrap();
        assert_eq!(load_or_create(&moved).unwrap(), first);
        let other = load_or_create(&disk).unwrap();
        assert_ne!(other, first);
        assert_eq!(other[..3], [0x60, 0x24, 0xc5]);
        assert_eq!(parse_wwid(&wwid_text(other)), Some(other));
    }

    #[test]
    fn a_damaged_sidecar_is_an_error_and_never_a_new_wwid() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("a.img");
        for text in [
            "",
            "{}",
            "{\"version\":2,\"wwid\":\"naa.6\"}",
            "{\"version\":1,\"wwid\":\"naa.5000000000000001\"}",
        ] {
            fs::write(path_of(&disk), text).unwrap();
            assert!(
                matches!(load_or_create(&disk), Err(DiskError::Sidecar { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let missing = Path::new("/nonexistent-directory/a.img");
        let error = load_or_create(missing).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("/nonexistent-directory/a.img.longshore"),
            "{error}"
        );
    }
}

//! Where the records are, and how they are written: temporary file, fsync, rename, fsync of the directory.

use super::envelope::{self, Flaw, MAJOR, MAX_LEN};
use super::{JournalError, LunRecord, VolumeRecord};
use crate::failpoint;
use crate::model::{LunKey, VolumeId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The journal of a node.
///
/// A volume's file is named `<lun>@<id>.json`: so a damaged record still says which LUN it uses, and the records of
/// one LUN are found without reading the others.
#[derive(Debug)]
pub struct Journal {
    volumes: PathBuf,
    luns: PathBuf,
    aside: PathBuf,
}

/// A volume's record by its name, read or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The LUN that it uses.
    pub lun: LunKey,
    /// The volume.
    pub id: VolumeId,
}

impl Place {
    fn file_name(&self) -> String {
        format!("{}@{}.json", self.lun, self.id)
    }

    fn from_file_name(name: &str) -> Option<Self> {
        let (lun, id) = name.strip_suffix(".json")?.split_once('@')?;
        let lun: VolumeId = lun.parse().ok()?;
        Some(Place {
            lun: LunKey::from(lun),
            id: id.parse().ok()?,
        })
    }
}

impl Journal {
    /// Opens (and makes, with mode 0700) the journal under the state directory.
    ///
    /// # Errors
    /// When its directories cannot be made.
    pub fn open(state_dir: &Path) -> Result<Journal, JournalError> {
        let at = |name: &str| state_dir.join(name);
        let journal = Journal {
            volumes: at("volumes"),
            luns: at("luns"),
            aside: at("aside"),
        };
        for dir in [&journal.volumes, &journal.luns, &journal.aside] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(|source| JournalError::Io {
                    what: "make the directory of",
                    path: dir.clone(),
                    source,
                })?;
        }
        Ok(journal)
    }

    /// The names of all records, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn places(&self) -> Result<Vec<Place>, JournalError> {
        let wrong = |source| JournalError::Io {
            what: "list",
            path: self.volumes.clone(),
            source,
        };
        let mut places = Vec::new();
        for entry in fs::read_dir(&self.volumes).map_err(wrong)? {
            let name = entry.map_err(wrong)?.file_name();
            places.extend(name.to_str().and_then(Place::from_file_name));
        }
        places.sort();
        Ok(places)
    }

    /// The name of a volume's record, if it has one.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn place(&self, id: &VolumeId) -> Result<Option<Place>, JournalError> {
        Ok(self.places()?.into_iter().find(|place| place.id == *id))
    }

    /// Reads a volume's record; `None` only when there is no file.
    ///
    /// # Errors
    /// A damaged or newer record is an error, never `None`.
    pub fn volume(&self, place: &Place) -> Result<Option<VolumeRecord>, JournalError> {
        let path = self.volumes.join(place.file_name());
        let Some(record) = read::<VolumeRecord>(&path)? else {
            return Ok(None);
        };
        if record.id != place.id || record.lun_key() != place.lun {
            let reason = format!("it is the record of {} on {}", record.id, record.lun_key());
            return Err(JournalError::Damaged { path, reason });
        }
        Ok(Some(record))
    }

    /// Writes a volume's record durably.
    ///
    /// # Errors
    /// When it cannot be written; the old record is then still whole.
    pub fn write_volume(&self, record: &VolumeRecord) -> Result<(), JournalError> {
        let place = Place {
            lun: record.lun_key(),
            id: record.id.clone(),
        };
        write(&self.volumes, &place.file_name(), record)
    }

    /// Removes a volume's record durably.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_volume(&self, place: &Place) -> Result<(), JournalError> {
        remove(&self.volumes, &place.file_name())
    }

    /// Reads what is known of a LUN; `None` only when there is no file.
    ///
    /// # Errors
    /// A damaged or newer record is an error, never `None`.
    pub fn lun(&self, lun: &LunKey) -> Result<Option<LunRecord>, JournalError> {
        let path = self.luns.join(format!("{lun}.json"));
        match read::<LunRecord>(&path)? {
            Some(record) if record.lun != *lun => Err(JournalError::Damaged {
                path,
                reason: format!("it is the record of {}", record.lun),
            }),
            other => Ok(other),
        }
    }

    /// Writes what is known of a LUN durably.
    ///
    /// # Errors
    /// When it cannot be written; the old record is then still whole.
    pub fn write_lun(&self, record: &LunRecord) -> Result<(), JournalError> {
        write(&self.luns, &format!("{}.json", record.lun), record)
    }

    /// Forgets what is known of a LUN.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_lun(&self, lun: &LunKey) -> Result<(), JournalError> {
        remove(&self.luns, &format!("{lun}.json"))
    }

    /// Puts a damaged record of a volume aside, under a name that says when.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn put_volume_aside(&self, place: &Place) -> Result<(), JournalError> {
        self.put_aside(&self.volumes, &place.file_name())
    }

    /// Puts a damaged record of a LUN aside.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn put_lun_aside(&self, lun: &LunKey) -> Result<(), JournalError> {
        self.put_aside(&self.luns, &format!("{lun}.json"))
    }

    fn put_aside(&self, dir: &Path, name: &str) -> Result<(), JournalError> {
        let from = dir.join(name);
        let to = self.aside.join(format!("{}.{name}", crate::lock::now_ms()));
        let moved = match fs::rename(&from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        moved
            .and_then(|()| sync_dir(&self.aside))
            .and_then(|()| sync_dir(dir))
            .map_err(|source| JournalError::Io {
                what: "put aside",
                path: from,
                source,
            })
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JournalError> {
    let mut bytes = Vec::new();
    let wrong = |source| JournalError::Io {
        what: "read",
        path: path.to_owned(),
        source,
    };
    match File::open(path) {
        Ok(file) => file
            .take(MAX_LEN as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(wrong)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    envelope::decode(&bytes).map(Some).map_err(|flaw| match flaw {
        Flaw::Damaged(reason) => JournalError::Damaged {
            path: path.to_owned(),
            reason,
        },
        Flaw::Newer(found) => JournalError::Newer {
            path: path.to_owned(),
            found,
            known: MAJOR,
        },
    })
}

/// Each file has its own temporary name and its own lock, so two writers never share one.
fn write<T: Serialize>(dir: &Path, name: &str, record: &T) -> Result<(), JournalError> {
    let path = dir.join(name);
    let wrong = |source| JournalError::Io {
        what: "write",
        path: path.clone(),
        source,
    };
    let bytes = envelope::encode(record).map_err(|error| wrong(io::Error::other(error)))?;
    let temporary = dir.join(format!(".{name}.new"));
    failpoint::journal(0);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(wrong)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(wrong)?;
    failpoint::journal(1);
    fs::rename(&temporary, &path).map_err(wrong)?;
    failpoint::journal(2);
    sync_dir(dir).map_err(wrong)
}

fn remove(dir: &Path, name: &str) -> Result<(), JournalError> {
    let path = dir.join(name);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    removed
        .and_then(|()| sync_dir(dir))
        .map_err(|source| JournalError::Io {
            what: "remove",
            path,
            source,
        })
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

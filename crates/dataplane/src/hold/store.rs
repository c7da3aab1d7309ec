//! What is kept: a blob and descriptors under each name, in memory only, within bounds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::fd::OwnedFd;

use longshore_blockdev::{fdpass, lift};
use zeroize::Zeroizing;

use super::message::MAX_BODY_BYTES;

/// Most names.
const MAX_ENTRIES: usize = 4096;
/// Most bytes of all blobs together.
const MAX_BYTES: usize = 64 << 20;

/// What is kept under one name. Dropped in this order: the blob is wiped, the descriptors are closed, the one of
/// /dev/fuse first.
pub(super) struct Entry {
    pub(super) blob: Zeroizing<Vec<u8>>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// All that is kept.
#[derive(Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps an entry, in place of an older one of this name. When it is refused, the older one stays.
    pub(super) fn keep(&mut self, name: &str, blob: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), String> {
        if name.is_empty() {
            return Err("an entry needs a name".to_owned());
        }
        if blob.len() > MAX_BODY_BYTES || descriptors.len() > fdpass::MAX_DESCRIPTORS {
            return Err("the entry is too large".to_owned());
        }
        let before = self.entries.get(name).map(|entry| entry.blob.len());
        if before.is_none() && self.entries.len() >= MAX_ENTRIES {
            return Err(format!("{MAX_ENTRIES} entries are kept, which is the most"));
        }
        let bytes = self.bytes - before.unwrap_or(0) + blob.len();
        if bytes > MAX_BYTES {
            return Err(format!(
                "all entries together would be over {} MiB",
                MAX_BYTES >> 20
            ));
        }
        let descriptors = number(descriptors).map_err(|error| format!("no room for descriptors: {error}"))?;
        let entry = Entry {
            blob: Zeroizing::new(blob.to_vec()),
            descriptors,
        };
        self.bytes = bytes;
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Closes and wipes what is kept under the name.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.bytes -= entry.blob.len();
        }
    }

    /// The entry that follows `name`, or the first.
    pub(super) fn after(&self, name: Option<&str>) -> Option<(&str, &Entry)> {
        let start = name.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.entries.range::<str, _>((start, Bound::Unbounded));
        rest.next().map(|(name, entry)| (name.as_str(), entry))
    }
}

/// Numbers the first descriptor, that of /dev/fuse, above all others (`blockdev::descriptors` says why).
fn number(descriptors: Vec<OwnedFd>) -> std::io::Result<Vec<OwnedFd>> {
    descriptors
        .into_iter()
        .enumerate()
        .map(|(index, descriptor)| {
            if index == 0 {
                lift(descriptor)
            } else {
                Ok(descriptor)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    fn pipe() -> (std::fs::File, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        (reader.into(), writer)
    }

    fn is_closed(reader: &mut std::fs::File) -> bool {
        rustix::io::ioctl_fionbio(&*reader, true).unwrap();
        matches!(reader.read(&mut [0; 1]), Ok(0))
    }

    #[test]
    fn a_new_entry_replaces_the_old_one_and_a_release_closes_it() {
        let mut store = Store::default();
        let (mut first, writer) = pipe();
        store.keep("a", b"1", vec![writer]).unwrap();
        assert!(!is_closed(&mut first));
        let (mut second, writer) = pipe();
        store.keep("a", b"22", vec![writer]).unwrap();
        assert!(is_closed(&mut first) && !is_closed(&mut second));
        assert_eq!((store.len(), store.bytes), (1, 2));
        store.release("b");
        store.release("a");
        assert!(is_closed(&mut second) && store.is_empty());
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn the_descriptor_of_fuse_is_numbered_above_the_others() {
        let mut store = Store::default();
        let (_one, first) = pipe();
        let (_other, second) = pipe();
        store.keep("a", b"", vec![first, second]).unwrap();
        let (_, entry) = store.after(None).unwrap();
        assert!(entry.descriptors[0].as_raw_fd() > entry.descriptors[1].as_raw_fd() + 100);
    }

    #[test]
    fn the_bounds_hold_and_a_refusal_changes_nothing() {
        let mut store = Store::default();
        for number in 0..MAX_ENTRIES {
            store.keep(&number.to_string(), b"", Vec::new()).unwrap();
        }
        assert!(store.keep("more", b"", Vec::new()).unwrap_err().contains("4096"));
        store.keep("0", b"again", Vec::new()).unwrap();
        assert!(store.keep("", b"", Vec::new()).is_err());

        let mut store = Store::default();
        let blob = vec![0; MAX_BODY_BYTES];
        let fitting = MAX_BYTES / MAX_BODY_BYTES;
        for number in 0..fitting {
            store.keep(&number.to_string(), &blob, Vec::new()).unwrap();
        }
        assert!(store.keep("more", b"x", Vec::new()).is_err());
        store.keep("0", &blob, Vec::new()).unwrap();
        assert_eq!(store.len(), fitting);
    }

    #[test]
    fn entries_come_one_after_the_other() {
        let mut store = Store::default();
        for name in ["b", "a", "c"] {
            store.keep(name, b"", Vec::new()).unwrap();
        }
        let mut names = Vec::new();
        while let Some((name, _)) = store.after(names.last().map(String::as_str)) {
            names.push(name.to_owned());
        }
        assert_eq!(names, ["a", "b", "c"]);
    }
}

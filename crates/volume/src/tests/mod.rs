//! The whole engine on the simulated machine.

mod btrfs;
mod crashes;
mod independence;
mod joining;
mod model;
mod processes;
mod protection;
mod scenarios;
mod sharing;

use crate::sim::{Disk, Sim, SimFs, World};
use crate::{Call, Engine, ErrorKind, FsType, IscsiVolume, LunKey, Source, VolumeError, VolumeSpec};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const IQN: &str = "iqn.2003-01.org.example:array";
const UUID: &str = "01234567-89ab-4def-8123-456789abcdef";

/// A simulated machine with directories of its own.
struct Bench {
    dir: TempDir,
    sim: Sim,
}

impl Bench {
    fn new() -> Self {
        // In memory where there is such a place: the journal syncs each write.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let sim = Sim::open(&dir.path().join("machine")).unwrap();
        Bench { dir, sim }
    }

    /// A machine with one ext4 on LUN 0.
    fn with_ext4() -> Self {
        let bench = Self::new();
        bench.add(0, ext4());
        bench
    }

    fn add(&self, lun: u16, disk: Disk) -> LunKey {
        self.world(|world| world.add_lun(IQN, lun, disk))
    }

    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        self.sim.edit(look).unwrap()
    }

    /// Another engine on the same machine, as another process would have.
    fn engine(&self) -> Engine {
        self.sim.engine(self.dir.path()).unwrap()
    }

    /// A target directory, made if need be.
    fn target(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("pods").join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::canonicalize(path).unwrap()
    }

    /// Nothing of any volume is left: no mount, device, record, link, staging directory, lock file.
    fn assert_clean(&self) {
        let world = self.world(|world| world.clone());
        assert_eq!(world.violations, Vec::<String>::new());
        assert!(world.mounts.is_empty(), "{:?}", world.mounts);
        assert!(world.devices.is_empty(), "{:?}", world.devices);
        for place in ["state/volumes", "run/staging", "run/devices"] {
            assert_eq!(
                entries(&self.dir.path().join(place)),
                Vec::<String>::new(),
                "{place}"
            );
        }
    }

    fn assert_no_violation(&self) {
        assert_eq!(self.world(|world| world.violations.clone()), Vec::<String>::new());
    }
}

/// Names in a directory, without what an interrupted write left.
fn entries(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

fn fs(fs_type: FsType, uuid: &str) -> Disk {
    Disk::Fs(SimFs {
        fs_type,
        uuid: uuid.into(),
        label: String::new(),
        dirty: false,
        size_bytes: 64 << 20,
    })
}

fn ext4() -> Disk {
    fs(FsType::Ext4, UUID)
}

fn spec(lun: u16) -> VolumeSpec {
    VolumeSpec::new(Source::Iscsi(IscsiVolume::new("192.0.2.1", IQN, lun)))
}

fn call() -> Call<'static> {
    Call::within(Duration::from_secs(60))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, VolumeError>, kind: ErrorKind, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

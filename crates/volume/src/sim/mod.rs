//! A simulated machine with simulated storage: the whole engine runs on it without root and without devices.
//!
//! Its state is one file, so several engines in several processes share one machine; it outlives a crash of any of
//! them, as a kernel does. Journal, locks and directories are the real ones.

mod backend;
mod host;
mod world;

pub use world::{Disk, Hold, SimDevice, SimFs, SimLun, SimMount, World};

use crate::backend::Backends;
use crate::engine::{Engine, EngineConfig};
use crate::error::VolumeError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A simulated machine; clones are the same machine.
#[derive(Debug, Clone)]
pub struct Sim {
    dir: PathBuf,
}

impl Sim {
    /// The machine whose state lies in `dir`; made when it is new.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(dir: &Path) -> io::Result<Sim> {
        fs::create_dir_all(dir)?;
        Ok(Sim { dir: dir.to_owned() })
    }

    /// Looks at the machine's state and changes it, as one atomic step.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn edit<T>(&self, change: impl FnOnce(&mut World) -> T) -> io::Result<T> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.dir.join("world.lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let path = self.dir.join("world.json");
        let mut world = match File::open(&path) {
            Ok(file) => serde_json::from_reader(io::BufReader::new(file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => World::default(),
            Err(error) => return Err(error),
        };
        let answer = change(&mut world);
        let temporary = self.dir.join("world.new");
        fs::write(&temporary, serde_json::to_vec(&world)?)?;
        fs::rename(&temporary, &path)?;
        Ok(answer)
    }

    /// Stops here while the test wants it.
    fn pause(&self, which: impl Fn(&mut World) -> &mut Hold) -> io::Result<()> {
        let mut is_held = self.edit(|world| {
            let hold = which(world);
            let stops = *hold == Hold::Next;
            if stops {
                *hold = Hold::Reached;
            }
            stops
        })?;
        while is_held {
            std::thread::sleep(std::time::Duration::from_millis(2));
            is_held = self.edit(|world| *which(world) == Hold::Reached)?;
        }
        Ok(())
    }

    /// The registry with the simulated backend in the place of every real one.
    pub fn backends(&self) -> Backends {
        Backends::new().with("iscsi", Box::new(backend::SimBackend(self.clone())))
    }

    /// An engine on this machine, with its directories below `dir`.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn engine(&self, dir: &Path) -> Result<Engine, VolumeError> {
        Engine::open(EngineConfig {
            state_dir: dir.join("state"),
            run_dir: dir.join("run"),
            backends: self.backends(),
            host: Box::new(host::SimHost(self.clone())),
        })
    }
}

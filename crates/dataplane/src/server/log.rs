//! Traces of the data plane: to standard error, which is the log file, bounded in size.
//!
//! Only standard error is written to, and never another descriptor: threads with a descriptor table of their own keep
//! the standard streams alone.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Mutex;

use tracing_subscriber::filter::LevelFilter;

use crate::Dirs;

/// The log is renamed to `….old` and begun anew when this process wrote so much.
const MAX_BYTES: u64 = 1 << 20;

/// Installs the process's subscriber. Another one that is there already stays.
pub(super) fn install(dirs: &Dirs) {
    let writer = Mutex::new(Bounded {
        path: dirs.log(),
        written: 0,
    });
    let subscriber = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .finish();
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("a subscriber is installed already");
    }
}

struct Bounded {
    path: PathBuf,
    written: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written > MAX_BYTES {
            self.written = 0;
            // A log that cannot be renewed must not stop the I/O that is logged.
            let _ = self.renew();
        }
        let written = io::stderr().write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bounded {
    /// Only where standard error is the log file, and not a terminal or a test's pipe.
    fn renew(&self) -> io::Result<()> {
        let log = std::fs::metadata(&self.path)?;
        let stderr = rustix::fs::fstat(io::stderr())?;
        if (log.dev(), log.ino()) != (stderr.st_dev, stderr.st_ino) {
            return Ok(());
        }
        std::fs::rename(&self.path, self.path.with_extension("log.old"))?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        rustix::stdio::dup2_stdout(&file)?;
        Ok(rustix::stdio::dup2_stderr(&file)?)
    }
}

//! SIGINT, SIGTERM and SIGHUP as something to wait for, so that a command can clear up before it ends.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::{CliError, ExitCode};

/// Tells which signal asked for the end, if one did.
#[derive(Debug)]
pub(crate) struct Shutdown {
    noted: Arc<AtomicUsize>,
    wake: UnixStream,
}

impl Shutdown {
    /// From now on the signals do not end the process; they are noted here.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn catch() -> Result<Self, CliError> {
        let failed = |error: std::io::Error| {
            CliError::new(ExitCode::Failure, format!("cannot catch signals: {error}"))
        };
        let noted = Arc::new(AtomicUsize::new(0));
        let (wake, waker) = UnixStream::pair().map_err(failed)?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&noted), signal as usize).map_err(failed)?;
            let waker = waker.try_clone().map_err(failed)?;
            signal_hook::low_level::pipe::register(signal, waker).map_err(failed)?;
        }
        Ok(Self { noted, wake })
    }

    /// Waits for a signal.
    pub(crate) fn wait(&self) {
        let mut byte = [0];
        // A failure to read ends the waiting too: nobody could wake it any more.
        while self.asked().is_none() {
            if (&self.wake).read_exact(&mut byte).is_err() {
                return;
            }
        }
    }

    /// The exit code of the signal that came.
    pub(crate) fn asked(&self) -> Option<ExitCode> {
        match i32::try_from(self.noted.load(Ordering::Relaxed)) {
            Ok(0) | Err(_) => None,
            Ok(SIGINT) => Some(ExitCode::Interrupted),
            Ok(_) => Some(ExitCode::Terminated),
        }
    }
}

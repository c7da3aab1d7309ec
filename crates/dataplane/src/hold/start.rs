//! The second stages: make this process a guard, with a data plane that it starts or that runs already.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use longshore_blockdev::fdpass;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::net::{SocketType, sockopt};
use rustix::process::{
    DumpableBehavior, configure_io_flusher_behavior, set_dumpable_behavior, setsid, umask,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::guard::{Guard, Guarded};
use super::message::{Kind, MAX_MESSAGE_BYTES, Message, reply};
use super::ward::Ward;
use super::{Config, HoldError, host, lock, log};

/// How long the data plane that started this process may take to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// See [`Stage::Guard`](super::Stage::Guard).
pub(super) fn guard(config: Config) -> Result<(), HoldError> {
    let mut launcher = UnixStream::from(take_stdin("guard", SocketType::STREAM)?);
    let report = launcher.try_clone().map_err(host("copy a descriptor"))?;
    let started = prepare(&config)
        .and_then(|(lock, signals)| Guard::new(config, lock, signals, Guarded::New { launcher: report }));
    let result = started.and_then(Guard::run);
    if let Err(error) = &result {
        // It may have gone, and standard error is told as well.
        let _ = write!(launcher, "{error}");
    }
    result
}

/// See [`Stage::Adopt`](super::Stage::Adopt).
pub(super) fn adopt(config: Config) -> Result<(), HoldError> {
    let socket = take_stdin("adopt", SocketType::SEQPACKET)?;
    let (lock, signals) = prepare(&config)?;
    let ward = meet(socket).map_err(host("take over the data plane that started it"))?;
    log::line("guards a running data plane now");
    Guard::new(config, lock, signals, Guarded::Running(ward))?.run()
}

/// What every guard is: in a session of its own, alone, private, and ready to start a process when memory is short.
fn prepare(config: &Config) -> Result<(File, UnixStream), HoldError> {
    // Fails when this process leads a session already, which is as good.
    let _ = setsid();
    umask(0o077.into());
    let signals = watch_signals().map_err(host("watch for signals"))?;
    let lock = lock::take(&config.dirs)?;
    // Notes may hold secrets: no core dump, no debugger, no swap.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| host("switch core dumps off")(error.into()))?;
    let locked = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let wishes = [
        ("lock its memory", mlockall(locked).map_err(io::Error::from)),
        // Allocations of this process and its children must not wait for devices that they serve.
        (
            "become an I/O flusher",
            configure_io_flusher_behavior(true).map_err(io::Error::from),
        ),
        (
            "lower its OOM score",
            std::fs::write("/proc/self/oom_score_adj", "-900"),
        ),
    ];
    for (what, outcome) in wishes {
        if let Err(error) = outcome {
            log::line(&format!("goes on without this: cannot {what}: {error}"));
        }
    }
    Ok((lock, signals))
}

/// A stream that becomes readable at SIGTERM and SIGINT. SIGHUP has no effect from now on.
fn watch_signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    signal_hook::flag::register(SIGHUP, std::sync::Arc::default())?;
    Ok(reader)
}

/// The socket that is standard input; /dev/null takes its place.
fn take_stdin(stage: &'static str, kind: SocketType) -> Result<OwnedFd, HoldError> {
    let stdin = io::stdin();
    if !sockopt::socket_type(&stdin).is_ok_and(|found| found == kind) {
        return Err(HoldError::Internal(stage));
    }
    let take = || {
        let socket = rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok(socket)
    };
    take().map_err(host("take over standard input"))
}

/// Waits for the introduction of a running data plane: a pidfd of its process.
fn meet(socket: OwnedFd) -> io::Result<Ward> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    let patience = Timespec::try_from(INTRODUCTION).map_err(io::Error::other)?;
    let mut waiting = [PollFd::new(&socket, PollFlags::IN)];
    if rustix::io::retry_on_intr(|| poll(&mut waiting, Some(&patience)))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let (len, descriptors) = fdpass::receive(&socket, &mut buffer)?;
    let message = Message::parse(&buffer[..len]).map_err(io::Error::other)?;
    let (Kind::Adopt, Ok([pidfd])) = (message.kind, <[OwnedFd; 1]>::try_from(descriptors)) else {
        return Err(io::Error::other("it did not introduce itself"));
    };
    fdpass::send(&socket, &reply(message.sequence, Ok(())), &[])?;
    Ok(Ward::adopted(pidfd, socket))
}

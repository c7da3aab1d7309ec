//! Blocking calls on our own device, on a thread with a descriptor table of its own.
//!
//! Such a call (opening the file, configuring or flushing the loop device) ends only when this process answers the
//! request that it causes. If the process is killed meanwhile, the thread hangs in the kernel, and a descriptor table
//! that it shares would hang with it, the descriptor of /dev/fuse in it: then nothing ever ended the request. So the
//! thread gives up the process's table, and what it works with travels over a socket, both ways.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptors::fuse_base;
use crate::fdpass;

const STACK_BYTES: usize = 128 << 10;
/// The only message of either side; what matters are the descriptors with it.
const GIVEN: &[u8] = &[1];

/// A call under way on its thread.
pub(crate) struct Helper<T> {
    /// Tells the end, and carries the descriptors. Nothing else may wake the runtime: a waker writes to a descriptor
    /// of the process's table, and that number means another file in the thread's.
    socket: AsyncFd<OwnedFd>,
    result: Arc<Mutex<Option<io::Result<T>>>>,
    what: &'static str,
}

impl<T: Send + 'static> Helper<T> {
    /// Starts `work` with `given`, which leave this process's table. Descriptors that `work` returns come back. `work`
    /// must not trace, nor touch anything that owns a descriptor or a waker, besides what it is given.
    pub(crate) fn start(
        what: &'static str,
        given: Vec<OwnedFd>,
        work: impl FnOnce(Vec<OwnedFd>) -> io::Result<(T, Vec<OwnedFd>)> + Send + 'static,
    ) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let borrowed: Vec<_> = given.iter().map(AsFd::as_fd).collect();
        fdpass::send(&ours, GIVEN, &borrowed)?;
        drop(given);
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        let (left, has_left) = mpsc::channel();
        let number = theirs.as_raw_fd();
        std::thread::Builder::new()
            .name(what.to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let keep_result =
                    |result| *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                let own = leave_table(number).map_err(|error| keep_result(Err(error)));
                // The process may close its copy now, whatever came of it.
                let _ = left.send(());
                let Ok(own) = own else { return };
                let done = fdpass::receive(&own, &mut [0; 8]).and_then(|(_, given)| work(given));
                let (value, returned) = match done {
                    Ok((value, returned)) => (Ok(value), returned),
                    Err(error) => (Err(error), Vec::new()),
                };
                keep_result(value);
                let borrowed: Vec<_> = returned.iter().map(AsFd::as_fd).collect();
                // When the caller gave up, nobody receives, and the descriptors are closed here.
                let _ = fdpass::send(&own, GIVEN, &borrowed);
            })?;
        // A few microseconds; nothing in between depends on a request of ours.
        let _ = has_left.recv();
        drop(theirs);
        // SAFETY: the `AsyncFd` owns the descriptor, which therefore stays open and the same until it is dropped.
        let socket =
            unsafe { AsyncFd::register_with_interest(ours, Interest::READABLE) }.map_err(io::Error::from)?;
        Ok(Self { socket, result, what })
    }

    /// Waits for the result. After the deadline (an error of kind `TimedOut`) the thread goes on by itself, and
    /// [`Helper::finish`] may be called again.
    pub(crate) async fn finish(&mut self, deadline: Instant) -> io::Result<(T, Vec<OwnedFd>)> {
        let received = tokio::time::timeout_at(deadline.into(), self.receive()).await;
        let returned = received.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("'{}' did not end before the deadline", self.what),
            )
        })??;
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Some(Ok(value)) => Ok((value, returned)),
            Some(Err(error)) => Err(error),
            None => Err(io::Error::other(format!("'{}' broke off", self.what))),
        }
    }

    async fn receive(&self) -> io::Result<Vec<OwnedFd>> {
        loop {
            let mut guard = self.socket.readable().await?;
            match fdpass::receive(self.socket.get_ref(), &mut [0; 8]) {
                Ok((_, returned)) => return Ok(returned),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Gives this thread a table with nothing in it but the standard streams and `keep`. Descriptors of /dev/fuse are
/// never in it, not even for a moment.
fn leave_table(number: i32) -> io::Result<OwnedFd> {
    let keep = number.unsigned_abs();
    let base = fuse_base().unsigned_abs();
    if keep < 3 || keep >= base {
        return Err(io::Error::other(format!(
            "descriptor {keep} is out of place; are all numbers below {base} in use?"
        )));
    }
    close_range(base, u32::MAX, libc::CLOSE_RANGE_UNSHARE)?;
    close_range(keep + 1, base - 1, 0)?;
    if keep > 3 {
        close_range(3, keep - 1, 0)?;
    }
    // SAFETY: `keep` is open in this thread's own table, a copy of the process's, and nobody else knows this table.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `close_range(2)` (Linux 5.9).
fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: plain numbers. The first call (CLOSE_RANGE_UNSHARE) gives the thread a table of its own and drops from
    // that one only; the others run after it. Nothing that this thread owns lies in the ranges.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn descriptors_travel_both_ways_and_the_process_keeps_none() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"given").unwrap();
        file.rewind().unwrap();
        let mut helper = Helper::start("travel", vec![file.into()], |mut given| {
            let mut file = std::fs::File::from(given.remove(0));
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let mut answer = tempfile::tempfile()?;
            answer.write_all(b"returned")?;
            answer.rewind()?;
            Ok((text, vec![answer.into()]))
        })
        .unwrap();
        let (text, mut returned) = helper.finish(soon()).await.unwrap();
        assert_eq!(text, "given");
        let mut answer = String::new();
        std::fs::File::from(returned.remove(0))
            .read_to_string(&mut answer)
            .unwrap();
        assert_eq!(answer, "returned");
    }

    #[tokio::test]
    async fn the_thread_sees_nothing_of_the_process() {
        let (kept, _other) = rustix::pipe::pipe().unwrap();
        let lifted = crate::descriptors::lift(kept).unwrap();
        let number = lifted.as_raw_fd();
        let mut helper = Helper::start("look", Vec::new(), move |_| {
            let open: Vec<i32> = std::fs::read_dir("/proc/thread-self/fd")?
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect();
            // The standard streams, the socket, and the directory that is being read.
            Ok(((open.len(), open.contains(&number)), Vec::new()))
        })
        .unwrap();
        let ((count, seen), _) = helper.finish(soon()).await.unwrap();
        assert!(!seen && count <= 5, "{count} descriptors");
    }

    #[tokio::test]
    async fn a_late_helper_can_be_waited_for_again() {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let mut helper = Helper::start("late", Vec::new(), move |_| {
            let _ = wait.recv();
            Ok((5, Vec::new()))
        })
        .unwrap();
        let error = helper.finish(Instant::now()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        go.send(()).unwrap();
        assert_eq!(helper.finish(soon()).await.unwrap().0, 5);
    }
}

//! A child process that runs one job with a deadline and sends back one message, with at most one descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

/// The most bytes of explanation that a child sends.
pub(crate) const TEXT_BYTES: usize = 1024;
const HEAD_BYTES: usize = 8;
/// How long a killed child is waited for before it is left to the reaper.
const KILL_GRACE: Duration = Duration::from_millis(500);

/// What a job answers. Fixed in size, because a child of a process with threads must not allocate.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// Error number; 0 is success.
    pub(crate) errno: i32,
    /// Which step of the job failed.
    pub(crate) step: u8,
    text: [u8; TEXT_BYTES],
    text_len: usize,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Self {
            errno: 0,
            step: 0,
            text: [0; TEXT_BYTES],
            text_len: 0,
        }
    }

    /// Adds bytes to the explanation; what does not fit is dropped.
    pub(crate) fn push_text(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(slot) = self.text.get_mut(self.text_len) {
                *slot = *byte;
                self.text_len += 1;
            }
        }
    }

    /// The explanation, control characters replaced.
    pub(crate) fn text(&self) -> String {
        let bytes = self.text.get(..self.text_len).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
        clean.collect()
    }

    fn emit(&self, out: &mut [u8; HEAD_BYTES + TEXT_BYTES]) -> usize {
        let [e0, e1, e2, e3] = self.errno.to_le_bytes();
        let head = [e0, e1, e2, e3, self.step, 0, 0, 0];
        let text = self.text.get(..self.text_len).unwrap_or_default();
        for (slot, byte) in out.iter_mut().zip(head.iter().chain(text)) {
            *slot = *byte;
        }
        HEAD_BYTES + text.len()
    }

    fn parse(message: &[u8]) -> Option<Self> {
        let (head, text) = message.split_at_checked(HEAD_BYTES)?;
        let mut reply = Self::new();
        reply.errno = i32::from_le_bytes(head.get(..4)?.try_into().ok()?);
        reply.step = *head.get(4)?;
        reply.push_text(text);
        Some(reply)
    }
}

/// The child did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    /// It could not be made.
    #[error("cannot start a child process: {0}")]
    Start(io::Error),
    /// It was killed at the deadline and is gone.
    #[error("no answer from the kernel before the deadline")]
    Deadline,
    /// It was killed at the deadline, but the kernel does not let it go; it ends when the kernel does.
    #[error(
        "no answer from the kernel before the deadline, and process {pid} is still stuck in it: the device or \
         server behind does not answer"
    )]
    Stuck {
        /// The child.
        pid: u32,
    },
    /// It ended without an answer.
    #[error("the child process that made the system call ended without an answer ({0})")]
    Died(String),
}

/// Runs `job` in a child process; the child keeps only the descriptors in `keep`.
///
/// # Safety
///
/// `job` runs after `fork` in a process that may have had other threads: it must only make system calls, and
/// must neither allocate, nor take a lock, nor panic.
pub(super) unsafe fn run_in_child<F>(
    keep: &[BorrowedFd<'_>],
    deadline: Instant,
    job: F,
) -> Result<(Reply, Option<OwnedFd>), ChildError>
where
    F: FnOnce(&mut Reply) -> Option<OwnedFd>,
{
    let start = |e: rustix::io::Errno| ChildError::Start(e.into());
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(start)?;
    let parent = rustix::process::getpid();
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.push(theirs.as_raw_fd());
    kept.sort_unstable();
    kept.dedup();
    let mut reply = Reply::new();

    let signals = SignalsBlocked::all().map_err(ChildError::Start)?;
    // SAFETY: the child makes system calls only (see this function's contract) and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        child_main(parent, &kept, &theirs, &mut reply, job);
    }
    drop(signals);
    drop(theirs);
    let pid = match Pid::from_raw(pid) {
        Some(pid) if pid.as_raw_nonzero().get() > 0 => pid,
        _ => return Err(ChildError::Start(io::Error::last_os_error())),
    };
    collect(&ours, pid, deadline)
}

/// The child's whole life. Never returns.
fn child_main<F>(parent: Pid, kept: &[RawFd], socket: &OwnedFd, reply: &mut Reply, job: F) -> !
where
    F: FnOnce(&mut Reply) -> Option<OwnedFd>,
{
    // A job of a killed engine must not go on behind its successor's back.
    let guarded = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if guarded.is_ok() && rustix::process::getppid() == Some(parent) {
        close_all_but(kept);
        let fd = job(reply);
        send(socket, reply, fd.as_ref().map(AsFd::as_fd));
    }
    // SAFETY: ends the process without running destructors or exit handlers that belong to the parent.
    unsafe { libc::_exit(0) }
}

/// Closes all descriptors besides `kept` (sorted), so that the child holds no lock, device or socket of its parent.
fn close_all_but(kept: &[RawFd]) {
    let mut from: libc::c_uint = 0;
    for fd in kept {
        let fd = fd.unsigned_abs();
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, libc::c_uint::MAX);
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: the child owns its descriptor table, and uses none of these descriptors afterwards.
    // close_range appeared in Linux 5.9; before that they stay open until the child ends, which is harmless.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
}

fn send(socket: &OwnedFd, reply: &Reply, fd: Option<BorrowedFd<'_>>) {
    let mut message = [0_u8; HEAD_BYTES + TEXT_BYTES];
    let len = reply.emit(&mut message);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds;
    if let Some(fd) = fd {
        fds = [fd];
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let message = [io::IoSlice::new(message.get(..len).unwrap_or_default())];
    // When the parent is gone nobody waits for the answer.
    let _ = sendmsg(socket, &message, &mut control, SendFlags::NOSIGNAL);
}

fn collect(socket: &OwnedFd, pid: Pid, deadline: Instant) -> Result<(Reply, Option<OwnedFd>), ChildError> {
    let raw_pid = pid.as_raw_nonzero().get().unsigned_abs();
    let readable = wait_readable(socket.as_fd(), deadline);
    let answer = if readable { receive(socket) } else { None };
    let ended = reap(
        pid,
        if answer.is_some() {
            deadline.max(Instant::now() + KILL_GRACE)
        } else {
            Instant::now()
        },
    );
    match (answer, ended) {
        (Some(answer), _) => Ok(answer),
        (None, Ended::Stuck) => Err(ChildError::Stuck { pid: raw_pid }),
        (None, Ended::With(how)) if readable => Err(ChildError::Died(how)),
        (None, Ended::With(_)) => Err(ChildError::Deadline),
    }
}

enum Ended {
    With(String),
    Stuck,
}

/// Waits for the child until `deadline`, then kills it; one that the kernel holds is left to a thread that reaps it.
fn reap(pid: Pid, deadline: Instant) -> Ended {
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    if let Ok(pidfd) = &pidfd {
        if !wait_readable(pidfd.as_fd(), deadline) {
            // It is our unreaped child, so the number is still its own.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            if !wait_readable(pidfd.as_fd(), Instant::now() + KILL_GRACE) {
                let waiter = std::thread::Builder::new().name("reap-mount".into());
                let _ = waiter.spawn(move || rustix::process::waitpid(Some(pid), WaitOptions::empty()));
                return Ended::Stuck;
            }
        }
    } else {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ended::With(describe(status)),
            Err(rustix::io::Errno::INTR) => {}
            // Somebody in this process reaps all children, or SIGCHLD is ignored.
            Ok(None) | Err(_) => {
                return Ended::With("its status was taken by another part of the program".into());
            }
        }
    }
}

fn describe(status: rustix::process::WaitStatus) -> String {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit status {code}"),
        (None, None) => "unknown status".into(),
    }
}

fn receive(socket: &OwnedFd) -> Option<(Reply, Option<OwnedFd>)> {
    let mut message = [0_u8; HEAD_BYTES + TEXT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = {
        let mut buffers = [io::IoSliceMut::new(&mut message)];
        recvmsg(socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?
    };
    let fd = control.drain().find_map(|m| match m {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Some((Reply::parse(message.get(..received.bytes)?)?, fd))
}

/// Waits until there is something to read (or the other end is closed); `false` at the deadline.
fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    loop {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .min(Duration::from_secs(3600));
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(3600),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if Instant::now() >= deadline => return false,
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

/// All signals blocked for this thread, so that no handler of the parent runs in the child.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn all() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both sets are valid for writes; sigfillset initialises `all`, pthread_sigmask initialises `before`.
        let result = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
        };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        // SAFETY: pthread_sigmask succeeded and wrote the previous mask.
        let before = unsafe { before.assume_init() };
        Ok(Self { before })
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask that this thread had; the third argument may be null.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}

//! The socketpair between `hold` and the data plane.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};

/// Room for messages under way, in bytes: a message of the largest size fits several times.
const BUFFER_BYTES: usize = 256 << 10;

/// Two connected ends that keep messages apart (SEQPACKET); both are non-blocking and closed on exec.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&one, &other] {
        sockopt::set_socket_send_buffer_size(end, BUFFER_BYTES)?;
    }
    Ok((one, other))
}

//! The data plane's end: hands devices to `hold`, gets them back, and starts another `hold` when it dies.

mod actor;
mod exchange;

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use longshore_blockdev::{DescriptorStore, Handover, Kept, Record, lift};
use rustix::net::{AddressFamily, SocketType, sockopt};
use secrecy::{ExposeSecret, SecretSlice};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::message::MAX_BODY_BYTES;
use crate::Dirs;
use actor::{Actor, Command};

/// How long a caller waits, also while another `hold` is being started.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for [`Link::bye`], after which the process ends anyway.
const FAREWELL: Duration = Duration::from_secs(5);
/// Callers that may wait at once before others wait for a place.
const QUEUE: usize = 16;

/// The data plane's connection to `hold`, for the whole life of the process. Clones are the same connection.
///
/// Order of calls: [`Link::open`], [`Link::kept`] once, resume what it gave back, listen, [`Link::ready`]; then
/// [`Link::with_note`] for each new device, [`Link::release`] when it ends; [`Link::bye`] before an orderly end.
///
/// When `hold` dies, another one is started in the background and is handed everything that was kept; calls wait for
/// that, for half a minute at most. A call that fails with `TimedOut` or an error of `hold` may be repeated.
#[derive(Debug, Clone)]
pub struct Link {
    commands: mpsc::Sender<Command>,
}

/// A device that a former data plane left behind.
#[derive(Debug)]
pub struct KeptDevice {
    /// The name under which it is kept; [`Link::release`] gives it up.
    pub name: String,
    /// What the former data plane noted beside it.
    pub note: SecretSlice<u8>,
    /// The device. An error means that its record cannot be read by this version; until it is released, its I/O
    /// waits.
    pub device: io::Result<Kept>,
}

/// A [`DescriptorStore`] that keeps one device together with a note.
#[derive(Debug)]
pub struct NotedLink {
    link: Link,
    note: SecretSlice<u8>,
}

impl Link {
    /// Takes over the standard input on which `hold` started this process (it reads as empty from then on). To be
    /// called inside a tokio runtime with I/O and time enabled.
    ///
    /// `dirs` and `exe` are for the `hold` that is started when this one dies.
    ///
    /// # Errors
    /// When standard input is not a socket of `hold`.
    pub fn open(dirs: Dirs, exe: PathBuf) -> io::Result<Self> {
        let socket = take_stdin()?;
        let (commands, receiver) = mpsc::channel(QUEUE);
        let actor = Actor::new(socket, dirs, exe, receiver)?;
        tokio::spawn(actor.run());
        Ok(Self { commands })
    }

    /// Everything that a former data plane left behind; empty for the first one. It stays kept until it is released.
    ///
    /// # Errors
    /// When `hold` does not give it back. If `hold` dies meanwhile, what had come so far is returned.
    pub async fn kept(&self) -> io::Result<Vec<KeptDevice>> {
        self.ask(PATIENCE, |done| Command::GiveBack { done }).await
    }

    /// Says that clients can connect; to be called once.
    ///
    /// # Errors
    /// When `hold` cannot be told.
    pub async fn ready(&self) -> io::Result<()> {
        self.ask(PATIENCE, |done| Command::Ready { done }).await
    }

    /// Keeps a device with a note, or replaces what is kept under its name. When this returns, it is safe.
    ///
    /// # Errors
    /// `InvalidInput` when note and record are over 64 KiB, those of `hold` (too many devices), `TimedOut`. A device
    /// that was not kept before is not kept then.
    pub async fn keep(&self, note: &SecretSlice<u8>, device: &Handover<'_>) -> io::Result<()> {
        let blob = pack(device.record, note)?;
        let mut descriptors = Vec::with_capacity(device.descriptors.len());
        for (index, descriptor) in device.descriptors.iter().enumerate() {
            let own = descriptor.try_clone_to_owned()?;
            descriptors.push(if index == 0 { lift(own)? } else { own });
        }
        let name = device.record.name.clone();
        self.ask(PATIENCE, |done| Command::Keep {
            name,
            blob,
            descriptors,
            done,
        })
        .await
    }

    /// Closes what is kept under a name, here and in `hold`. When this returns, it is closed; nothing is kept under
    /// the name is as good.
    ///
    /// # Errors
    /// `TimedOut` when `hold` does not answer.
    pub async fn release(&self, name: &str) -> io::Result<()> {
        let name = name.to_owned();
        self.ask(PATIENCE, |done| Command::Release { name, done }).await
    }

    /// Says that this process is about to end and wants no successor. `hold` ends after it.
    ///
    /// # Errors
    /// Refused while a device is kept; `TimedOut`. Without a granted `bye`, `hold` starts a successor if, and only
    /// if, a device is kept.
    pub async fn bye(&self) -> io::Result<()> {
        self.ask(FAREWELL, |done| Command::Bye { done }).await
    }

    /// A store that puts this note (the data plane's own knowledge of the device, secrets included) beside what the
    /// exporter keeps.
    pub fn with_note(&self, note: SecretSlice<u8>) -> NotedLink {
        NotedLink {
            link: self.clone(),
            note,
        }
    }

    async fn ask<T>(
        &self,
        patience: Duration,
        command: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Command,
    ) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let command = command(done);
        let asked = async {
            let gone = || io::Error::other("the connection to hold was shut down");
            self.commands.send(command).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("hold did not answer within {} s", patience.as_secs()),
            ))
        })
    }
}

impl DescriptorStore for NotedLink {
    fn keep(&self, device: &Handover<'_>) -> impl Future<Output = io::Result<()>> + Send {
        self.link.keep(&self.note, device)
    }

    fn release(&self, name: &str) -> impl Future<Output = io::Result<()>> + Send {
        self.link.release(name)
    }
}

/// The socket that is standard input; /dev/null takes its place, so that no child inherits it.
fn take_stdin() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    let is_ours = matches!(sockopt::socket_domain(&stdin), Ok(AddressFamily::UNIX))
        && matches!(sockopt::socket_type(&stdin), Ok(SocketType::SEQPACKET));
    if !is_ours {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "standard input is not a socket of 'hold': the data plane is started by 'longshore hold', not by hand",
        ));
    }
    let socket = rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The body of a message: the length of the record in four bytes (little-endian), the record, the note.
fn pack(record: &Record, note: &SecretSlice<u8>) -> io::Result<Zeroizing<Vec<u8>>> {
    let record = serde_json::to_vec(record)?;
    let note = note.expose_secret();
    let len = 4 + record.len() + note.len();
    let record_len = u32::try_from(record.len()).ok().filter(|_| len <= MAX_BODY_BYTES);
    let Some(record_len) = record_len else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("what is to be kept of a device has {len} bytes; at most {MAX_BODY_BYTES} can be"),
        ));
    };
    // As large as needed at once: a buffer that grows leaves copies behind.
    let mut blob = Zeroizing::new(Vec::with_capacity(len));
    blob.extend_from_slice(&record_len.to_le_bytes());
    blob.extend_from_slice(&record);
    blob.extend_from_slice(note);
    Ok(blob)
}

/// Takes apart what [`pack`] made; `descriptors` are duplicates for the device.
fn unpack(name: &str, blob: &[u8], descriptors: Vec<OwnedFd>) -> KeptDevice {
    let malformed = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "what was kept of the device is malformed",
        )
    };
    let parts = blob.split_first_chunk::<4>().and_then(|(len, rest)| {
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        rest.split_at_checked(len)
    });
    let (record, note) = parts.map_or((None, &[][..]), |(record, note)| (Some(record), note));
    let device = record.ok_or_else(malformed).and_then(|record| {
        let record: Record = serde_json::from_slice(record)?;
        Kept::new(record, descriptors)
    });
    KeptDevice {
        name: name.to_owned(),
        note: SecretSlice::from(note.to_vec()),
        device,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_blob_is_an_error_of_its_device_only() {
        for blob in [&b""[..], b"\x01\0\0", b"\xff\xff\xff\xff{}", b"\x02\0\0\0{}note"] {
            assert!(unpack("a", blob, Vec::new()).device.is_err());
        }
        let kept = unpack("a", b"\x02\0\0\0{}note", Vec::new());
        assert_eq!(kept.note.expose_secret(), b"note");
    }
}

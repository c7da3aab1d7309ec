//! One request to `hold` and its reply, on a non-blocking socket of kind SEQPACKET.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use longshore_blockdev::fdpass;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use zeroize::{Zeroize, Zeroizing};

use crate::hold::message::{Kind, MAX_MESSAGE_BYTES, Message};

/// How long `hold` may take for one message. It has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// `hold` is gone.
    #[error("hold is gone: {0}")]
    Lost(io::Error),
    /// `hold` said no.
    #[error("hold refused: {0}")]
    Refused(String),
    /// `hold` is there, but silent; whether it did it is unknown.
    #[error("hold did not answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// Nothing was sent, or the reply makes no sense.
    #[error("cannot talk to hold: {0}")]
    Failed(io::Error),
}

impl Fault {
    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Self::Lost(error),
            _ => Self::Failed(error),
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::Lost(error) | Fault::Failed(error) => error.kind(),
            Fault::Refused(_) => io::ErrorKind::Other,
            Fault::TimedOut => io::ErrorKind::TimedOut,
        };
        Self::new(kind, fault)
    }
}

/// The connection to one `hold`.
pub(super) struct Channel {
    /// Of kind SEQPACKET in truth: tokio has no type for that, and only waits with this one.
    socket: UnixDatagram,
    sequence: u32,
    buffer: Zeroizing<Vec<u8>>,
}

impl Channel {
    /// Uses a non-blocking socket.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::from_std(socket.into())?,
            sequence: 0,
            buffer: Zeroizing::new(vec![0; MAX_MESSAGE_BYTES]),
        })
    }

    /// Sends one request and waits for its reply.
    pub(super) async fn ask(
        &mut self,
        kind: Kind,
        name: &str,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Fault> {
        self.send(kind, name, body, descriptors).await?;
        self.until_done(|_, _, _| ()).await
    }

    /// Asks for everything that is kept; every entry goes to `each` with its name, its body and its descriptors.
    pub(super) async fn give_back(
        &mut self,
        each: impl FnMut(&str, &[u8], Vec<OwnedFd>),
    ) -> Result<(), Fault> {
        self.send(Kind::GiveBack, "", &[], &[]).await?;
        self.until_done(each).await
    }

    /// Returns when `hold` is gone. What it says meanwhile answers nobody who still waits.
    pub(super) async fn lost(&mut self) {
        loop {
            match self.receive().await {
                Ok((0, _)) => return,
                Ok(_) => {}
                Err(error) => match Fault::from_io(error) {
                    Fault::Lost(_) => return,
                    other => tracing::warn!(error = %other, "a message of hold is not understood"),
                },
            }
        }
    }

    async fn send(
        &mut self,
        kind: Kind,
        name: &str,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Fault> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = Message {
            kind,
            sequence: self.sequence,
            name,
            body,
        };
        let bytes = message
            .encode()
            .map_err(|error| Fault::Failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let socket = &self.socket;
        let sent = socket.async_io(Interest::WRITABLE, || fdpass::send(socket, &bytes, descriptors));
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        sent.map_err(|_| Fault::TimedOut)?.map_err(Fault::from_io)
    }

    async fn until_done(&mut self, mut each: impl FnMut(&str, &[u8], Vec<OwnedFd>)) -> Result<(), Fault> {
        loop {
            let received = tokio::time::timeout(PATIENCE, self.receive()).await;
            let (len, descriptors) = received.map_err(|_| Fault::TimedOut)?.map_err(Fault::from_io)?;
            if len == 0 {
                return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            let message = Message::parse(&self.buffer[..len])
                .map_err(|error| Fault::Failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            // A late reply to a request that was given up.
            if message.sequence != self.sequence {
                continue;
            }
            match message.kind {
                Kind::Done => return Ok(()),
                Kind::Refused => {
                    return Err(Fault::Refused(String::from_utf8_lossy(message.body).into_owned()));
                }
                Kind::Entry => each(message.name, message.body, descriptors),
                other => {
                    let text = format!("{other:?} is no reply");
                    return Err(Fault::Failed(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
            }
            self.buffer[..len].zeroize();
        }
    }

    async fn receive(&mut self) -> io::Result<(usize, Vec<OwnedFd>)> {
        let (socket, buffer) = (&self.socket, &mut self.buffer);
        socket
            .async_io(Interest::READABLE, || fdpass::receive(socket, buffer))
            .await
    }
}

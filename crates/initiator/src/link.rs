//! `Link`: one TCP connection with its decoder and its machine, driven by polling. Many PDUs leave in one system call,
//! and many arrive in one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use longshore_iscsi::frame::{Decoder, Frame, encode};
use longshore_iscsi::initiator::{Connection, ConnectionError};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// The most frames that are encoded before they are written.
const FRAMES_MAX: usize = 64;
/// The most bytes that are encoded before they are written.
const QUEUED_BYTES_MAX: usize = 2 << 20;
/// The most slices of one vectored write.
const SLICES_MAX: usize = 64;

/// Why a link cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the target closed the connection")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// A connection in full feature phase.
pub(crate) struct Link {
    stream: TcpStream,
    decoder: Decoder,
    pub(crate) connection: Connection,
    frames: VecDeque<Frame>,
    queued_bytes: usize,
}

impl Link {
    pub(crate) fn new(stream: TcpStream, decoder: Decoder, connection: Connection) -> Self {
        Link {
            stream,
            decoder,
            connection,
            frames: VecDeque::new(),
            queued_bytes: 0,
        }
    }

    /// Whether a command that is submitted now would be written soon.
    pub(crate) fn has_room(&self) -> bool {
        self.has_queue_room() && self.connection.has_room()
    }

    fn has_queue_room(&self) -> bool {
        self.frames.len() < FRAMES_MAX && self.queued_bytes < QUEUED_BYTES_MAX
    }

    /// How many frames wait to be written.
    pub(crate) fn queued_frames(&self) -> usize {
        self.frames.len()
    }

    /// Encodes what the machine wants to send, as far as the queue has room. Tells whether there was any.
    pub(crate) fn fill(&mut self) -> bool {
        let digests = self.connection.parameters().digests;
        let mut any = false;
        while self.has_queue_room() {
            let Some(pdu) = self.connection.poll_transmit() else {
                break;
            };
            let frame = encode(pdu, digests);
            self.queued_bytes += frame.len();
            self.frames.push_back(frame);
            any = true;
        }
        any
    }

    /// Writes what is encoded until it is all gone (`Ready(Ok)`) or the socket takes no more (`Pending`).
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), LinkError>> {
        while !self.frames.is_empty() {
            let written = {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let parts = self.frames.iter().flat_map(|frame| frame.slices());
                let mut used = 0;
                for (slot, part) in slices.iter_mut().zip(parts.filter(|part| !part.is_empty())) {
                    *slot = IoSlice::new(part);
                    used += 1;
                }
                match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..used]) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => return Poll::Pending,
                }
            };
            if written == 0 {
                return Poll::Ready(Err(LinkError::Closed));
            }
            self.note_written(written);
            if !self.frames.is_empty() {
                // The socket was full and takes more: the target reads, and our NOP-Out is still on its way.
                self.connection.handle_activity(now);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn note_written(&mut self, mut written: usize) {
        use bytes::Buf;
        self.queued_bytes = self.queued_bytes.saturating_sub(written);
        while let Some(frame) = self.frames.front_mut() {
            let count = written.min(frame.remaining());
            frame.advance(count);
            written -= count;
            if frame.has_remaining() {
                return;
            }
            self.frames.pop_front();
        }
    }

    /// Reads once and gives every PDU that is complete to the machine. `Pending` when nothing has come.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), LinkError>> {
        let buffer = self.decoder.buffer();
        let read = pin!(self.stream.read_buf(buffer));
        match read.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(LinkError::Closed)),
            Poll::Ready(Ok(_)) => self.connection.handle_activity(now),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
        }
        loop {
            match self.decoder.decode() {
                Ok(Some(pdu)) => self.connection.handle_pdu(now, pdu)?,
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => self.connection.handle_frame_error(now, error)?,
            }
        }
    }

    /// Gives memory back while nothing flows.
    pub(crate) fn rest(&mut self) {
        self.decoder.release();
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use longshore_iscsi::initiator::{ScsiTask, Settings, TaskData};
    use longshore_iscsi::params::{Parameters, SessionParameters};
    use longshore_iscsi::pdu::{LunField, TaskAttribute};
    use std::future::poll_fn;
    use tokio::net::TcpListener;

    /// A NOP-Out that has to wait behind a long write must not end a connection on which data still flow.
    #[tokio::test]
    async fn a_target_that_still_takes_data_lives() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let parameters = SessionParameters {
            parameters: Parameters {
                max_send_data_segment_length: (1 << 24) - 4,
                first_burst_length: (1 << 24) - 4,
                initial_r2t: false,
                ..Default::default()
            },
            max_cmd_sn: longshore_iscsi::serial::SerialNumber32(7),
            ..Default::default()
        };
        let start = Instant::now();
        let settings = Settings::default();
        let mut link = Link::new(
            stream,
            Decoder::new(8192),
            Connection::new(start, parameters, settings),
        );
        let task = ScsiTask {
            lun: LunField::default(),
            cdb: [0; 16],
            // More than the buffers of two sockets on loopback take.
            data: TaskData::Out(Bytes::from(vec![0; (1 << 24) - 4])),
            attribute: TaskAttribute::Simple,
            deadline: None,
        };
        link.connection.submit(task).unwrap();
        link.fill();
        let mut read = vec![0; 1 << 20];
        let mut now = start;
        for _ in 0..3 {
            now += settings.keepalive_interval;
            let queued = link.queued_bytes;
            while link.queued_bytes == queued {
                let progress = poll_fn(|cx| match link.poll_write(cx, now) {
                    Poll::Pending if link.queued_bytes == queued => Poll::Pending,
                    Poll::Pending => Poll::Ready(()),
                    Poll::Ready(_) => panic!("all of it went out at once"),
                });
                tokio::select! {
                    () = progress => {}
                    taken = peer.read(&mut read) => assert_ne!(taken.unwrap(), 0),
                }
            }
            assert_eq!(
                link.connection.poll_timeout(),
                Some(now + settings.keepalive_interval)
            );
        }
    }
}

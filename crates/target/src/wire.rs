//! Bytes from and to a socket: reading into the decoder, and writing many frames with one system call.

use bytes::Buf;
use longshore_iscsi::digest::Digests;
use longshore_iscsi::frame::{Decoder, Frame, encode};
use longshore_iscsi::pdu::RawPdu;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

/// So many frames go out with one system call.
const MAX_SLICES: usize = 256;
/// What is read at once from a quiet connection, and from a busy one.
const MIN_READ_LEN: usize = 16 << 10;
const MAX_READ_LEN: usize = 256 << 10;

/// The receiving side of a connection.
pub(crate) struct Inbox {
    pub(crate) decoder: Decoder,
    /// Received bytes pass through this block, which is cleared once, and not before each read.
    block: Vec<u8>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        let decoder = Decoder::new(longshore_iscsi::login::MAX_LOGIN_DATA_SEGMENT as u32);
        Self {
            decoder,
            block: Vec::new(),
        }
    }

    /// Waits for bytes. 0: the peer has closed the connection.
    pub(crate) fn receive(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        if self.block.is_empty() {
            self.block.resize(MIN_READ_LEN, 0);
        }
        let buffer = self.decoder.buffer();
        let spare = buffer.capacity() - buffer.len();
        let len = spare.clamp(1, self.block.len());
        let read = stream.read(&mut self.block[..len])?;
        buffer.extend_from_slice(&self.block[..read]);
        if read == self.block.len() && read < MAX_READ_LEN {
            self.block.resize(read * 2, 0);
        }
        Ok(read)
    }

    /// Gives memory back that a quiet connection does not need.
    pub(crate) fn release(&mut self) {
        self.block = Vec::new();
        self.decoder.release();
    }
}

/// The sending side of a connection.
#[derive(Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, pdu: RawPdu, digests: Digests) {
        let frame = encode(pdu, digests);
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Writes everything.
    pub(crate) fn flush(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        while !self.frames.is_empty() {
            let written = {
                let slices: Vec<IoSlice<'_>> = self
                    .frames
                    .iter()
                    .take(MAX_SLICES)
                    .flat_map(Frame::slices)
                    .filter(|slice| !slice.is_empty())
                    .map(IoSlice::new)
                    .collect();
                match stream.write_vectored(&slices) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => result?,
                }
            };
            self.bytes -= written;
            self.written(written);
        }
        Ok(())
    }

    fn written(&mut self, mut count: usize) {
        while let Some(frame) = self.frames.front_mut() {
            let taken = count.min(frame.remaining());
            frame.advance(taken);
            count -= taken;
            if frame.has_remaining() {
                break;
            }
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::net::TcpListener;

    #[test]
    fn many_frames_arrive_in_order_also_through_partial_writes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        let digests = Digests {
            header: true,
            data: true,
        };
        let pdu = |number: u8| {
            let mut bhs = [0; 48];
            bhs[0] = 0x3f;
            bhs[16] = number;
            RawPdu {
                bhs,
                ahs: Bytes::new(),
                data: Bytes::from(vec![number; 4001 * usize::from(number)]),
            }
        };
        let receiving = std::thread::spawn(move || {
            let mut inbox = Inbox::new();
            inbox.decoder.set_digests(digests);
            inbox.decoder.set_max_data_segment(1 << 24);
            let mut seen = Vec::new();
            while seen.len() < 200 {
                match inbox.decoder.decode().unwrap() {
                    Some(pdu) => seen.push((pdu.bhs[16], pdu.data.len())),
                    None => assert!(inbox.receive(&receiver).unwrap() > 0),
                }
            }
            seen
        });
        let mut outbox = Outbox::default();
        (0..200).for_each(|number| outbox.push(pdu(number), digests));
        outbox.flush(&sender).unwrap();
        assert_eq!(outbox.len(), 0);
        let expected: Vec<(u8, usize)> = (0..200)
            .map(|number| (number, 4001 * usize::from(number)))
            .collect();
        assert_eq!(receiving.join().unwrap(), expected);
    }
}

//! The guard's end of the conversation with the data plane: one message in, one answer out. Nothing that comes in can
//! end the guard or make it keep more than the store's bounds.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use longshore_blockdev::fdpass;
use rustix::event::PollFlags;
use zeroize::{Zeroize, Zeroizing};

use super::log;
use super::message::{Kind, MAX_MESSAGE_BYTES, Message, reply};
use super::store::Store;

/// Most lines in the log about one conversation.
const MAX_NOTES: u32 = 50;

/// What the guard must do about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing.
    Nothing,
    /// The data plane listens.
    Ready,
    /// The data plane will end.
    Bye,
    /// There will be no more messages.
    Closed,
}

/// What is still to be sent. While there is something, nothing is read.
enum Outbox {
    Empty,
    Reply(Zeroizing<Vec<u8>>),
    /// Everything that is kept, from the entry after this name on.
    GiveBack {
        sequence: u32,
        after: Option<String>,
    },
}

/// A conversation over a non-blocking socket of kind SEQPACKET.
pub(super) struct Conversation {
    socket: OwnedFd,
    buffer: Zeroizing<Vec<u8>>,
    outbox: Outbox,
    /// Lines in the log.
    notes: u32,
}

impl Conversation {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: Zeroizing::new(vec![0; MAX_MESSAGE_BYTES]),
            outbox: Outbox::Empty,
            notes: 0,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to wait for.
    pub(super) fn interest(&self) -> PollFlags {
        match self.outbox {
            Outbox::Empty => PollFlags::IN | PollFlags::RDHUP,
            _ => PollFlags::OUT,
        }
    }

    /// Reads at most one message, and sends what can be sent. `hung_up`: the other end is closed.
    pub(super) fn turn(&mut self, store: &mut Store, hung_up: bool) -> Heard {
        let heard = match self.outbox {
            Outbox::Empty => self.listen(store, hung_up),
            _ => Heard::Nothing,
        };
        match self.talk(store) {
            Ok(()) => heard,
            Err(error) => {
                self.note(&format!("cannot answer the data plane: {error}"));
                Heard::Closed
            }
        }
    }

    /// Takes in what a dead data plane had sent. Nobody reads answers.
    pub(super) fn drain(mut self, store: &mut Store) {
        // More than its socket can hold.
        for _ in 0..4096 {
            match fdpass::receive(&self.socket, &mut self.buffer) {
                Ok((0, _)) => return,
                Ok((len, descriptors)) => {
                    self.outbox = Outbox::Empty;
                    self.handle(store, len, descriptors);
                }
                Err(error) if is_passing(&error) => {}
                Err(_) => return,
            }
        }
    }

    fn listen(&mut self, store: &mut Store, hung_up: bool) -> Heard {
        match fdpass::receive(&self.socket, &mut self.buffer) {
            Ok((0, _)) if hung_up => Heard::Closed,
            Ok((len, descriptors)) => self.handle(store, len, descriptors),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Heard::Nothing,
                io::ErrorKind::InvalidData => {
                    self.refuse(
                        0,
                        "the message is too long, or there was no room for its descriptors",
                    );
                    Heard::Nothing
                }
                _ if is_passing(&error) => Heard::Nothing,
                _ => {
                    self.note(&format!("cannot hear the data plane: {error}"));
                    Heard::Closed
                }
            },
        }
    }

    fn handle(&mut self, store: &mut Store, len: usize, descriptors: Vec<OwnedFd>) -> Heard {
        let mut heard = Heard::Nothing;
        let (sequence, outcome) = match Message::parse(&self.buffer[..len]) {
            Err(error) => (0, Err(error.to_string())),
            Ok(message) => {
                let outcome = match message.kind {
                    Kind::Keep => store.keep(message.name, message.body, descriptors),
                    Kind::Release => {
                        store.release(message.name);
                        Ok(())
                    }
                    Kind::GiveBack => {
                        self.outbox = Outbox::GiveBack {
                            sequence: message.sequence,
                            after: None,
                        };
                        return Heard::Nothing;
                    }
                    Kind::Ready => {
                        heard = Heard::Ready;
                        Ok(())
                    }
                    Kind::Bye if store.is_empty() => {
                        heard = Heard::Bye;
                        Ok(())
                    }
                    Kind::Bye => Err(format!("{} devices are kept; release them first", store.len())),
                    other => Err(format!("{other:?} is no request of a data plane")),
                };
                (message.sequence, outcome)
            }
        };
        self.buffer[..len].zeroize();
        match outcome {
            Ok(()) => self.outbox = Outbox::Reply(reply(sequence, Ok(()))),
            Err(text) => self.refuse(sequence, &text),
        }
        heard
    }

    fn refuse(&mut self, sequence: u32, text: &str) {
        self.note(&format!("refused a message of the data plane: {text}"));
        self.outbox = Outbox::Reply(reply(sequence, Err(text)));
    }

    /// Writes to the log, but not for ever.
    fn note(&mut self, text: &str) {
        if self.notes < MAX_NOTES {
            self.notes += 1;
            log::line(text);
        }
    }

    /// Sends as much as the socket takes.
    fn talk(&mut self, store: &Store) -> io::Result<()> {
        loop {
            let sent = match &mut self.outbox {
                Outbox::Empty => return Ok(()),
                Outbox::Reply(bytes) => {
                    let sent = fdpass::send(&self.socket, bytes, &[]);
                    if sent.is_ok() {
                        self.outbox = Outbox::Empty;
                    }
                    sent
                }
                Outbox::GiveBack { sequence, after } => match store.after(after.as_deref()) {
                    None => {
                        self.outbox = Outbox::Reply(reply(*sequence, Ok(())));
                        Ok(())
                    }
                    Some((name, entry)) => {
                        let message = Message {
                            kind: Kind::Entry,
                            sequence: *sequence,
                            name,
                            body: &entry.blob,
                        };
                        let bytes = message.encode().map_err(io::Error::other)?;
                        let descriptors: Vec<BorrowedFd<'_>> =
                            entry.descriptors.iter().map(AsFd::as_fd).collect();
                        let sent = fdpass::send(&self.socket, &bytes, &descriptors);
                        if sent.is_ok() {
                            *after = Some(name.to_owned());
                        }
                        sent
                    }
                },
            };
            let Err(error) = sent else { continue };
            match (error.kind(), &self.outbox) {
                (io::ErrorKind::WouldBlock, _) => return Ok(()),
                (io::ErrorKind::Interrupted, _) => {}
                // It is dead; what it had sent before is still to be read.
                (io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset, _) => {
                    self.outbox = Outbox::Empty;
                }
                (_, &Outbox::GiveBack { sequence, .. }) => {
                    self.refuse(sequence, &format!("an entry cannot be sent: {error}"));
                }
                _ => return Err(error),
            }
        }
    }
}

/// The next message can be read after this error. A reset is told once when the other end is closed with an answer
/// unread.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

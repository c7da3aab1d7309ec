//! Why a connection in full feature phase ends without a logout.

use crate::frame::FrameError;
use crate::pdu::{Fault, PduError};
use std::time::Duration;

/// The connection cannot go on: transmit what is queued (it may hold a Reject), then close it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The byte stream is broken.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A PDU that cannot be read, or that an initiator must not send.
    #[error(transparent)]
    Pdu(#[from] PduError),
    /// A PDU that is legal by itself and not here and now.
    #[error("the initiator broke the protocol: {what} (RFC 7143 §{section})")]
    Protocol {
        /// What it did.
        what: &'static str,
        /// The rule's section.
        section: &'static str,
    },
    /// A ping was not answered.
    #[error("the initiator has not answered a NOP-In for {waited:?}; it is taken for dead")]
    Dead {
        /// How long it was waited for.
        waited: Duration,
    },
}

impl ConnectionError {
    /// Who erred.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Frame(error) => error.fault(),
            Self::Pdu(error) => error.fault,
            Self::Protocol { .. } | Self::Dead { .. } => Fault::PeerMisbehaved,
        }
    }
}

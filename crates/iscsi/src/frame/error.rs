//! What can be wrong with a byte stream that should be PDUs.

use crate::pdu::{Bhs, Fault};

/// A PDU that cannot be taken from the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header, and with it the length of the PDU, cannot be trusted: the connection must be dropped (§7.8).
    #[error(
        "header digest error: the PDU says {received:02x?}, its header gives {computed:02x?}; \
         the byte stream cannot be followed any further, drop the connection (RFC 7143 §7.8)"
    )]
    HeaderDigest {
        /// The digest that came with the header, in wire order.
        received: [u8; 4],
        /// The digest of the header that arrived.
        computed: [u8; 4],
    },
    /// The data was damaged on its way. The header is sound, so the stream goes on with the next PDU (§7.8).
    #[error(
        "data digest error in a PDU with opcode {:#04x}: its data is discarded, its task fails (RFC 7143 §7.8)",
        .bhs[0] & 0x3f
    )]
    DataDigest {
        /// The header of the PDU whose data is lost.
        bhs: Bhs,
    },
    /// The peer sends more in one PDU than we declared that we take (MaxRecvDataSegmentLength, §13.12).
    #[error("the peer sends a data segment of {len} bytes, at most {max} were agreed; drop the connection")]
    DataSegmentTooLong {
        /// The length in the header, in bytes.
        len: u32,
        /// The limit, in bytes.
        max: u32,
    },
    /// The peer closed the stream inside a PDU.
    #[error("the peer closed the connection {received} bytes into a PDU")]
    Truncated {
        /// How much of the PDU had arrived, in bytes.
        received: usize,
    },
}

impl FrameError {
    /// True when nothing more can be decoded from this stream.
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::DataDigest { .. })
    }

    /// Who erred. A digest error may be the network's doing; it is counted as an undecodable message.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::DataSegmentTooLong { .. } => Fault::PeerMisbehaved,
            _ => Fault::InvalidMessage,
        }
    }
}

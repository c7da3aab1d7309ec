//! A byte stream in each direction with latency and injected faults, framed at both ends.

use bytes::BufMut;
use longshore_iscsi::frame::{Decoder, Digests, FrameError, encode};
use longshore_iscsi::pdu::{Pdu, RawPdu};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes arrive in pieces of this length, so that no PDU depends on arriving whole.
const PIECE_LEN: usize = 1021;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    ToTarget,
    ToInitiator,
}

/// What becomes of a PDU on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives, with whatever was done to its bytes.
    Arrives,
    /// It vanishes: no network loses a piece of a TCP stream, but a bad target may forget to send something.
    Lost,
    /// The cable is pulled: neither this PDU nor anything after it arrives, in either direction.
    Cut,
}

/// Looks at each PDU that is sent and may change its bytes.
pub(crate) type Tamper = Box<dyn FnMut(Flow, &Pdu, &mut Vec<u8>) -> Fate>;

pub(crate) struct Link {
    latency: Duration,
    digests: Digests,
    cut: bool,
    pub(crate) tamper: Option<Tamper>,
    /// Every PDU that was sent, in order.
    pub(crate) trace: Vec<(Flow, Pdu)>,
    to_target: End,
    to_initiator: End,
}

/// What is on its way to one side, and that side's decoder.
struct End {
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    decoder: Decoder,
}

impl Link {
    pub(crate) fn new(latency: Duration) -> Self {
        let end = || End {
            in_flight: VecDeque::new(),
            decoder: Decoder::new(8192),
        };
        Self {
            latency,
            digests: Digests::default(),
            cut: false,
            tamper: None,
            trace: Vec::new(),
            to_target: end(),
            to_initiator: end(),
        }
    }

    /// The login is over: what it agreed on holds from the next PDU on.
    pub(crate) fn start_full_feature(&mut self, digests: Digests, initiator_takes: u32, target_takes: u32) {
        self.digests = digests;
        for (end, takes) in [
            (&mut self.to_initiator, initiator_takes),
            (&mut self.to_target, target_takes),
        ] {
            end.decoder.set_digests(digests);
            end.decoder.set_max_data_segment(takes);
        }
    }

    pub(crate) fn send(&mut self, now: Instant, flow: Flow, raw: RawPdu) {
        let pdu = Pdu::parse(raw.clone()).expect("our own PDUs are legal");
        let mut bytes = encode(raw, self.digests).slices().concat();
        let fate = self
            .tamper
            .as_mut()
            .map_or(Fate::Arrives, |tamper| tamper(flow, &pdu, &mut bytes));
        self.trace.push((flow, pdu));
        self.cut |= fate == Fate::Cut;
        if fate == Fate::Arrives && !self.cut {
            let arrival = now + self.latency;
            self.end(flow).in_flight.push_back((arrival, bytes));
        }
    }

    /// What has arrived by now: the next PDU, or what is wrong with it.
    pub(crate) fn receive(&mut self, now: Instant, flow: Flow) -> Option<Result<RawPdu, FrameError>> {
        let end = self.end(flow);
        loop {
            if let Some(result) = end.decoder.decode().transpose() {
                return Some(result);
            }
            let (_, bytes) = end.in_flight.front_mut().filter(|(arrival, _)| *arrival <= now)?;
            let buffer = end.decoder.buffer();
            let len = bytes.len().min(PIECE_LEN).min(buffer.capacity() - buffer.len());
            buffer.put_slice(&bytes[..len]);
            bytes.drain(..len);
            if bytes.is_empty() {
                end.in_flight.pop_front();
            }
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let first = |end: &End| end.in_flight.front().map(|(arrival, _)| *arrival);
        [first(&self.to_target), first(&self.to_initiator)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Nobody listens any more at the end of this direction.
    pub(crate) fn discard(&mut self, flow: Flow) {
        self.end(flow).in_flight.clear();
    }

    /// Nothing arrives any more.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
        self.to_target.in_flight.clear();
        self.to_initiator.in_flight.clear();
    }

    fn end(&mut self, flow: Flow) -> &mut End {
        match flow {
            Flow::ToTarget => &mut self.to_target,
            Flow::ToInitiator => &mut self.to_initiator,
        }
    }
}

//! The dialogue about operational keys, for either role (RFC 7143 §6.2, §13).

use super::error::NegotiationError;
use super::key::{Key, MAX_LENGTH, MIN_LENGTH, Rule};
use super::offers::{DigestPolicy, Offers};
use super::outcome::{Parameters, SessionType};
use super::value::{boolean_text, is_refusal, parse_boolean, parse_number};
use crate::digest::Digests;
use std::time::Duration;

/// Which side we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens the connection and offers everything it cares for.
    Initiator,
    /// Answers, and offers only what it cannot do without.
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody has spoken of the key.
    Open,
    /// We offered; the other side owes an answer.
    Offered,
    /// Agreed on, or refused for good.
    Settled,
}

/// One login's dialogue about the operational keys.
///
/// - Out: [`offer_all`](Self::offer_all) once (initiator), [`offer_needed`](Self::offer_needed) when the initiator
///   wants to end the stage (target), [`declare`](Self::declare) once (target).
/// - In: [`receive`](Self::receive) with each complete key list; it gives the answers to send.
/// - End: [`finish`](Self::finish).
#[derive(Clone, Debug)]
pub struct Negotiation {
    role: Role,
    session_type: SessionType,
    offers: Offers,
    declared: bool,
    state: [State; Key::COUNT],
    /// The values in force, by key: the defaults until something is agreed on. The entry of
    /// `MaxRecvDataSegmentLength` is what the other side declared.
    value: [u32; Key::COUNT],
}

impl Negotiation {
    /// A dialogue in which nothing has been said.
    #[must_use]
    pub fn new(role: Role, session_type: SessionType, offers: Offers) -> Self {
        Self {
            role,
            session_type,
            offers,
            declared: false,
            state: [State::Open; Key::COUNT],
            value: Key::ALL.map(Key::default_value),
        }
    }

    /// Every key that an initiator states, also where it wants the default: some targets have other ideas.
    pub fn offer_all(&mut self) -> Vec<(String, String)> {
        let mut list = self.declare();
        for key in Key::ALL {
            let is_for_offer = !matches!(
                key.rule(),
                Rule::Declare | Rule::TaskReporting | Rule::Marker | Rule::MarkerInterval
            ) && key != Key::ProtocolLevel;
            if is_for_offer && !self.is_irrelevant(key) && self.state(key) == State::Open {
                list.push(self.offer(key));
            }
        }
        list
    }

    /// Our `MaxRecvDataSegmentLength`; empty if it has been declared already.
    pub fn declare(&mut self) -> Vec<(String, String)> {
        if std::mem::replace(&mut self.declared, true) {
            return Vec::new();
        }
        let key = Key::MaxRecvDataSegmentLength;
        vec![(key.name().to_owned(), self.offers.wish(key).to_string())]
    }

    /// The keys that this side must raise because the other side has not, and the default is more than this side
    /// can do. Empty when all is said.
    pub fn offer_needed(&mut self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        for key in Key::ALL {
            if self.needs_offer(key) {
                list.push(self.offer(key));
            }
        }
        list
    }

    /// Whether [`offer_needed`](Self::offer_needed) would offer anything.
    #[must_use]
    pub fn has_needs(&self) -> bool {
        Key::ALL.into_iter().any(|key| self.needs_offer(key))
    }

    /// Takes one complete list of keys and gives the answers, in the order of the keys. A key that is not
    /// operational gets `NotUnderstood`.
    ///
    /// # Errors
    /// [`NegotiationError`]: the login cannot go on.
    pub fn receive<'a>(
        &mut self,
        list: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<(String, String)>, NegotiationError> {
        let mut answers = Vec::new();
        // FirstBurstLength may not exceed MaxBurstLength, whichever comes first in the list.
        let mut first_burst = None;
        for (name, value) in list {
            let answer = match Key::from_name(name) {
                Some(Key::FirstBurstLength) if first_burst.is_none() => {
                    first_burst = Some((answers.len(), value));
                    continue;
                }
                Some(Key::FirstBurstLength) => {
                    return Err(NegotiationError::Repeated {
                        key: Key::FirstBurstLength.name(),
                    });
                }
                Some(key) => self.receive_one(key, value)?,
                // An answer to a key that is unknown here needs no answer, or two sides could go on for ever.
                None if is_refusal(value) => None,
                None => Some("NotUnderstood".to_owned()),
            };
            answers.extend(answer.map(|answer| (name.to_owned(), answer)));
        }
        if let Some((at, value)) = first_burst {
            let answer = self.receive_one(Key::FirstBurstLength, value)?;
            if let Some(answer) = answer {
                answers.insert(at, (Key::FirstBurstLength.name().to_owned(), answer));
            }
        }
        Ok(answers)
    }

    /// The outcome, once both sides have agreed to leave the stage.
    ///
    /// An initiator takes the default for what a target has left without an answer; a target, which offers only
    /// what it cannot do without, does not.
    ///
    /// # Errors
    /// [`NegotiationError::DigestRefused`], and for a target [`NegotiationError::Unanswered`].
    pub fn finish(mut self) -> Result<Parameters, NegotiationError> {
        for key in Key::ALL {
            if self.state(key) == State::Offered {
                self.settle_without_answer(key)?;
            }
            let requires =
                key.rule() == Rule::Digest && !self.offers.digest(key).allows(self.value(key) != 0);
            if requires {
                return Err(NegotiationError::DigestRefused { key: key.name() });
            }
        }
        let max_burst_length = self.value(Key::MaxBurstLength);
        let seconds = |key| Duration::from_secs(u64::from(self.value(key)));
        Ok(Parameters {
            digests: Digests {
                header: self.value(Key::HeaderDigest) != 0,
                data: self.value(Key::DataDigest) != 0,
            },
            initial_r2t: self.value(Key::InitialR2T) != 0,
            immediate_data: self.value(Key::ImmediateData) != 0,
            max_burst_length,
            first_burst_length: self.value(Key::FirstBurstLength).min(max_burst_length),
            max_recv_data_segment_length: if self.declared {
                self.offers.wish(Key::MaxRecvDataSegmentLength)
            } else {
                super::DEFAULT_MAX_RECV_DATA_SEGMENT_LENGTH
            },
            max_send_data_segment_length: self.value(Key::MaxRecvDataSegmentLength),
            max_outstanding_r2t: u16::try_from(self.value(Key::MaxOutstandingR2T)).unwrap_or(1),
            max_connections: 1,
            error_recovery_level: 0,
            default_time2wait: seconds(Key::DefaultTime2Wait),
            default_time2retain: seconds(Key::DefaultTime2Retain),
        })
    }

    fn receive_one(&mut self, key: Key, value: &str) -> Result<Option<String>, NegotiationError> {
        match self.state(key) {
            State::Settled => Err(NegotiationError::Repeated { key: key.name() }),
            State::Offered => self.take_answer(key, value).map(|()| None),
            State::Open if is_refusal(value) => Err(NegotiationError::UnaskedAnswer {
                key: key.name(),
                answer: value.to_owned(),
            }),
            State::Open => self.answer(key, value),
        }
    }

    /// The other side's answer to our offer.
    fn take_answer(&mut self, key: Key, answer: &str) -> Result<(), NegotiationError> {
        if is_refusal(answer) {
            // §6.2: the value in force stays in force. What may not stay is found by `finish`.
            self.settle(key, key.default_value());
            return Ok(());
        }
        let offer = self.offers.wish(key);
        let agreed = match key.rule() {
            Rule::Digest => parse_digest(answer)
                .filter(|digest| self.offers.digest(key).allows(*digest))
                .map(u32::from),
            // Nothing but a waiting time depends on these two, so a wrong choice does not end the login.
            Rule::Maximum(min, max) => parse_within(answer, min, max).map(|time| time.max(offer)),
            Rule::Minimum(min, max) if key == Key::DefaultTime2Retain => {
                parse_within(answer, min, max).map(|time| time.min(offer))
            }
            Rule::Minimum(min, _) => parse_within(answer, min, offer),
            Rule::Or => parse_boolean(answer).filter(|answer| *answer >= offer),
            Rule::And => parse_boolean(answer).filter(|answer| *answer <= offer),
            Rule::Declare | Rule::TaskReporting | Rule::Marker | Rule::MarkerInterval => None,
        };
        let agreed = agreed.ok_or_else(|| NegotiationError::IllegalAnswer {
            key: key.name(),
            offer: self.offer_text(key),
            answer: shortened(answer),
        })?;
        self.settle(key, agreed);
        Ok(())
    }

    /// Our answer to the other side's offer; `None` for a declaration.
    fn answer(&mut self, key: Key, offer: &str) -> Result<Option<String>, NegotiationError> {
        if self.is_irrelevant(key) {
            self.settle(key, key.default_value());
            return Ok(Some("Irrelevant".to_owned()));
        }
        let wish = self.offers.wish(key);
        let (agreed, text) = match key.rule() {
            Rule::Declare => {
                self.settle(key, parse_segment_length(offer)?);
                return Ok(None);
            }
            Rule::Digest => return self.answer_digest(key, offer).map(Some),
            // Without unsolicited data FirstBurstLength is irrelevant (§13.14); a number is an answer all the same, and
            // one that every initiator reads.
            Rule::Minimum(min, max) => {
                let limit = if key == Key::FirstBurstLength {
                    wish.min(self.value(Key::MaxBurstLength))
                } else {
                    wish
                };
                number(parse_within(offer, min, max).map(|offer| offer.min(limit)))
            }
            Rule::Maximum(min, max) => number(parse_within(offer, min, max).map(|offer| offer.max(wish))),
            Rule::Or => boolean(parse_boolean(offer).map(|offer| offer | wish)),
            Rule::And => boolean(parse_boolean(offer).map(|offer| offer & wish)),
            Rule::TaskReporting => {
                let known = offer.split(',').any(|item| item == "RFC3720");
                (Some(0), known.then(|| "RFC3720".to_owned()))
            }
            Rule::Marker => (Some(0), Some("No".to_owned())),
            Rule::MarkerInterval => (Some(0), None),
        };
        self.settle(key, agreed.unwrap_or(key.default_value()));
        Ok(Some(text.unwrap_or_else(|| "Reject".to_owned())))
    }

    /// The first digest of the other side's list that we accept; a list without one leaves the default, None.
    fn answer_digest(&mut self, key: Key, offer: &str) -> Result<String, NegotiationError> {
        let policy = self.offers.digest(key);
        let chosen = offer
            .split(',')
            .filter_map(parse_digest)
            .find(|digest| policy.allows(*digest));
        if chosen.is_none() && policy == DigestPolicy::Required {
            return Err(NegotiationError::DigestRefused { key: key.name() });
        }
        self.settle(key, u32::from(chosen.unwrap_or(false)));
        Ok(match chosen {
            Some(true) => "CRC32C",
            Some(false) => "None",
            None => "Reject",
        }
        .to_owned())
    }

    fn settle_without_answer(&mut self, key: Key) -> Result<(), NegotiationError> {
        let offer = self.offers.wish(key);
        // The two cases in which an answer is optional (§6.2.2).
        let settled_alone = (key.rule() == Rule::And && offer == 0) || (key.rule() == Rule::Or && offer == 1);
        if settled_alone {
            self.settle(key, offer);
        } else if self.role == Role::Target {
            return Err(NegotiationError::Unanswered { key: key.name() });
        } else {
            self.settle(key, key.default_value());
        }
        Ok(())
    }

    fn needs_offer(&self, key: Key) -> bool {
        if self.state(key) != State::Open || self.is_irrelevant(key) {
            return false;
        }
        let (wish, default) = (self.offers.wish(key), key.default_value());
        match key {
            Key::HeaderDigest | Key::DataDigest => self.offers.digest(key) == DigestPolicy::Required,
            Key::ImmediateData | Key::MaxBurstLength => wish < default,
            Key::FirstBurstLength => wish < self.value(Key::MaxBurstLength).min(default),
            _ => false,
        }
    }

    fn offer(&mut self, key: Key) -> (String, String) {
        self.state[key as usize] = State::Offered;
        (key.name().to_owned(), self.offer_text(key))
    }

    fn offer_text(&self, key: Key) -> String {
        match key.rule() {
            Rule::Digest => self.offers.digest(key).offer().to_owned(),
            Rule::Or | Rule::And => boolean_text(self.offers.wish(key)).to_owned(),
            _ => self.offers.wish(key).to_string(),
        }
    }

    fn is_irrelevant(&self, key: Key) -> bool {
        self.session_type == SessionType::Discovery && key.irrelevant_in_discovery()
    }

    fn state(&self, key: Key) -> State {
        self.state[key as usize]
    }

    fn value(&self, key: Key) -> u32 {
        self.value[key as usize]
    }

    fn settle(&mut self, key: Key, value: u32) {
        self.state[key as usize] = State::Settled;
        self.value[key as usize] = value;
    }
}

fn parse_digest(text: &str) -> Option<bool> {
    match text {
        "CRC32C" => Some(true),
        "None" => Some(false),
        _ => None,
    }
}

/// What an error shows of a value: enough for a reader, whatever its length.
fn shortened(value: &str) -> String {
    value.chars().take(64).collect()
}

/// The value of a `MaxRecvDataSegmentLength` declaration.
pub(super) fn parse_segment_length(text: &str) -> Result<u32, NegotiationError> {
    parse_within(text, MIN_LENGTH, MAX_LENGTH).ok_or_else(|| NegotiationError::BadDeclaration {
        key: Key::MaxRecvDataSegmentLength.name(),
        value: shortened(text),
    })
}

fn parse_within(text: &str, min: u32, max: u32) -> Option<u32> {
    parse_number(text).filter(|number| (min..=max).contains(number))
}

fn number(agreed: Option<u32>) -> (Option<u32>, Option<String>) {
    (agreed, agreed.map(|number| number.to_string()))
}

fn boolean(agreed: Option<u32>) -> (Option<u32>, Option<String>) {
    (agreed, agreed.map(|value| boolean_text(value).to_owned()))
}

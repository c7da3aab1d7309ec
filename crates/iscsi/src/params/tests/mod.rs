//! Tables of negotiations: what is offered, what is answered, what comes out.

mod answers;
mod dialogues;
mod outcomes;
mod random;

use super::*;
use std::time::Duration;

type List = Vec<(String, String)>;

fn target(offers: Offers) -> Negotiation {
    Negotiation::new(Role::Target, SessionType::Normal, offers)
}

fn initiator(offers: Offers) -> Negotiation {
    Negotiation::new(Role::Initiator, SessionType::Normal, offers)
}

fn pairs(list: &List) -> impl Iterator<Item = (&str, &str)> {
    list.iter().map(|(key, value)| (&key[..], &value[..]))
}

/// What a target with these wishes answers to one key.
fn answer_to(offers: Offers, key: &str, value: &str) -> Option<String> {
    let answers = target(offers).receive([(key, value)]).unwrap();
    assert!(answers.len() <= 1);
    answers.into_iter().next().map(|(name, answer)| {
        assert_eq!(name, key);
        answer
    })
}

/// What an initiator makes of one answer to its offers.
fn outcome_of(offers: Offers, key: &str, answer: &str) -> Result<Parameters, NegotiationError> {
    let mut initiator = initiator(offers);
    initiator.offer_all();
    let answers = initiator.receive([(key, answer)])?;
    assert_eq!(answers, List::new(), "an answer needs no answer");
    initiator.finish()
}

/// Runs a whole negotiation between two sides and gives both outcomes.
fn negotiate(session_type: SessionType, ours: Offers, theirs: Offers) -> (Parameters, Parameters) {
    let mut initiator = Negotiation::new(Role::Initiator, session_type, ours);
    let mut target = Negotiation::new(Role::Target, session_type, theirs);
    let mut answers = target.receive(pairs(&initiator.offer_all())).unwrap();
    answers.extend(target.declare());
    answers.extend(target.offer_needed());
    let replies = initiator.receive(pairs(&answers)).unwrap();
    assert_eq!(target.receive(pairs(&replies)).unwrap(), List::new());
    (initiator.finish().unwrap(), target.finish().unwrap())
}

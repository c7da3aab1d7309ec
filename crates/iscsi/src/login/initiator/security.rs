//! The initiator's security stage: which method, and the CHAP dialogue (RFC 7143 §12.1).

use super::super::error::{LoginError, MutualFailure, ProtocolError};
use super::super::list::{KeyList, bad_value, is_security_key, take_one};
use super::{InitiatorLoginConfig, LoginWarning};
use crate::chap::{Algorithm, Challenge, ChapCredentials, Response};
use crate::params::{Key, parse_number};
use crate::pdu::{LoginStatus, Stage};

/// What is sent next in this stage: keys, and the stage that we want to go to.
type Reply = (KeyList, Option<Stage>);

/// After the security stage comes the operational one.
const NEXT: Option<Stage> = Some(Stage::LoginOperationalNegotiation);

/// How far the dialogue is.
#[derive(Debug)]
enum State {
    /// `AuthMethod` is offered.
    MethodOffered,
    /// `CHAP_A` is offered.
    AlgorithmsOffered,
    /// Our proof is sent, by this algorithm. With mutual CHAP the target owes the proof that stands here.
    ProofSent(Algorithm, Option<Expected>),
    /// Nothing more is to be said; what is missing is the transition.
    Settled,
}

#[derive(Debug)]
struct Expected {
    /// The proof of who knows the target's secret.
    proof: Response,
    /// The proof of who knows only our secret.
    reflection: Response,
}

/// The security stage of one login.
#[derive(Debug)]
pub(super) struct Security {
    random: [u8; 32],
    state: State,
}

impl Security {
    pub(super) fn new(random: [u8; 32]) -> Self {
        Self {
            random,
            state: State::MethodOffered,
        }
    }

    /// The value of `AuthMethod`, and the transition that is asked for with it.
    pub(super) fn open(&self, config: &InitiatorLoginConfig) -> (&'static str, Option<Stage>) {
        match (&config.chap, &config.mutual) {
            (None, _) => ("None", NEXT),
            (Some(_), None) => ("CHAP,None", None),
            (Some(_), Some(_)) => ("CHAP", None),
        }
    }

    /// Takes the target's keys. Whether it may change the stage with them needs no look here: only requests that
    /// leave nothing of ours unsaid ask for the transition.
    pub(super) fn handle(
        &mut self,
        config: &InitiatorLoginConfig,
        mut list: KeyList,
        warnings: &mut Vec<LoginWarning>,
    ) -> Result<Reply, LoginError> {
        let reply = match &self.state {
            State::MethodOffered => self.take_method(config, &mut list, warnings)?,
            State::AlgorithmsOffered => self.prove(config, &mut list, warnings)?,
            State::ProofSent(_, Some(_)) => self.take_proof(config, &mut list)?,
            State::ProofSent(_, None) | State::Settled => (KeyList::new(), NEXT),
        };
        let (mut keys, wanted) = reply;
        for (key, _) in list {
            if is_security_key(&key) || Key::from_name(&key).is_some() {
                return Err(ProtocolError::UnexpectedKey { key }.into());
            }
            keys.push((key, "NotUnderstood".to_owned()));
        }
        Ok((keys, wanted))
    }

    /// The target has ended the stage: it has taken what we proved.
    pub(super) fn leave(&mut self) {
        self.state = State::Settled;
    }

    /// What a status of refusal means, by how far the dialogue was.
    pub(super) fn refused(&self, config: &InitiatorLoginConfig, status: LoginStatus) -> LoginError {
        match (status, &config.chap, &self.state) {
            (LoginStatus::AUTHENTICATION_FAILURE, None, _) => LoginError::ChapRequired,
            (LoginStatus::AUTHENTICATION_FAILURE, Some(_), State::MethodOffered) => LoginError::ChapRefused,
            (LoginStatus::AUTHENTICATION_FAILURE, Some(_), State::AlgorithmsOffered) => {
                LoginError::NoCommonAlgorithm {
                    allowed: config.algorithms.to_string(),
                }
            }
            (LoginStatus::AUTHENTICATION_FAILURE, Some(chap), State::ProofSent(..)) => {
                LoginError::WrongSecret {
                    name: chap.name().to_owned(),
                }
            }
            // A proof of another length than the target expects is no failed authentication to it.
            (LoginStatus::INITIATOR_ERROR, _, State::ProofSent(Algorithm::Sha256, _)) => {
                LoginError::AlgorithmMisnumbered {
                    others: config.algorithms.without(Algorithm::Sha256),
                }
            }
            _ => LoginError::Refused { status },
        }
    }

    fn take_method(
        &mut self,
        config: &InitiatorLoginConfig,
        list: &mut KeyList,
        warnings: &mut Vec<LoginWarning>,
    ) -> Result<Reply, LoginError> {
        let method = take_one(list, "AuthMethod")?;
        match (method.as_deref(), &config.chap, &config.mutual) {
            (Some("CHAP"), Some(_), _) => {
                self.state = State::AlgorithmsOffered;
                let algorithms = config.algorithms.to_string();
                Ok((vec![("CHAP_A".to_owned(), algorithms)], None))
            }
            (Some("CHAP" | "Reject"), None, _) => Err(LoginError::ChapRequired),
            (Some("Reject"), Some(_), _) => Err(LoginError::ChapRefused),
            // A target without authentication may pass the key over.
            (Some("None") | None, _, Some(_)) => {
                Err(LoginError::TargetNotProven(MutualFailure::ChapNotAsked))
            }
            (Some("None") | None, chap, None) => {
                if chap.is_some() {
                    warnings.push(LoginWarning::ChapNotAsked);
                }
                self.state = State::Settled;
                Ok((KeyList::new(), NEXT))
            }
            (Some(other), ..) => Err(bad_value("AuthMethod", other).into()),
        }
    }

    /// Answers the target's challenge, and challenges it where it is to prove itself.
    fn prove(
        &mut self,
        config: &InitiatorLoginConfig,
        list: &mut KeyList,
        warnings: &mut Vec<LoginWarning>,
    ) -> Result<Reply, LoginError> {
        let Some(chap) = &config.chap else {
            return Err(LoginError::ChapRequired);
        };
        let algorithm = take_algorithm(config, list)?;
        let identifier = required(list, "CHAP_I")?;
        let challenge = required(list, "CHAP_C")?;
        let challenge = Challenge::parse(&identifier, &challenge).map_err(ProtocolError::Chap)?;
        if algorithm.is_weak() {
            warnings.push(LoginWarning::WeakAlgorithm(algorithm));
        }
        let mut keys = vec![
            ("CHAP_N".to_owned(), chap.name().to_owned()),
            ("CHAP_R".to_owned(), challenge.respond(algorithm, chap).text()),
        ];
        let mut expected = None;
        if let Some(mutual) = &config.mutual {
            let ours = Challenge::from_random(&self.random, algorithm);
            if challenge.is_reflection_of(&ours) {
                return Err(LoginError::TargetNotProven(MutualFailure::ReflectedChallenge));
            }
            keys.push(("CHAP_I".to_owned(), ours.identifier_text()));
            keys.push(("CHAP_C".to_owned(), ours.challenge_text()));
            expected = Some(Expected {
                proof: ours.respond(algorithm, mutual),
                reflection: ours.respond(algorithm, chap),
            });
        }
        self.state = State::ProofSent(algorithm, expected);
        Ok((keys, NEXT))
    }

    /// Checks the target's proof.
    fn take_proof(&mut self, config: &InitiatorLoginConfig, list: &mut KeyList) -> Result<Reply, LoginError> {
        let (State::ProofSent(algorithm, Some(expected)), Some(mutual)) = (&self.state, &config.mutual)
        else {
            return Err(LoginError::TargetNotProven(MutualFailure::NoProof));
        };
        let name = take_one(list, "CHAP_N")?;
        let proof = take_one(list, "CHAP_R")?;
        let (Some(name), Some(proof)) = (name, proof) else {
            return Err(LoginError::TargetNotProven(MutualFailure::NoProof));
        };
        check_proof(*algorithm, expected, mutual, &name, &proof)?;
        self.state = State::Settled;
        Ok((KeyList::new(), NEXT))
    }
}

fn check_proof(
    algorithm: Algorithm,
    expected: &Expected,
    mutual: &ChapCredentials,
    name: &str,
    proof: &str,
) -> Result<(), LoginError> {
    let proof = Response::parse(proof, algorithm).map_err(ProtocolError::Chap)?;
    if proof.proves(&expected.reflection) {
        return Err(LoginError::TargetNotProven(MutualFailure::ReflectedProof));
    }
    // The proof first: a wrong name is worth telling only of somebody who knows the secret.
    if !proof.proves(&expected.proof) {
        return Err(LoginError::TargetNotProven(MutualFailure::WrongProof));
    }
    if name != mutual.name() {
        return Err(LoginError::TargetNotProven(MutualFailure::WrongName {
            expected: mutual.name().to_owned(),
            received: name.chars().take(64).collect(),
        }));
    }
    Ok(())
}

/// The algorithm that the target chose among those that we offered.
fn take_algorithm(config: &InitiatorLoginConfig, list: &mut KeyList) -> Result<Algorithm, LoginError> {
    let chosen = required(list, "CHAP_A")?;
    if chosen == "Reject" {
        return Err(LoginError::NoCommonAlgorithm {
            allowed: config.algorithms.to_string(),
        });
    }
    parse_number(&chosen)
        .and_then(Algorithm::from_number)
        .filter(|algorithm| config.algorithms.contains(*algorithm))
        .ok_or_else(|| bad_value("CHAP_A", &chosen).into())
}

fn required(list: &mut KeyList, key: &'static str) -> Result<String, ProtocolError> {
    take_one(list, key)?.ok_or(ProtocolError::MissingKey { key })
}

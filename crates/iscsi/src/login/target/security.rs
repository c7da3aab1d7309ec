//! The target's security stage: which method, and the CHAP dialogue (RFC 7143 §12.1).

use super::super::error::ProtocolError;
use super::super::list::{KeyList, take_one};
use super::authority::Authentication;
use super::refusal::RefusalReason;
use crate::chap::{Algorithm, Algorithms, Challenge, ChapCredentials, Response};
use crate::params::parse_number;

/// How far the dialogue is.
#[derive(Debug)]
enum State {
    /// No `AuthMethod` has come.
    Open,
    /// CHAP is agreed on; `CHAP_A` is awaited.
    AlgorithmsAwaited,
    /// The initiator is challenged; `CHAP_N` and `CHAP_R` are awaited.
    ProofAwaited(Algorithm, Challenge),
    /// Nothing more is to be said.
    Settled,
}

/// The security stage of one login.
#[derive(Debug)]
pub(super) struct Security {
    authentication: Authentication,
    algorithms: Algorithms,
    random: [u8; 32],
    state: State,
    user: Option<String>,
}

impl Security {
    pub(super) fn new(authentication: Authentication, algorithms: Algorithms, random: [u8; 32]) -> Self {
        Self {
            authentication,
            algorithms,
            random,
            state: State::Open,
            user: None,
        }
    }

    /// The CHAP name that was proved.
    pub(super) fn user(&self) -> Option<String> {
        self.user.clone()
    }

    /// Whether the initiator may leave the stage, or pass it over.
    pub(super) fn is_settled(&self) -> bool {
        match self.state {
            State::Settled => true,
            State::Open => matches!(self.authentication, Authentication::None),
            State::AlgorithmsAwaited | State::ProofAwaited(..) => false,
        }
    }

    /// Whether an initiator that wants to leave the stage has not even begun what it must do in it.
    pub(super) fn is_passed_over(&self) -> bool {
        matches!(self.state, State::Open) && !self.is_settled()
    }

    /// Takes the security keys out of a list and answers them.
    pub(super) fn handle(&mut self, list: &mut KeyList) -> Result<KeyList, RefusalReason> {
        match &self.state {
            State::Open => self.take_methods(list),
            State::AlgorithmsAwaited => self.take_algorithms(list),
            State::ProofAwaited(algorithm, challenge) => {
                let (algorithm, challenge) = (*algorithm, challenge.clone());
                self.take_proof(list, algorithm, &challenge)
            }
            State::Settled => Ok(KeyList::new()),
        }
    }

    fn take_methods(&mut self, list: &mut KeyList) -> Result<KeyList, RefusalReason> {
        let Some(offered) = take_one(list, "AuthMethod")? else {
            return Ok(KeyList::new());
        };
        let is_offered = |method| offered.split(',').any(|item| item == method);
        let method = match &self.authentication {
            Authentication::None if is_offered("None") => {
                self.state = State::Settled;
                "None"
            }
            Authentication::None => {
                return Err(RefusalReason::NoCommonMethod {
                    offered: offered.chars().take(64).collect(),
                });
            }
            Authentication::Chap { .. } if is_offered("CHAP") => {
                self.state = State::AlgorithmsAwaited;
                "CHAP"
            }
            Authentication::Chap { .. } => return Err(RefusalReason::ChapRequired),
        };
        Ok(vec![("AuthMethod".to_owned(), method.to_owned())])
    }

    /// Chooses the first of the initiator's algorithms that is allowed, and challenges it.
    fn take_algorithms(&mut self, list: &mut KeyList) -> Result<KeyList, RefusalReason> {
        let offered = required(list, "CHAP_A")?;
        let algorithm = offered
            .split(',')
            .filter_map(parse_number)
            .filter_map(Algorithm::from_number)
            .find(|algorithm| self.algorithms.contains(*algorithm))
            .ok_or_else(|| RefusalReason::NoCommonAlgorithm {
                offered: offered.chars().take(64).collect(),
            })?;
        let challenge = Challenge::from_random(&self.random, algorithm);
        let answers = [
            ("CHAP_A", algorithm.number().to_string()),
            ("CHAP_I", challenge.identifier_text()),
            ("CHAP_C", challenge.challenge_text()),
        ];
        self.state = State::ProofAwaited(algorithm, challenge);
        Ok(named(answers))
    }

    fn take_proof(
        &mut self,
        list: &mut KeyList,
        algorithm: Algorithm,
        challenge: &Challenge,
    ) -> Result<KeyList, RefusalReason> {
        let name = required(list, "CHAP_N")?;
        let proof = required(list, "CHAP_R")?;
        let proof = Response::parse(&proof, algorithm).map_err(ProtocolError::Chap)?;
        let (accounts, mutual) = match &self.authentication {
            Authentication::Chap { accounts, mutual } => (&accounts[..], mutual.as_ref()),
            Authentication::None => (&[][..], None),
        };
        let account = find_account(accounts, &name, algorithm, challenge, &proof).ok_or_else(|| {
            RefusalReason::WrongProof {
                name: name.chars().take(64).collect(),
            }
        })?;
        // §9.2.1: who answers with what we would have answered ourselves is not let in.
        if let Some(mutual) = mutual {
            account.differ_from(mutual)?;
        }
        let answers = match take_challenge(list)? {
            Some(theirs) if theirs.is_reflection_of(challenge) => {
                return Err(RefusalReason::ReflectedChallenge);
            }
            Some(theirs) => {
                let mutual = mutual.ok_or(RefusalReason::MutualNotConfigured)?;
                named([
                    ("CHAP_N", mutual.name().to_owned()),
                    ("CHAP_R", theirs.respond(algorithm, mutual).text()),
                ])
            }
            None => KeyList::new(),
        };
        self.user = Some(account.name().to_owned());
        self.state = State::Settled;
        Ok(answers)
    }
}

/// The account of this name, if the proof is its own. An unknown name costs as much time as a wrong proof.
fn find_account<'a>(
    accounts: &'a [ChapCredentials],
    name: &str,
    algorithm: Algorithm,
    challenge: &Challenge,
    proof: &Response,
) -> Option<&'a ChapCredentials> {
    let known = accounts.iter().find(|account| account.name() == name);
    let compared = known.or(accounts.first())?;
    let is_proved = proof.proves(&challenge.respond(algorithm, compared));
    known.filter(|_| is_proved)
}

/// The initiator's challenge, if it wants the target to prove itself.
fn take_challenge(list: &mut KeyList) -> Result<Option<Challenge>, ProtocolError> {
    let identifier = take_one(list, "CHAP_I")?;
    let challenge = take_one(list, "CHAP_C")?;
    match (identifier, challenge) {
        (None, None) => Ok(None),
        (Some(identifier), Some(challenge)) => Ok(Some(Challenge::parse(&identifier, &challenge)?)),
        (None, Some(_)) => Err(ProtocolError::MissingKey { key: "CHAP_I" }),
        (Some(_), None) => Err(ProtocolError::MissingKey { key: "CHAP_C" }),
    }
}

fn required(list: &mut KeyList, key: &'static str) -> Result<String, ProtocolError> {
    take_one(list, key)?.ok_or(ProtocolError::MissingKey { key })
}

fn named<const N: usize>(list: [(&str, String); N]) -> KeyList {
    list.map(|(key, value)| (key.to_owned(), value)).into()
}

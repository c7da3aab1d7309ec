//! Dialogues of both machines, with each other and with peers that do what they must not.
//!
//! Every PDU goes through its wire form, so that what one side says is what the other side can read.

mod dialogues;
mod hostile_initiators;
mod hostile_targets;
mod random_peers;
mod statuses;

use super::*;
use crate::chap::{Algorithms, ChapCredentials};
use crate::isid::Isid;
use crate::params::Offers;
use crate::pdu::{Cid, InitiatorTaskTag, LoginRequest, LoginResponse, LoginStatus, Stage, Tsih};
use crate::serial::SerialNumber32;
use crate::text::{KeyValues, TextLimits};
use bytes::Bytes;

const INITIATOR: &str = "iqn.2024-01.test.longshore:node1";
const TARGET: &str = "iqn.2024-01.test.array:disk0";
const ISID: Isid = Isid([0x80, 1, 2, 3, 4, 5]);
const SESSION: Tsih = Tsih(0x1234);

/// What initiators and targets are challenged with, in tests alone: no two bytes alike.
fn counting_from(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + at as u8)
}

fn alice() -> ChapCredentials {
    ChapCredentials::new("alice", "longshore-secret-16".into()).unwrap()
}

fn array() -> ChapCredentials {
    ChapCredentials::new("array", "array-secret-16-b".into()).unwrap()
}

fn initiator_config() -> InitiatorLoginConfig {
    InitiatorLoginConfig {
        initiator_name: INITIATOR.parse().unwrap(),
        initiator_alias: None,
        target_name: Some(TARGET.parse().unwrap()),
        isid: ISID,
        tsih: Tsih(0),
        cid: Cid(1),
        cmd_sn: SerialNumber32(0xffff_ffff),
        offers: Offers::default(),
        chap: None,
        mutual: None,
        algorithms: Algorithms::default(),
    }
}

fn with_chap() -> InitiatorLoginConfig {
    InitiatorLoginConfig {
        chap: Some(alice()),
        ..initiator_config()
    }
}

fn with_mutual() -> InitiatorLoginConfig {
    InitiatorLoginConfig {
        mutual: Some(array()),
        ..with_chap()
    }
}

fn initiator(config: InitiatorLoginConfig) -> InitiatorLogin {
    InitiatorLogin::new(config, counting_from(0x40)).unwrap()
}

fn target_config() -> TargetLoginConfig {
    TargetLoginConfig {
        target_portal_group_tag: 7,
        offers: Offers::default(),
        algorithms: Algorithms::all(),
        challenge: counting_from(0x80),
        stat_sn: SerialNumber32(0xffff_fffe),
        command_window: 64,
    }
}

/// An authority that says the same to everybody.
struct Always(Access);

impl Authority for Always {
    fn admit(&self, _request: &AccessRequest<'_>) -> Access {
        self.0.clone()
    }
}

fn granted(authentication: Authentication) -> Always {
    Always(Access::Granted(Grant {
        authentication,
        target_alias: None,
    }))
}

fn open() -> Always {
    granted(Authentication::None)
}

fn demands_chap() -> Always {
    granted(Authentication::Chap {
        accounts: vec![alice()],
        mutual: Some(array()),
    })
}

/// How a login between the two machines ended.
#[derive(Debug)]
enum End {
    Done(Box<Established>),
    InitiatorGaveUp(LoginError),
    /// What each side says of it.
    TargetRefused(RefusalReason, LoginError),
    Redirected(String, bool),
}

/// What both sides know of a session.
#[derive(Debug)]
struct Established {
    initiator: SessionParameters,
    target: SessionParameters,
    identity: LoginIdentity,
    warnings: Vec<LoginWarning>,
    exchanges: u32,
}

impl End {
    fn done(self) -> Established {
        match self {
            Self::Done(established) => *established,
            other => panic!("the login did not succeed: {other:?}"),
        }
    }
}

/// Runs a login between two machines to its end.
fn dialogue(ours: InitiatorLoginConfig, theirs: TargetLoginConfig, authority: &dyn Authority) -> End {
    let mut initiator = initiator(ours);
    let mut target = TargetLogin::new(theirs);
    let mut request = initiator.start();
    for exchanges in 1..=MAX_EXCHANGES + 1 {
        let wired = LoginRequest::parse(request.clone().into_raw()).unwrap();
        assert_eq!(wired, request);
        let (response, entered) = match target.handle(wired, authority) {
            Ok(TargetStep::Send(response)) => (response, None),
            Ok(TargetStep::Ready(ready)) => {
                let identity = ready.identity.clone();
                let (response, session) = ready.accept(SESSION);
                (response, Some((identity, session)))
            }
            Err(refusal) => {
                return match initiator.handle(wire(refusal.response)) {
                    Err(error) => End::TargetRefused(refusal.reason, error),
                    Ok(InitiatorStep::Redirect { address, permanent }) => End::Redirected(address, permanent),
                    Ok(other) => panic!("a refusal was taken for {other:?}"),
                };
            }
        };
        match initiator.handle(wire(response)) {
            Ok(InitiatorStep::Send(next)) => request = next,
            Ok(InitiatorStep::Done(session)) => {
                let (identity, target) = entered.expect("the target is in full feature phase too");
                return End::Done(Box::new(Established {
                    initiator: session,
                    target,
                    identity,
                    warnings: initiator.warnings().to_vec(),
                    exchanges,
                }));
            }
            Ok(InitiatorStep::Redirect { .. }) => panic!("no redirect was sent"),
            Err(error) => return End::InitiatorGaveUp(error),
        }
    }
    panic!("the machines do not bound their exchanges")
}

fn wire(response: LoginResponse) -> LoginResponse {
    let wired = LoginResponse::parse(response.clone().into_raw()).unwrap();
    assert_eq!(wired, response);
    wired
}

fn text(list: &[(&str, &str)]) -> Bytes {
    let mut text = KeyValues::new();
    for (key, value) in list {
        text.push(*key, *value).unwrap();
    }
    text.encode()
}

fn keys(data: &[u8]) -> Vec<(String, String)> {
    let list = KeyValues::parse(data, TextLimits::NEGOTIATION).unwrap();
    list.iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn value<'a>(list: &'a [(String, String)], key: &str) -> Option<&'a str> {
    list.iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| &value[..])
}

/// A scripted target's answer: agrees to the transition that was asked for.
fn respond(request: &LoginRequest, list: &[(&str, &str)]) -> LoginResponse {
    LoginResponse {
        continue_bit: false,
        current_stage: request.current_stage,
        transit_to: request.transit_to,
        version_max: 0,
        version_active: 0,
        isid: request.isid,
        tsih: match request.transit_to {
            Some(Stage::FullFeaturePhase) => SESSION,
            _ => request.tsih,
        },
        initiator_task_tag: request.initiator_task_tag,
        stat_sn: SerialNumber32(41),
        exp_cmd_sn: request.cmd_sn,
        max_cmd_sn: request.cmd_sn.advance(31),
        status: LoginStatus::SUCCESS,
        data: text(list),
    }
}

/// A scripted initiator's request.
fn request(stage: Stage, next: Option<Stage>, list: &[(&str, &str)]) -> LoginRequest {
    LoginRequest {
        continue_bit: false,
        current_stage: stage,
        transit_to: next,
        version_max: 0,
        version_min: 0,
        isid: ISID,
        tsih: Tsih(0),
        initiator_task_tag: InitiatorTaskTag(0x55),
        cid: Cid(3),
        cmd_sn: SerialNumber32(9),
        exp_stat_sn: SerialNumber32(0),
        data: text(list),
    }
}

//! Peers that say anything: a login ends with a session or an error, within its bound, and never without the proof.

use super::*;
use proptest::prelude::*;

fn any_stage() -> impl Strategy<Value = Stage> {
    prop::sample::select(vec![
        Stage::SecurityNegotiation,
        Stage::LoginOperationalNegotiation,
        Stage::FullFeaturePhase,
    ])
}

fn any_keys() -> impl Strategy<Value = Bytes> {
    let known = [
        "AuthMethod",
        "CHAP_A",
        "CHAP_I",
        "CHAP_C",
        "CHAP_N",
        "CHAP_R",
        "InitiatorName",
        "TargetName",
        "SessionType",
        "TargetAlias",
        "TargetAddress",
        "TargetPortalGroupTag",
        "HeaderDigest",
        "DataDigest",
        "MaxRecvDataSegmentLength",
        "MaxBurstLength",
        "FirstBurstLength",
        "InitialR2T",
        "ImmediateData",
        "MaxOutstandingR2T",
        "IFMarker",
        "X-random",
    ];
    let values = [
        "None",
        "CHAP",
        "CHAP,None",
        "8,7,5",
        "5",
        "7",
        "0x0102",
        "0bAQID",
        "alice",
        "array",
        INITIATOR,
        TARGET,
        "Normal",
        "Discovery",
        "1",
        "512",
        "65536",
        "Yes",
        "No",
        "Reject",
        "NotUnderstood",
        "Irrelevant",
        "",
        "CRC32C,None",
    ];
    let pair = (
        prop::sample::select(known.to_vec()),
        prop::sample::select(values.to_vec()),
    );
    prop_oneof![
        8 => prop::collection::vec(pair, 0..8).prop_map(|list| text(&list)),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from),
    ]
}

/// What a random target says to whatever request it gets.
#[derive(Clone, Debug)]
struct Said {
    continue_bit: bool,
    /// Stages that have nothing to do with the request's.
    stages: Option<(Stage, Option<Stage>)>,
    status: LoginStatus,
    data: Bytes,
}

impl Said {
    fn to(&self, request: &LoginRequest) -> LoginResponse {
        let mut response = respond(request, &[]);
        if let Some((current, next)) = self.stages {
            response.current_stage = current;
            response.transit_to = next;
        }
        if self.continue_bit {
            response.transit_to = None;
        }
        LoginResponse {
            continue_bit: self.continue_bit,
            status: self.status,
            data: self.data.clone(),
            ..response
        }
    }
}

prop_compose! {
    fn any_response()(
        continue_bit in prop::bool::weighted(0.1),
        stages in prop::option::weighted(0.1, (any_stage(), prop::option::of(any_stage()))),
        status in prop::option::weighted(0.05, (0..4u8, 0..12u8)),
        data in any_keys(),
    ) -> Said {
        let status = status.map_or(LoginStatus::SUCCESS, |(class, detail)| LoginStatus::new(class, detail));
        Said { continue_bit, stages, status, data }
    }
}

prop_compose! {
    fn any_request()(
        continue_bit in prop::bool::weighted(0.1),
        security in prop::bool::weighted(0.6),
        next in prop::option::of(any_stage()),
        begins in prop::bool::weighted(0.3),
        data in any_keys(),
    ) -> LoginRequest {
        let stage = if security { Stage::SecurityNegotiation } else { Stage::LoginOperationalNegotiation };
        let names = [("InitiatorName", INITIATOR), ("TargetName", TARGET), ("AuthMethod", "CHAP,None")];
        LoginRequest {
            continue_bit,
            data: if begins { text(&names) } else { data },
            ..request(stage, next.filter(|next| !continue_bit && next.code() > stage.code()), &[])
        }
    }
}

proptest! {
    #[test]
    fn random_targets(
        responses in prop::collection::vec(any_response(), 1..12),
        is_mutual: bool,
    ) {
        let mut login = initiator(if is_mutual { with_mutual() } else { initiator_config() });
        let mut request = login.start();
        for answer in responses.iter().cycle().take(MAX_EXCHANGES as usize + 1) {
            match login.handle(answer.to(&request)) {
                Ok(InitiatorStep::Send(next)) => request = next,
                Ok(InitiatorStep::Done(session)) => {
                    prop_assert!(!is_mutual, "no random target can prove itself");
                    prop_assert!(session.first_burst_length <= session.max_burst_length);
                    return Ok(());
                }
                Ok(InitiatorStep::Redirect { .. }) | Err(_) => return Ok(()),
            }
        }
        prop_assert!(false, "the login did not end");
    }

    #[test]
    fn random_initiators(
        requests in prop::collection::vec(any_request(), 1..12),
        is_open: bool,
    ) {
        let authority = if is_open { open() } else { demands_chap() };
        let mut target = TargetLogin::new(target_config());
        for request in requests.iter().cycle().take(MAX_EXCHANGES as usize + 1) {
            match target.handle(request.clone(), &authority) {
                Ok(TargetStep::Send(response)) => {
                    wire(response);
                }
                Ok(TargetStep::Ready(ready)) => {
                    prop_assert!(is_open, "no random initiator can prove itself");
                    let (response, session) = ready.accept(SESSION);
                    wire(response);
                    prop_assert!(session.first_burst_length <= session.max_burst_length);
                    return Ok(());
                }
                Err(refusal) => {
                    prop_assert!(!refusal.response.status.is_success());
                    wire(refusal.response);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "the login did not end");
    }
}

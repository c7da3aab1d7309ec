//! Initiators that break the protocol: each is refused with the right status, and none keeps a target busy.

use super::*;

const SECURITY: Stage = Stage::SecurityNegotiation;
const OPERATIONAL: Stage = Stage::LoginOperationalNegotiation;
const FULL_FEATURE: Option<Stage> = Some(Stage::FullFeaturePhase);
const NAMES: [(&str, &str); 2] = [("InitiatorName", INITIATOR), ("TargetName", TARGET)];

/// Sends requests to a target and gives the refusal of the last; the others must be taken.
fn refusal(authority: &Always, requests: Vec<LoginRequest>) -> (RefusalReason, LoginStatus) {
    let mut target = TargetLogin::new(target_config());
    let last = requests.len() - 1;
    for (at, request) in requests.into_iter().enumerate() {
        match target.handle(request, authority) {
            Ok(TargetStep::Send(_)) if at < last => {}
            Err(refusal) if at == last => {
                let response = wire(refusal.response);
                assert_eq!(response.status, refusal.reason.status());
                return (refusal.reason, response.status);
            }
            other => panic!("request {at}: {other:?}"),
        }
    }
    unreachable!("there is a last request")
}

fn first_refusal(authority: &Always, stage: Stage, list: &[(&str, &str)]) -> LoginStatus {
    refusal(authority, vec![request(stage, None, list)]).1
}

fn names_and<'a>(list: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&NAMES, list].concat()
}

#[test]
fn names() {
    for (list, status) in [
        (&[][..], LoginStatus::MISSING_PARAMETER),
        (&[("TargetName", TARGET)], LoginStatus::MISSING_PARAMETER),
        (&[("InitiatorName", INITIATOR)], LoginStatus::MISSING_PARAMETER),
        (
            &[("InitiatorName", "me"), ("TargetName", TARGET)],
            LoginStatus::INITIATOR_ERROR,
        ),
        (
            &[("InitiatorName", INITIATOR), ("TargetName", "../../etc")],
            LoginStatus::NOT_FOUND,
        ),
        (
            &[
                ("InitiatorName", INITIATOR),
                ("InitiatorName", INITIATOR),
                ("TargetName", TARGET),
            ],
            LoginStatus::INITIATOR_ERROR,
        ),
        (
            &[("InitiatorName", INITIATOR), ("SessionType", "Other")],
            LoginStatus::SESSION_TYPE_NOT_SUPPORTED,
        ),
    ] {
        for stage in [SECURITY, OPERATIONAL] {
            assert_eq!(first_refusal(&open(), stage, list), status, "{list:?}");
        }
    }
    let again = vec![
        request(OPERATIONAL, None, &NAMES),
        request(OPERATIONAL, None, &NAMES),
    ];
    let (reason, _) = refusal(&open(), again);
    assert!(matches!(
        reason,
        RefusalReason::Protocol(ProtocolError::RepeatedKey { .. })
    ));
}

#[test]
fn authentication_that_is_passed_over() {
    let names = names_and(&[]);
    for requests in [
        vec![request(OPERATIONAL, FULL_FEATURE, &names)],
        vec![request(OPERATIONAL, None, &names)],
        vec![request(SECURITY, Some(OPERATIONAL), &names)],
        vec![request(SECURITY, FULL_FEATURE, &names)],
        vec![request(
            SECURITY,
            FULL_FEATURE,
            &names_and(&[("AuthMethod", "None")]),
        )],
        vec![
            request(SECURITY, None, &names),
            request(SECURITY, FULL_FEATURE, &[]),
        ],
    ] {
        let (reason, status) = refusal(&demands_chap(), requests);
        assert_eq!(reason, RefusalReason::ChapRequired);
        assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE);
    }
}

#[test]
fn a_stage_does_not_end_before_the_proof() {
    let mut target = TargetLogin::new(target_config());
    for list in [&names_and(&[("AuthMethod", "CHAP")])[..], &[("CHAP_A", "7")]] {
        let step = target.handle(request(SECURITY, FULL_FEATURE, list), &demands_chap());
        let Ok(TargetStep::Send(response)) = step else {
            panic!("{step:?}");
        };
        assert_eq!(response.transit_to, None);
    }
    let refused = target.handle(request(SECURITY, FULL_FEATURE, &[]), &demands_chap());
    assert_eq!(
        refused.unwrap_err().reason,
        RefusalReason::Protocol(ProtocolError::MissingKey { key: "CHAP_N" })
    );
}

#[test]
fn proofs_that_are_none() {
    let ours = "0x808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
    let good = "0x27ad3810ab98bbde39c5e231032afe4c6a040a349d46257e40e795447fec20f6";
    let challenged = || {
        vec![
            request(SECURITY, None, &names_and(&[("AuthMethod", "CHAP")])),
            request(SECURITY, None, &[("CHAP_A", "7")]),
        ]
    };
    for list in [
        &[("CHAP_N", "alice"), ("CHAP_R", ours)][..],
        &[("CHAP_N", "mallory"), ("CHAP_R", good)],
        &[("CHAP_N", "alice"), ("CHAP_R", "0x00")],
        &[("CHAP_N", "alice"), ("CHAP_R", "secret")],
        &[
            ("CHAP_N", "alice"),
            ("CHAP_R", good),
            ("CHAP_I", "1"),
            ("CHAP_C", ours),
        ],
        &[
            ("CHAP_N", "alice"),
            ("CHAP_R", good),
            ("CHAP_I", "999"),
            ("CHAP_C", "0x01"),
        ],
    ] {
        let mut requests = challenged();
        requests.push(request(SECURITY, Some(OPERATIONAL), list));
        let (_, status) = refusal(&demands_chap(), requests);
        assert_eq!(status, LoginStatus::AUTHENTICATION_FAILURE, "{list:?}");
    }
    for list in [
        &[("CHAP_N", "alice")][..],
        &[("CHAP_R", good)],
        &[("CHAP_N", "alice"), ("CHAP_R", good), ("CHAP_I", "1")],
        &[("CHAP_N", "alice"), ("CHAP_R", good), ("CHAP_C", "0x01")],
    ] {
        let mut requests = challenged();
        requests.push(request(SECURITY, Some(OPERATIONAL), list));
        assert_eq!(
            refusal(&demands_chap(), requests).1,
            LoginStatus::MISSING_PARAMETER
        );
    }
    // No accounts at all let nobody in.
    let nobody = granted(Authentication::Chap {
        accounts: Vec::new(),
        mutual: None,
    });
    let mut requests = challenged();
    requests.push(request(SECURITY, None, &[("CHAP_N", "alice"), ("CHAP_R", good)]));
    assert!(matches!(
        refusal(&nobody, requests).0,
        RefusalReason::WrongProof { .. }
    ));
}

#[test]
fn the_reflected_challenge_is_named() {
    let ours = "0x808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f";
    let good = "0x27ad3810ab98bbde39c5e231032afe4c6a040a349d46257e40e795447fec20f6";
    let proof = [
        ("CHAP_N", "alice"),
        ("CHAP_R", good),
        ("CHAP_I", "1"),
        ("CHAP_C", ours),
    ];
    let requests = vec![
        request(SECURITY, None, &names_and(&[("AuthMethod", "CHAP")])),
        request(SECURITY, None, &[("CHAP_A", "7")]),
        request(SECURITY, Some(OPERATIONAL), &proof),
    ];
    assert_eq!(
        refusal(&demands_chap(), requests).0,
        RefusalReason::ReflectedChallenge
    );
}

#[test]
fn requests_of_another_login() {
    let tampers: [fn(&mut LoginRequest); 5] = [
        |pdu| pdu.initiator_task_tag = InitiatorTaskTag(1),
        |pdu| pdu.isid = Isid([1; 6]),
        |pdu| pdu.tsih = Tsih(1),
        |pdu| pdu.cid = Cid(9),
        |pdu| pdu.current_stage = SECURITY,
    ];
    for tamper in tampers {
        let mut second = request(OPERATIONAL, None, &[]);
        tamper(&mut second);
        let (reason, status) = refusal(&open(), vec![request(OPERATIONAL, None, &NAMES), second]);
        assert!(matches!(
            reason,
            RefusalReason::Protocol(ProtocolError::Field { .. } | ProtocolError::Stage { .. })
        ));
        assert_eq!(status, LoginStatus::INITIATOR_ERROR);
    }
    let mut newer = request(OPERATIONAL, None, &NAMES);
    newer.version_min = 1;
    assert_eq!(refusal(&open(), vec![newer]).1, LoginStatus::UNSUPPORTED_VERSION);
}

#[test]
fn keys_where_they_do_not_belong() {
    for (stage, key) in [
        (SECURITY, "MaxBurstLength"),
        (SECURITY, "CHAP_A"),
        (SECURITY, "SendTargets"),
        (OPERATIONAL, "AuthMethod"),
        (OPERATIONAL, "CHAP_N"),
        (OPERATIONAL, "SendTargets"),
    ] {
        let (reason, status) = refusal(&open(), vec![request(stage, None, &names_and(&[(key, "1")]))]);
        assert!(
            matches!(
                reason,
                RefusalReason::Protocol(ProtocolError::UnexpectedKey { .. })
            ),
            "{stage} {key}: {reason}"
        );
        assert_eq!(status, LoginStatus::INITIATOR_ERROR);
    }
}

#[test]
fn unknown_keys_are_not_understood_in_either_stage() {
    for stage in [SECURITY, OPERATIONAL] {
        let mut target = TargetLogin::new(target_config());
        let list = names_and(&[("X-com.example.key", "1")]);
        let Ok(TargetStep::Send(response)) = target.handle(request(stage, None, &list), &open()) else {
            panic!("an unknown key is no error");
        };
        assert_eq!(
            value(&keys(&response.data), "X-com.example.key"),
            Some("NotUnderstood")
        );
    }
}

#[test]
fn sizes() {
    let mut long = request(SECURITY, None, &[]);
    long.data = vec![b'A'; 8193].into();
    let (reason, _) = refusal(&open(), vec![long]);
    assert_eq!(
        reason,
        RefusalReason::Protocol(ProtocolError::DataTooLong { len: 8193 })
    );
    let mut part = request(SECURITY, None, &[]);
    part.continue_bit = true;
    part.data = vec![b'A'; 8192].into();
    let (reason, status) = refusal(&open(), vec![part; 9]);
    assert!(matches!(reason, RefusalReason::Protocol(ProtocolError::Text(_))));
    assert_eq!(status, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn initiators_that_never_come_to_an_end() {
    let mut empty_part = request(SECURITY, None, &[]);
    empty_part.continue_bit = true;
    let parts = vec![empty_part; MAX_EXCHANGES as usize + 1];
    let too_many = RefusalReason::Protocol(ProtocolError::TooManyExchanges);
    assert_eq!(refusal(&open(), parts).0, too_many);
    let mut requests = vec![request(OPERATIONAL, None, &NAMES)];
    requests.extend(vec![request(OPERATIONAL, None, &[]); MAX_EXCHANGES as usize]);
    assert_eq!(refusal(&open(), requests).0, too_many);
}

#[test]
fn a_login_that_is_over_stays_over() {
    let mut target = TargetLogin::new(target_config());
    let all = request(OPERATIONAL, FULL_FEATURE, &NAMES);
    assert!(matches!(
        target.handle(all.clone(), &open()),
        Ok(TargetStep::Ready(_))
    ));
    let again = target.handle(all, &open()).unwrap_err();
    assert_eq!(again.response.status, LoginStatus::INVALID_DURING_LOGIN);
}

#[test]
fn keys_between_the_parts_of_the_targets_list_are_refused() {
    let authority = Always(Access::Granted(Grant {
        authentication: Authentication::None,
        target_alias: Some("t".repeat(8192)),
    }));
    let requests = vec![
        request(OPERATIONAL, None, &NAMES),
        request(OPERATIONAL, None, &[("MaxBurstLength", "65536")]),
    ];
    assert_eq!(
        refusal(&authority, requests).0,
        RefusalReason::Protocol(ProtocolError::DataBeforeEndOfList)
    );
}

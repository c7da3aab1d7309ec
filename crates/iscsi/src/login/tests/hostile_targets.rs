//! Targets that break the protocol: each gets a typed error, and none keeps an initiator busy.

use super::*;
use crate::params::NegotiationError;

const OPERATIONAL: Stage = Stage::LoginOperationalNegotiation;

/// What an initiator says to a first response that has been tampered with.
fn first_answer(tamper: impl FnOnce(&mut LoginResponse)) -> LoginError {
    let mut login = initiator(initiator_config());
    let mut answer = respond(&login.start(), &[("AuthMethod", "None")]);
    tamper(&mut answer);
    login.handle(answer).unwrap_err()
}

/// The initiator in its operational stage, and its request.
fn in_operational_stage() -> (InitiatorLogin, LoginRequest) {
    let mut login = initiator(initiator_config());
    let first = login.start();
    let Ok(InitiatorStep::Send(second)) = login.handle(respond(&first, &[("AuthMethod", "None")])) else {
        panic!("the operational stage follows");
    };
    (login, second)
}

fn operational_answer(
    list: &[(&str, &str)],
    tamper: impl FnOnce(&mut LoginResponse),
) -> Result<InitiatorStep, LoginError> {
    let (mut login, second) = in_operational_stage();
    let mut answer = respond(&second, list);
    tamper(&mut answer);
    login.handle(answer)
}

/// The initiator after it has offered its algorithms, or sent its proof.
fn in_chap(config: InitiatorLoginConfig) -> (InitiatorLogin, LoginRequest) {
    let mut login = initiator(config);
    let first = login.start();
    let Ok(InitiatorStep::Send(second)) = login.handle(respond(&first, &[("AuthMethod", "CHAP")])) else {
        panic!("the algorithms follow");
    };
    (login, second)
}

fn after_proof() -> (InitiatorLogin, LoginRequest) {
    let (mut login, second) = in_chap(with_mutual());
    let answer = respond(&second, &[("CHAP_A", "7"), ("CHAP_I", "0"), ("CHAP_C", "0x0102")]);
    let Ok(InitiatorStep::Send(third)) = login.handle(answer) else {
        panic!("the proof follows");
    };
    (login, third)
}

fn is_field(error: &LoginError, name: &str) -> bool {
    matches!(error, LoginError::Protocol(ProtocolError::Field { field, .. }) if *field == name)
}

#[test]
fn headers_of_another_login() {
    assert!(is_field(
        &first_answer(|pdu| pdu.initiator_task_tag = InitiatorTaskTag(9)),
        "Initiator Task Tag"
    ));
    assert!(is_field(&first_answer(|pdu| pdu.isid = Isid([9; 6])), "ISID"));
    assert!(is_field(
        &first_answer(|pdu| pdu.version_active = 1),
        "Version-active"
    ));
}

#[test]
fn stages_that_were_not_asked_for() {
    assert!(matches!(
        first_answer(|pdu| {
            pdu.current_stage = OPERATIONAL;
            pdu.transit_to = None;
        }),
        LoginError::Protocol(ProtocolError::Stage { .. })
    ));
    // We asked for the operational stage.
    assert!(matches!(
        first_answer(|pdu| pdu.transit_to = Some(Stage::FullFeaturePhase)),
        LoginError::Protocol(ProtocolError::Transition { .. })
    ));
    // With CHAP in prospect we asked for nothing: a target cannot wave itself through.
    let mut login = initiator(with_mutual());
    let mut answer = respond(&login.start(), &[("AuthMethod", "CHAP")]);
    answer.transit_to = Some(Stage::FullFeaturePhase);
    assert!(matches!(
        login.handle(answer).unwrap_err(),
        LoginError::Protocol(ProtocolError::Transition { .. })
    ));
}

#[test]
fn a_login_that_has_failed_stays_failed() {
    let mut login = initiator(initiator_config());
    let request = login.start();
    let mut bad = respond(&request, &[]);
    bad.version_active = 9;
    login.handle(bad).unwrap_err();
    assert_eq!(
        login
            .handle(respond(&request, &[("AuthMethod", "None")]))
            .unwrap_err(),
        LoginError::Protocol(ProtocolError::NotUnderWay)
    );
    let mut unstarted = initiator(initiator_config());
    assert_eq!(
        unstarted.handle(respond(&request, &[])).unwrap_err(),
        LoginError::Protocol(ProtocolError::NotUnderWay)
    );
}

#[test]
fn sizes() {
    assert!(matches!(
        first_answer(|pdu| pdu.data = vec![b'A'; 8193].into()),
        LoginError::Protocol(ProtocolError::DataTooLong { len: 8193 })
    ));
    assert!(matches!(
        first_answer(|pdu| pdu.data = "no zero byte at the end".into()),
        LoginError::Protocol(ProtocolError::Text(_))
    ));
    // A list that never ends, each part at its limit.
    let mut login = initiator(initiator_config());
    let mut request = login.start();
    let error = loop {
        let mut answer = respond(&request, &[]);
        answer.transit_to = None;
        answer.continue_bit = true;
        answer.data = vec![b'A'; 8192].into();
        match login.handle(answer) {
            Ok(InitiatorStep::Send(next)) => request = next,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        assert!(request.data.is_empty() && request.transit_to.is_none());
    };
    assert!(matches!(error, LoginError::Protocol(ProtocolError::Text(_))));
}

#[test]
fn targets_that_never_come_to_an_end() {
    // Empty parts, without end.
    let mut login = initiator(initiator_config());
    let mut request = login.start();
    let mut count = 0;
    let error = loop {
        let mut answer = respond(&request, &[]);
        answer.transit_to = None;
        answer.continue_bit = true;
        match login.handle(answer) {
            Ok(InitiatorStep::Send(next)) => request = next,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
        count += 1;
        assert!(count <= MAX_EXCHANGES, "the bound does not hold");
    };
    assert_eq!(error, LoginError::Protocol(ProtocolError::TooManyExchanges));
    // A stage that does not end.
    for start in [in_operational_stage(), after_proof()] {
        let (mut login, mut request) = start;
        let mut count = 0;
        let error = loop {
            count += 1;
            assert!(count <= MAX_EXCHANGES, "the bound does not hold");
            let mut answer = respond(&request, &[("X-again", "1")]);
            if request.current_stage == Stage::SecurityNegotiation {
                let proof = "0xb7f42cf84f91fc012a0c3399e389600311996d87bf422096b821e69457c91aad";
                answer = match request.data.is_empty() {
                    true => respond(&request, &[]),
                    false => respond(&request, &[("CHAP_N", "array"), ("CHAP_R", proof)]),
                };
            }
            answer.transit_to = None;
            match login.handle(answer) {
                Ok(InitiatorStep::Send(next)) => request = next,
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error, LoginError::Protocol(ProtocolError::TooManyExchanges));
    }
}

#[test]
fn a_portal_group_that_changes() {
    let tag = |first: &'static str, second: &'static str| {
        let mut login = initiator(initiator_config());
        let request = login.start();
        let Ok(InitiatorStep::Send(next)) =
            login.handle(respond(&request, &[("TargetPortalGroupTag", first)]))
        else {
            panic!("the operational stage follows");
        };
        login.handle(respond(&next, &[("TargetPortalGroupTag", second)]))
    };
    assert!(matches!(tag("1", "1"), Ok(InitiatorStep::Done(_))));
    assert!(matches!(
        tag("1", "2"),
        Err(LoginError::Protocol(ProtocolError::RepeatedKey { .. }))
    ));
}

#[test]
fn handles_that_a_target_must_not_give() {
    let result = operational_answer(&[], |pdu| pdu.tsih = Tsih(0));
    assert!(is_field(&result.unwrap_err(), "TSIH"));
    let mut login = initiator(InitiatorLoginConfig {
        tsih: Tsih(5),
        ..initiator_config()
    });
    let first = login.start();
    let Ok(InitiatorStep::Send(second)) = login.handle(respond(&first, &[])) else {
        panic!("the operational stage follows");
    };
    let answer = respond(&second, &[]);
    assert!(is_field(&login.handle(answer).unwrap_err(), "TSIH"));
}

#[test]
fn a_command_window_that_ends_before_it_begins_is_shut() {
    let result = operational_answer(&[], |pdu| pdu.max_cmd_sn = pdu.exp_cmd_sn.retreat(9));
    let Ok(InitiatorStep::Done(session)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(session.max_cmd_sn, SerialNumber32(0xffff_fffe));
}

#[test]
fn keys_where_they_do_not_belong() {
    let security = |list: &[(&str, &str)]| first_answer(|pdu| pdu.data = text(list));
    for list in [
        &[("AuthMethod", "None"), ("AuthMethod", "None")][..],
        &[("TargetPortalGroupTag", "1"), ("TargetPortalGroupTag", "1")],
    ] {
        assert!(matches!(
            security(list),
            LoginError::Protocol(ProtocolError::RepeatedKey { .. })
        ));
    }
    for list in [
        &[("AuthMethod", "None"), ("CHAP_A", "5")][..],
        &[("AuthMethod", "None"), ("MaxBurstLength", "512")],
    ] {
        assert!(matches!(
            security(list),
            LoginError::Protocol(ProtocolError::UnexpectedKey { .. })
        ));
    }
    for list in [
        &[("TargetPortalGroupTag", "65536")][..],
        &[("TargetPortalGroupTag", "one")],
        &[("AuthMethod", "KRB5")],
        &[("AuthMethod", "")],
    ] {
        assert!(
            matches!(
                security(list),
                LoginError::Protocol(ProtocolError::BadValue { .. })
            ),
            "{list:?}"
        );
    }
}

#[test]
fn operational_answers_that_were_not_allowed() {
    for (list, expected) in [
        (&[("MaxBurstLength", "16777215")][..], "not a legal answer"),
        (&[("ErrorRecoveryLevel", "2")], "not a legal answer"),
        (&[("MaxRecvDataSegmentLength", "0")], "not within its range"),
        (&[("HeaderDigest", "None"), ("HeaderDigest", "None")], "twice"),
        (&[("TaskReporting", "Reject")], "never made"),
    ] {
        let error = operational_answer(list, |_| {}).unwrap_err();
        assert!(matches!(error, LoginError::Negotiation(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.responsible(), Responsible::TargetImplementation);
    }
    // An offer, and no wait for its answer.
    let offered = operational_answer(&[("TaskReporting", "RFC3720")], |_| {});
    assert!(matches!(
        offered.unwrap_err(),
        LoginError::Protocol(ProtocolError::UnexpectedKey { .. })
    ));
    assert!(matches!(
        operational_answer(&[("IFMarker", "Irrelevant")], |_| {}),
        Err(LoginError::Negotiation(NegotiationError::UnaskedAnswer { .. }))
    ));
}

#[test]
fn challenges_that_are_none() {
    let good = [("CHAP_A", "7"), ("CHAP_I", "1"), ("CHAP_C", "0x0102")];
    for (at, value) in [
        (0, "5"),
        (0, "6"),
        (0, "8,7"),
        (0, ""),
        (1, "256"),
        (2, "0102"),
        (2, "0x"),
        (2, "0xzz"),
    ] {
        let (mut login, second) = in_chap(InitiatorLoginConfig {
            algorithms: Algorithms::strong(),
            ..with_chap()
        });
        let mut list = good;
        list[at].1 = value;
        let error = login.handle(respond(&second, &list)).unwrap_err();
        assert!(
            matches!(
                error,
                LoginError::Protocol(ProtocolError::BadValue { .. } | ProtocolError::Chap(_))
            ),
            "{error}"
        );
    }
    for missing in 0..3 {
        let (mut login, second) = in_chap(with_chap());
        let mut list = good.to_vec();
        let (key, _) = list.remove(missing);
        let error = login.handle(respond(&second, &list)).unwrap_err();
        assert_eq!(error, LoginError::Protocol(ProtocolError::MissingKey { key }));
    }
    let (mut login, second) = in_chap(with_chap());
    assert!(matches!(
        login.handle(respond(&second, &[("CHAP_A", "Reject")])),
        Err(LoginError::NoCommonAlgorithm { .. })
    ));
}

#[test]
fn a_target_that_sends_our_own_challenge() {
    let (mut login, second) = in_chap(with_mutual());
    let ours = "0x404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";
    let answer = respond(&second, &[("CHAP_A", "7"), ("CHAP_I", "9"), ("CHAP_C", ours)]);
    let error = login.handle(answer).unwrap_err();
    assert_eq!(
        error,
        LoginError::TargetNotProven(MutualFailure::ReflectedChallenge)
    );
    assert_eq!(error.responsible(), Responsible::TargetImplementation);
}

#[test]
fn a_target_that_does_not_prove_itself() {
    // Our secret over our challenge, by Python's hashlib: what only we can know, or who had us sign it.
    let ours = "0x433e324891d5094b89917792b98e07c61d452bb728aeb4c2e2a9276f2666f027";
    let zeros = "0x0000000000000000000000000000000000000000000000000000000000000000";
    for (list, failure) in [
        (&[][..], MutualFailure::NoProof),
        (&[("CHAP_N", "array")], MutualFailure::NoProof),
        (&[("CHAP_R", zeros)], MutualFailure::NoProof),
        (
            &[("CHAP_N", "array"), ("CHAP_R", zeros)],
            MutualFailure::WrongProof,
        ),
        (
            &[("CHAP_N", "array"), ("CHAP_R", ours)],
            MutualFailure::ReflectedProof,
        ),
    ] {
        for transit in [true, false] {
            let (mut login, third) = after_proof();
            let mut answer = respond(&third, list);
            answer.transit_to = answer.transit_to.filter(|_| transit);
            assert_eq!(
                login.handle(answer).unwrap_err(),
                LoginError::TargetNotProven(failure.clone())
            );
        }
    }
    let (mut login, third) = after_proof();
    let short = respond(&third, &[("CHAP_N", "array"), ("CHAP_R", "0x00")]);
    assert!(matches!(
        login.handle(short),
        Err(LoginError::Protocol(ProtocolError::Chap(_)))
    ));
}

//! Logins that fail for a reason that somebody can mend: each error says who erred.

use super::*;
use crate::chap::Algorithm;
use crate::params::{DigestPolicy, NegotiationError};
use crate::pdu::RawPdu;

fn wrong_secret(credentials: &ChapCredentials) -> ChapCredentials {
    ChapCredentials::new(credentials.name(), "this is not the secret".into()).unwrap()
}

#[test]
fn a_wrong_secret_of_ours() {
    for chap in [
        wrong_secret(&alice()),
        ChapCredentials::new("bob", "longshore-secret-16".into()).unwrap(),
    ] {
        let name = chap.name().to_owned();
        let ours = InitiatorLoginConfig {
            chap: Some(chap),
            ..initiator_config()
        };
        let End::TargetRefused(reason, error) = dialogue(ours, target_config(), &demands_chap()) else {
            panic!("the target let {name} in");
        };
        assert_eq!(reason, RefusalReason::WrongProof { name: name.clone() });
        assert_eq!(reason.status(), LoginStatus::AUTHENTICATION_FAILURE);
        assert_eq!(error, LoginError::WrongSecret { name });
        assert_eq!(error.responsible(), Responsible::LocalConfiguration);
        assert!(!error.to_string().contains("not the secret"));
    }
}

#[test]
fn a_wrong_secret_of_the_targets() {
    let ours = InitiatorLoginConfig {
        mutual: Some(wrong_secret(&array())),
        ..with_mutual()
    };
    let End::InitiatorGaveUp(error) = dialogue(ours, target_config(), &demands_chap()) else {
        panic!("the initiator takes a target for the right one that is not");
    };
    assert_eq!(error, LoginError::TargetNotProven(MutualFailure::WrongProof));
    assert_eq!(error.responsible(), Responsible::TargetConfiguration);
}

#[test]
fn a_wrong_name_of_the_targets() {
    let ours = InitiatorLoginConfig {
        mutual: Some(ChapCredentials::new("other", "array-secret-16-b".into()).unwrap()),
        ..with_mutual()
    };
    let End::InitiatorGaveUp(error) = dialogue(ours, target_config(), &demands_chap()) else {
        panic!("the name is another");
    };
    assert_eq!(
        error,
        LoginError::TargetNotProven(MutualFailure::WrongName {
            expected: "other".to_owned(),
            received: "array".to_owned(),
        })
    );
}

#[test]
fn an_authentication_failure_after_the_security_stage_is_no_wrong_secret() {
    let mut login = initiator(with_chap());
    let mut request = login.start();
    for list in [
        &[("AuthMethod", "CHAP")][..],
        &[("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "0x01")],
        &[],
    ] {
        let Ok(InitiatorStep::Send(next)) = login.handle(respond(&request, list)) else {
            panic!("the login goes on");
        };
        request = next;
    }
    assert_eq!(request.current_stage, Stage::LoginOperationalNegotiation);
    let mut answer = respond(&request, &[]);
    answer.status = LoginStatus::AUTHENTICATION_FAILURE;
    let status = answer.status;
    assert_eq!(login.handle(answer).unwrap_err(), LoginError::Refused { status });
}

/// tgt 1.0.85, offered `8,7,5`: it chooses 7, means SHA-1 by it, and refuses 32 bytes with 0200.
#[test]
fn a_target_that_takes_7_for_sha_1_is_named_with_what_else_to_try() {
    for (algorithms, others) in [
        (
            Algorithms::default(),
            Algorithms::new(&[Algorithm::Sha3_256, Algorithm::Md5]),
        ),
        (Algorithms::new(&[Algorithm::Sha256]).unwrap(), None),
    ] {
        let mut login = initiator(InitiatorLoginConfig {
            algorithms,
            ..with_chap()
        });
        let mut request = login.start();
        for list in [
            &[("AuthMethod", "CHAP")][..],
            &[("CHAP_A", "7"), ("CHAP_I", "1"), ("CHAP_C", "0x00c10638327c7363")],
        ] {
            let Ok(InitiatorStep::Send(next)) = login.handle(respond(&request, list)) else {
                panic!("the login goes on");
            };
            request = next;
        }
        let mut answer = respond(&request, &[]);
        answer.status = LoginStatus::INITIATOR_ERROR;
        let error = login.handle(answer).unwrap_err();
        assert_eq!(error.other_algorithms(), others.as_ref());
        assert_eq!(error, LoginError::AlgorithmMisnumbered { others });
        assert_eq!(error.responsible(), Responsible::TargetImplementation);
    }
}

#[test]
fn chap_is_demanded_and_not_configured() {
    let End::TargetRefused(reason, error) = dialogue(initiator_config(), target_config(), &demands_chap())
    else {
        panic!("nobody proved anything");
    };
    assert_eq!(reason, RefusalReason::ChapRequired);
    assert_eq!(error, LoginError::ChapRequired);
    assert_eq!(error.responsible(), Responsible::LocalConfiguration);
}

#[test]
fn a_target_that_says_chap_or_reject_to_none_demands_it_too() {
    for method in ["CHAP", "Reject"] {
        let mut login = initiator(initiator_config());
        let first = login.start();
        let answer = respond(&first, &[("AuthMethod", method)]);
        assert_eq!(
            login.handle(answer).unwrap_err(),
            LoginError::ChapRequired,
            "{method}"
        );
    }
}

#[test]
fn mutual_chap_is_demanded_and_the_target_does_not_ask_for_chap() {
    let End::TargetRefused(reason, error) = dialogue(with_mutual(), target_config(), &open()) else {
        panic!("the target did not prove itself");
    };
    assert_eq!(
        reason,
        RefusalReason::NoCommonMethod {
            offered: "CHAP".to_owned()
        }
    );
    assert_eq!(error, LoginError::ChapRefused);
    // Others choose a method that was not offered, or pass the key over.
    for list in [&[("AuthMethod", "None")][..], &[]] {
        let mut login = initiator(with_mutual());
        let first = login.start();
        assert_eq!(
            login.handle(respond(&first, list)).unwrap_err(),
            LoginError::TargetNotProven(MutualFailure::ChapNotAsked)
        );
    }
}

#[test]
fn mutual_chap_is_demanded_and_the_target_has_no_secret() {
    let authority = granted(Authentication::Chap {
        accounts: vec![alice()],
        mutual: None,
    });
    let End::TargetRefused(reason, _) = dialogue(with_mutual(), target_config(), &authority) else {
        panic!("the target cannot prove itself");
    };
    assert_eq!(reason, RefusalReason::MutualNotConfigured);
    assert_eq!(reason.status(), LoginStatus::AUTHENTICATION_FAILURE);
}

#[test]
fn no_algorithm_in_common() {
    let ours = InitiatorLoginConfig {
        algorithms: Algorithms::strong(),
        ..with_chap()
    };
    let theirs = TargetLoginConfig {
        algorithms: Algorithms::new(&[Algorithm::Md5]).unwrap(),
        ..target_config()
    };
    let End::TargetRefused(reason, error) = dialogue(ours, theirs, &demands_chap()) else {
        panic!("a forbidden algorithm was taken");
    };
    assert_eq!(
        reason,
        RefusalReason::NoCommonAlgorithm {
            offered: "8,7".to_owned()
        }
    );
    assert_eq!(
        error,
        LoginError::NoCommonAlgorithm {
            allowed: "8,7".to_owned()
        }
    );
}

#[test]
fn secrets_that_do_not_fit_together() {
    let refused = |config| InitiatorLogin::new(config, [0; 32]).unwrap_err();
    let without_chap = InitiatorLoginConfig {
        mutual: Some(array()),
        ..initiator_config()
    };
    assert_eq!(refused(without_chap), LoginError::MutualWithoutChap);
    let same = ChapCredentials::new("array", "longshore-secret-16".into()).unwrap();
    let one_secret = InitiatorLoginConfig {
        mutual: Some(same.clone()),
        ..with_mutual()
    };
    assert!(matches!(refused(one_secret), LoginError::Credentials(_)));
    let authority = granted(Authentication::Chap {
        accounts: vec![alice()],
        mutual: Some(same),
    });
    for config in [with_chap(), with_mutual()] {
        let End::TargetRefused(reason, _) = dialogue(config, target_config(), &authority) else {
            panic!("the target uses one secret for both directions");
        };
        assert!(matches!(reason, RefusalReason::Credentials(_)));
        assert_eq!(reason.status(), LoginStatus::TARGET_ERROR);
    }
}

#[test]
fn the_authoritys_refusals_arrive_as_their_status() {
    for (refusal, status, responsible) in [
        (
            AccessRefusal::UnknownTarget,
            LoginStatus::NOT_FOUND,
            Responsible::LocalConfiguration,
        ),
        (
            AccessRefusal::TargetRemoved,
            LoginStatus::TARGET_REMOVED,
            Responsible::TargetConfiguration,
        ),
        (
            AccessRefusal::Forbidden,
            LoginStatus::AUTHORIZATION_FAILURE,
            Responsible::TargetConfiguration,
        ),
        (
            AccessRefusal::Unavailable,
            LoginStatus::SERVICE_UNAVAILABLE,
            Responsible::Transient,
        ),
        (
            AccessRefusal::OutOfResources,
            LoginStatus::OUT_OF_RESOURCES,
            Responsible::Transient,
        ),
        (
            AccessRefusal::NoDiscovery,
            LoginStatus::SESSION_TYPE_NOT_SUPPORTED,
            Responsible::TargetImplementation,
        ),
    ] {
        let authority = Always(Access::Refused(refusal));
        let End::TargetRefused(reason, error) = dialogue(with_chap(), target_config(), &authority) else {
            panic!("{refusal}");
        };
        assert_eq!(reason, RefusalReason::Access(refusal));
        assert_eq!(error, LoginError::Refused { status });
        assert_eq!(error.responsible(), responsible, "{refusal}");
        assert_eq!(error.is_transient(), responsible == Responsible::Transient);
    }
}

#[test]
fn every_status_is_an_error_that_shows_it() {
    let mut raw = respond(&initiator(initiator_config()).start(), &[]).into_raw();
    for class in 1..=255u8 {
        for detail in [0, 1, 2, 3, 11, 255] {
            raw.bhs[36] = class;
            raw.bhs[37] = detail;
            let copy = RawPdu {
                bhs: raw.bhs,
                ahs: raw.ahs.clone(),
                data: raw.data.clone(),
            };
            let mut login = initiator(initiator_config());
            login.start();
            let error = login.handle(LoginResponse::parse(copy).unwrap()).unwrap_err();
            if (class, detail) != (2, 1) {
                let code = format!("({class:02x}{detail:02x})");
                assert!(error.to_string().contains(&code), "{error}");
            }
        }
    }
}

#[test]
fn redirects() {
    for permanent in [false, true] {
        let address = "[2001:db8::1]:3261".to_owned();
        let authority = Always(Access::Moved {
            address: address.clone(),
            permanent,
        });
        let End::Redirected(found, is_permanent) = dialogue(with_mutual(), target_config(), &authority)
        else {
            panic!("the target has moved");
        };
        assert_eq!((found, is_permanent), (address, permanent));
    }
    let mut login = initiator(initiator_config());
    let mut answer = respond(&login.start(), &[]);
    answer.status = LoginStatus::TARGET_MOVED_TEMPORARILY;
    assert!(matches!(
        login.handle(answer),
        Err(LoginError::RedirectWithoutAddress { .. })
    ));
}

#[test]
fn a_digest_that_one_side_requires_and_the_other_forbids() {
    let mut ours = initiator_config();
    ours.offers.data_digest = DigestPolicy::Required;
    let mut theirs = target_config();
    theirs.offers.data_digest = DigestPolicy::Never;
    let End::InitiatorGaveUp(error) = dialogue(ours, theirs, &open()) else {
        panic!("the session has no digest");
    };
    assert_eq!(
        error,
        LoginError::Negotiation(NegotiationError::DigestRefused { key: "DataDigest" })
    );

    let mut ours = initiator_config();
    ours.offers.header_digest = DigestPolicy::Never;
    let mut theirs = target_config();
    theirs.offers.header_digest = DigestPolicy::Required;
    let End::TargetRefused(reason, error) = dialogue(ours, theirs, &open()) else {
        panic!("the session has no digest");
    };
    assert_eq!(reason.status(), LoginStatus::INITIATOR_ERROR);
    assert!(matches!(error, LoginError::Refused { .. }));
}

#[test]
fn texts_of_ours_that_no_key_can_carry() {
    let config = InitiatorLoginConfig {
        initiator_alias: Some("a\0TargetName=evil".to_owned()),
        ..initiator_config()
    };
    assert_eq!(
        InitiatorLogin::new(config, [0; 32]).unwrap_err(),
        LoginError::Alias
    );
    for access in [
        Access::Granted(Grant {
            authentication: Authentication::None,
            target_alias: Some("a\0b".to_owned()),
        }),
        Access::Moved {
            address: "a\0b".to_owned(),
            permanent: true,
        },
    ] {
        let End::TargetRefused(reason, _) = dialogue(initiator_config(), target_config(), &Always(access))
        else {
            panic!("a text with a zero byte was sent");
        };
        assert_eq!(reason.status(), LoginStatus::TARGET_ERROR);
    }
}

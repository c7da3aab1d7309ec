//! Logins: CHAP in one and both directions, refusals, redirection, negotiation.

use crate::harness::{Failure, connect};
use crate::setup::{Setup, credentials, granted, name};
use longshore_iscsi::chap::{Algorithm, Algorithms};
use longshore_iscsi::login::{Access, Authentication, LoginError, MutualFailure};
use longshore_iscsi::params::{DigestPolicy, Offers};
use longshore_iscsi::pdu::Pdu;

const SECRET: &str = "initiator secret";
const TARGET_SECRET: &str = "the target's secret";

fn chap(mutual: bool) -> Setup {
    let accounts = vec![
        credentials("other", "another secret!!"),
        credentials("host", SECRET),
    ];
    let proof = credentials("array", TARGET_SECRET);
    Setup {
        chap: Some(credentials("host", SECRET)),
        mutual: mutual.then(|| proof.clone()),
        access: granted(Authentication::Chap {
            accounts,
            mutual: Some(proof),
        }),
        ..Setup::default()
    }
}

fn failure(setup: &Setup) -> LoginError {
    match connect(setup).map(|_| ()) {
        Err(Failure::Login(error)) => error,
        other => panic!("expected a failed login, not {other:?}"),
    }
}

#[test]
fn without_authentication() {
    let pair = connect(&Setup::default()).unwrap();
    let parameters = pair.initiator.parameters();
    assert!(parameters.digests.header && parameters.digests.data);
    assert_eq!(parameters.target_portal_group_tag, Some(1));
}

#[test]
fn chap_with_each_algorithm_in_one_and_both_directions() {
    for algorithm in Algorithm::ALL {
        for mutual in [false, true] {
            let algorithms = Algorithms::new(&[algorithm]).unwrap();
            let pair = connect(&Setup {
                algorithms,
                ..chap(mutual)
            });
            assert!(pair.is_ok(), "{algorithm} mutual={mutual}: {:?}", pair.err());
        }
    }
}

#[test]
fn a_wrong_secret() {
    let setup = Setup {
        chap: Some(credentials("host", "not the secret!!")),
        ..chap(false)
    };
    assert!(matches!(failure(&setup), LoginError::WrongSecret { name } if name == "host"));
}

#[test]
fn a_target_that_demands_chap_of_an_initiator_without() {
    let setup = Setup {
        chap: None,
        ..chap(false)
    };
    assert!(matches!(failure(&setup), LoginError::ChapRequired));
}

#[test]
fn a_target_that_cannot_prove_itself() {
    let setup = Setup {
        mutual: Some(credentials("array", "what we expect!!")),
        ..chap(true)
    };
    let error = failure(&setup);
    assert!(
        matches!(error, LoginError::TargetNotProven(MutualFailure::WrongProof)),
        "{error:?}"
    );
}

/// No secret, and no proof that could be tried against one, shows up in what a failed login says.
#[test]
fn errors_tell_no_secrets() {
    let setups = [
        Setup {
            chap: Some(credentials("host", "not the secret!!")),
            ..chap(false)
        },
        Setup {
            mutual: Some(credentials("array", "what we expect!!")),
            ..chap(true)
        },
    ];
    for setup in setups {
        let error = failure(&setup);
        let text = format!("{error} {error:?} {:?}", setup.initiator_config());
        for secret in [SECRET, TARGET_SECRET, "not the secret!!", "what we expect!!"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_target_that_is_not_there() {
    let setup = Setup {
        target_name: Some(name("iqn.2001-04.com.example:elsewhere")),
        ..Setup::default()
    };
    let text = failure(&setup).to_string();
    assert!(
        text.contains("no such target") || text.contains("not found"),
        "{text}"
    );
}

#[test]
fn a_target_that_has_moved() {
    let access = Access::Moved {
        address: "192.0.2.7:3260".to_owned(),
        permanent: false,
    };
    let result = connect(&Setup {
        access,
        ..Setup::default()
    })
    .map(|_| ());
    assert!(matches!(result, Err(Failure::Redirect(address)) if address == "192.0.2.7:3260"));
}

/// Each side's wish against each of the other's: CRC32C, None, or no session at all.
#[test]
fn digest_policies() {
    use DigestPolicy::{Accepted, Never, Preferred, Required};
    let cases = [
        (Preferred, Accepted, Some(true)),
        (Preferred, Never, Some(false)),
        (Accepted, Preferred, Some(false)),
        (Accepted, Required, Some(true)),
        (Never, Preferred, Some(false)),
        (Never, Required, None),
        (Required, Never, None),
        (Required, Required, Some(true)),
    ];
    for (initiator, target, agreed) in cases {
        let offers = |policy| Offers {
            header_digest: policy,
            data_digest: policy,
            ..Offers::default()
        };
        let setup = Setup {
            initiator_offers: offers(initiator),
            target_offers: offers(target),
            ..Setup::default()
        };
        let digests = connect(&setup)
            .ok()
            .map(|pair| pair.initiator.parameters().digests.data);
        assert_eq!(digests, agreed, "{initiator:?} {target:?}");
    }
}

/// What the target was offered and what it answered go over the wire as PDUs of at most 8,192 bytes.
#[test]
fn login_pdus_stay_within_their_segment() {
    let pair = connect(&chap(true)).unwrap();
    for (_, pdu) in &pair.link.trace {
        let (Pdu::LoginRequest(_) | Pdu::LoginResponse(_)) = pdu else {
            panic!("{pdu}")
        };
        assert!(pdu.clone().into_raw().data.len() <= 8192);
    }
}

//! Whole negotiations between two sides.

use super::*;

#[test]
fn two_sides_with_every_pair_of_digest_policies() {
    use DigestPolicy::{Accepted, Never, Preferred, Required};
    for (ours, theirs, digest) in [
        (Never, Never, false),
        (Never, Accepted, false),
        (Never, Preferred, false),
        (Accepted, Never, false),
        (Accepted, Accepted, false),
        (Accepted, Preferred, false),
        (Accepted, Required, true),
        (Preferred, Never, false),
        (Preferred, Accepted, true),
        (Preferred, Preferred, true),
        (Preferred, Required, true),
        (Required, Accepted, true),
        (Required, Preferred, true),
        (Required, Required, true),
    ] {
        let with = |policy| Offers {
            header_digest: policy,
            ..Offers::default()
        };
        let (initiator, target) = negotiate(SessionType::Normal, with(ours), with(theirs));
        assert_eq!(initiator.digests.header, digest, "{ours:?} {theirs:?}");
        assert_eq!(target.digests.header, digest, "{ours:?} {theirs:?}");
    }
    assert!(matches!(
        outcome_of(
            Offers {
                header_digest: Required,
                ..Offers::default()
            },
            "HeaderDigest",
            "Reject"
        ),
        Err(NegotiationError::DigestRefused { key: "HeaderDigest" })
    ));
}

#[test]
fn nothing_is_negotiated_twice() {
    for (key, value) in [
        ("MaxBurstLength", "65536"),
        ("FirstBurstLength", "65536"),
        ("MaxRecvDataSegmentLength", "65536"),
        ("HeaderDigest", "None"),
        ("IFMarker", "No"),
    ] {
        let repeated = Err(NegotiationError::Repeated { key });
        let mut target = target(Offers::default());
        assert_eq!(target.clone().receive([(key, value), (key, value)]), repeated);
        target.receive([(key, value)]).unwrap();
        assert_eq!(target.receive([(key, value)]), repeated);
    }
    let mut initiator = initiator(Offers::default());
    initiator.offer_all();
    initiator.receive([("MaxBurstLength", "65536")]).unwrap();
    assert_eq!(
        initiator.receive([("MaxBurstLength", "65536")]),
        Err(NegotiationError::Repeated {
            key: "MaxBurstLength"
        })
    );
}

#[test]
fn a_target_raises_what_it_cannot_do_without() {
    let offers = Offers {
        header_digest: DigestPolicy::Required,
        immediate_data: false,
        max_burst_length: 32_768,
        ..Offers::default()
    };
    let mut with_needs = target(offers.clone());
    assert!(with_needs.has_needs());
    let raised = with_needs.offer_needed();
    let expected: List = [
        ("HeaderDigest", "CRC32C"),
        ("ImmediateData", "No"),
        ("MaxBurstLength", "32768"),
        ("FirstBurstLength", "32768"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    assert_eq!(raised, expected);
    assert!(!with_needs.has_needs());

    let mut unanswered = with_needs.clone();
    unanswered.receive([("HeaderDigest", "CRC32C")]).unwrap();
    assert_eq!(
        unanswered.finish(),
        Err(NegotiationError::Unanswered {
            key: "MaxBurstLength"
        })
    );

    let mut quiet = Negotiation::new(Role::Initiator, SessionType::Normal, Offers::default());
    let answers = quiet.receive(pairs(&raised)).unwrap();
    assert_eq!(with_needs.receive(pairs(&answers)).unwrap(), List::new());
    let (ours, theirs) = (quiet.finish().unwrap(), with_needs.finish().unwrap());
    assert_eq!(ours, theirs);
    assert!(theirs.digests.header && !theirs.immediate_data);
    assert_eq!(theirs.max_burst_length, 32_768);
}

#[test]
fn a_discovery_session_has_no_data_keys() {
    let mut initiator = Negotiation::new(Role::Initiator, SessionType::Discovery, Offers::default());
    let offered = initiator.offer_all();
    for key in ["InitialR2T", "MaxBurstLength", "MaxConnections"] {
        assert!(offered.iter().all(|(name, _)| name != key), "{key}");
    }
    let mut target = Negotiation::new(Role::Target, SessionType::Discovery, Offers::default());
    for key in Key::ALL.into_iter().filter(|key| key.irrelevant_in_discovery()) {
        let answers = target.receive([(key.name(), "1")]).unwrap();
        assert_eq!(answers, [(key.name().to_owned(), "Irrelevant".to_owned())]);
    }
    let (ours, theirs) = negotiate(SessionType::Discovery, Offers::default(), Offers::default());
    assert!(ours.digests.data && theirs.digests.data);
    assert_eq!(ours.max_send_data_segment_length, 262_144);
}

#[test]
fn both_sides_come_to_the_same_numbers() {
    let ours = Offers {
        max_recv_data_segment_length: 65_536,
        max_burst_length: 524_288,
        first_burst_length: 131_072,
        max_outstanding_r2t: 3,
        ..Offers::default()
    };
    let theirs = Offers {
        initial_r2t: true,
        max_recv_data_segment_length: 32_768,
        max_burst_length: 262_144,
        first_burst_length: 262_144,
        ..Offers::default()
    };
    let (initiator, target) = negotiate(SessionType::Normal, ours, theirs);
    assert_eq!(initiator.max_burst_length, 262_144);
    assert_eq!(initiator.first_burst_length, 131_072);
    assert_eq!(initiator.max_outstanding_r2t, 3);
    assert!(initiator.initial_r2t);
    assert_eq!(initiator.max_send_data_segment_length, 32_768);
    assert_eq!(initiator.max_recv_data_segment_length, 65_536);
    let mirrored = Parameters {
        max_send_data_segment_length: initiator.max_recv_data_segment_length,
        max_recv_data_segment_length: initiator.max_send_data_segment_length,
        ..initiator
    };
    assert_eq!(target, mirrored);
}

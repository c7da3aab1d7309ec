//! Tables of negotiations: what is offered, what is answered, what comes out.

use super::*;
use proptest::prelude::*;
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

#[test]
fn a_targets_answer_to_each_key() {
    let offers = Offers {
        max_burst_length: 65_536,
        first_burst_length: 16_384,
        max_outstanding_r2t: 4,
        default_time2wait: Duration::from_secs(3),
        default_time2retain: Duration::from_secs(5),
        ..Offers::default()
    };
    let table = [
        ("MaxConnections", "8", "1"),
        ("MaxConnections", "0", "Reject"),
        ("MaxConnections", "65536", "Reject"),
        ("InitialR2T", "No", "No"),
        ("InitialR2T", "Yes", "Yes"),
        ("InitialR2T", "yes", "Reject"),
        ("ImmediateData", "Yes", "Yes"),
        ("ImmediateData", "No", "No"),
        ("ImmediateData", "", "Reject"),
        ("MaxBurstLength", "16776192", "65536"),
        ("MaxBurstLength", "0x1000", "4096"),
        ("MaxBurstLength", "511", "Reject"),
        ("MaxBurstLength", "16777216", "Reject"),
        ("MaxBurstLength", "4096 ", "Reject"),
        ("FirstBurstLength", "8192", "8192"),
        ("FirstBurstLength", "32768", "16384"),
        ("DefaultTime2Wait", "2", "3"),
        ("DefaultTime2Wait", "3600", "3600"),
        ("DefaultTime2Wait", "3601", "Reject"),
        ("DefaultTime2Retain", "20", "5"),
        ("DefaultTime2Retain", "0", "0"),
        ("MaxOutstandingR2T", "16", "4"),
        ("MaxOutstandingR2T", "1", "1"),
        ("MaxOutstandingR2T", "0", "Reject"),
        ("DataPDUInOrder", "No", "Yes"),
        ("DataPDUInOrder", "Yes", "Yes"),
        ("DataSequenceInOrder", "No", "Yes"),
        ("ErrorRecoveryLevel", "2", "0"),
        ("ErrorRecoveryLevel", "3", "Reject"),
        ("TaskReporting", "FastAbort,ResponseFence,RFC3720", "RFC3720"),
        ("TaskReporting", "FastAbort", "Reject"),
        ("iSCSIProtocolLevel", "2", "1"),
        ("iSCSIProtocolLevel", "0", "0"),
        ("iSCSIProtocolLevel", "32", "Reject"),
        ("IFMarker", "Yes", "No"),
        ("OFMarker", "No", "No"),
        ("IFMarkInt", "2048~8192", "Reject"),
        ("OFMarkInt", "2048", "Reject"),
        ("X-com.example.key", "1", "NotUnderstood"),
        ("maxburstlength", "65536", "NotUnderstood"),
        ("Whatever", "", "NotUnderstood"),
    ];
    for (key, value, answer) in table {
        assert_eq!(
            answer_to(offers.clone(), key, value).as_deref(),
            Some(answer),
            "{key}={value}"
        );
    }
}

#[test]
fn digests_are_the_first_of_the_list_that_both_accept() {
    use DigestPolicy::{Accepted, Never, Preferred, Required};
    let table = [
        (Preferred, "CRC32C,None", "CRC32C"),
        (Preferred, "None,CRC32C", "None"),
        (Preferred, "None", "None"),
        (Accepted, "CRC32C,None", "CRC32C"),
        (Never, "CRC32C,None", "None"),
        (Never, "CRC32C", "Reject"),
        (Never, "MD5,SHA1", "Reject"),
        (Required, "None,CRC32C", "CRC32C"),
        (Preferred, "FOO,CRC32C,None", "CRC32C"),
    ];
    for (policy, offer, answer) in table {
        let offers = Offers {
            header_digest: policy,
            ..Offers::default()
        };
        assert_eq!(
            answer_to(offers, "HeaderDigest", offer).as_deref(),
            Some(answer),
            "{policy:?} {offer}"
        );
    }
    let required = Offers {
        data_digest: Required,
        ..Offers::default()
    };
    for offer in ["None", "", "crc32c"] {
        assert_eq!(
            target(required.clone()).receive([("DataDigest", offer)]),
            Err(NegotiationError::DigestRefused { key: "DataDigest" })
        );
    }
}

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
fn an_initiators_outcome_of_each_answer() {
    let offers = Offers::default();
    let with = |key, answer| outcome_of(offers.clone(), key, answer).unwrap();
    assert!(!with("InitialR2T", "No").initial_r2t);
    assert!(with("InitialR2T", "Yes").initial_r2t);
    assert!(!with("ImmediateData", "No").immediate_data);
    assert_eq!(with("MaxBurstLength", "0x10000").max_burst_length, 65_536);
    assert_eq!(with("MaxOutstandingR2T", "2").max_outstanding_r2t, 2);
    assert!(with("DataDigest", "CRC32C").digests.data);
    assert_eq!(
        with("DefaultTime2Wait", "7").default_time2wait,
        Duration::from_secs(7)
    );
    assert_eq!(
        with("MaxRecvDataSegmentLength", "4096").max_send_data_segment_length,
        4096
    );
    for word in ["Irrelevant", "Reject", "NotUnderstood"] {
        let refused = with("MaxBurstLength", word);
        assert_eq!(refused.max_burst_length, 262_144, "{word}: the default stays");
        assert!(with("InitialR2T", word).initial_r2t);
        assert!(with("ImmediateData", word).immediate_data);
        assert_eq!(with("MaxOutstandingR2T", word).max_outstanding_r2t, 1);
    }
}

#[test]
fn answers_against_the_result_function_are_refused() {
    let offers = Offers {
        initial_r2t: true,
        immediate_data: false,
        max_burst_length: 65_536,
        header_digest: DigestPolicy::Never,
        ..Offers::default()
    };
    for (key, answer) in [
        ("InitialR2T", "No"),
        ("InitialR2T", "1"),
        ("ImmediateData", "Yes"),
        ("MaxBurstLength", "65537"),
        ("MaxBurstLength", "0"),
        ("MaxBurstLength", "many"),
        ("FirstBurstLength", "100000"),
        ("MaxOutstandingR2T", "9"),
        ("MaxOutstandingR2T", "0"),
        ("MaxConnections", "2"),
        ("ErrorRecoveryLevel", "1"),
        ("DataPDUInOrder", "No"),
        ("DataSequenceInOrder", "No"),
        ("DefaultTime2Wait", "3601"),
        ("HeaderDigest", "CRC32C"),
        ("HeaderDigest", "None,CRC32C"),
        ("DataDigest", "MD5"),
    ] {
        assert!(
            matches!(
                outcome_of(offers.clone(), key, answer),
                Err(NegotiationError::IllegalAnswer { key: found, .. }) if found == key
            ),
            "{key}={answer}"
        );
    }
}

#[test]
fn a_waiting_time_that_ignores_the_result_function_does_not_end_the_login() {
    let outcome = outcome_of(Offers::default(), "DefaultTime2Wait", "0").unwrap();
    assert_eq!(outcome.default_time2wait, Duration::from_secs(2));
    let outcome = outcome_of(Offers::default(), "DefaultTime2Retain", "20").unwrap();
    assert_eq!(outcome.default_time2retain, Duration::ZERO);
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
fn answers_to_nothing_are_refused_and_unknown_ones_end_the_talk() {
    for word in ["Irrelevant", "Reject", "NotUnderstood"] {
        assert!(matches!(
            target(Offers::default()).receive([("MaxBurstLength", word)]),
            Err(NegotiationError::UnaskedAnswer { .. })
        ));
        let answers = target(Offers::default()).receive([("X-foo", word)]);
        assert_eq!(answers, Ok(List::new()));
    }
}

#[test]
fn declarations_out_of_range_are_errors() {
    for value in ["511", "0", "16777216", "-1", "abc", ""] {
        assert!(matches!(
            target(Offers::default()).receive([("MaxRecvDataSegmentLength", value)]),
            Err(NegotiationError::BadDeclaration { .. })
        ));
    }
    for value in ["512", "16777215", "0xFFFFFF"] {
        assert_eq!(
            target(Offers::default()).receive([("MaxRecvDataSegmentLength", value)]),
            Ok(List::new())
        );
    }
}

#[test]
fn first_burst_never_exceeds_max_burst() {
    // In either order of the keys, and when only one of them is spoken of.
    for list in [
        [("MaxBurstLength", "4096"), ("FirstBurstLength", "65536")],
        [("FirstBurstLength", "65536"), ("MaxBurstLength", "4096")],
    ] {
        let mut target = target(Offers::default());
        let answers = target.receive(list).unwrap();
        let order: Vec<_> = answers.iter().map(|(key, _)| &key[..]).collect();
        assert_eq!(order, [list[0].0, list[1].0]);
        assert!(answers.iter().all(|(_, value)| value == "4096"));
        assert_eq!(target.finish().unwrap().first_burst_length, 4096);
    }
    let mut alone = target(Offers::default());
    alone.receive([("MaxBurstLength", "4096")]).unwrap();
    assert_eq!(alone.finish().unwrap().first_burst_length, 4096);
    let outcome = outcome_of(Offers::default(), "MaxBurstLength", "4096").unwrap();
    assert_eq!(outcome.first_burst_length, 4096);
}

#[test]
fn unspoken_keys_have_their_defaults() {
    let mut silent = initiator(Offers::default());
    silent.offer_all();
    let outcome = silent.finish().unwrap();
    let expected = Parameters {
        max_recv_data_segment_length: 262_144,
        ..Parameters::default()
    };
    assert_eq!(outcome, expected);
    let unspoken = target(Offers::default()).finish().unwrap();
    assert_eq!(unspoken, Parameters::default());
}

#[test]
fn the_optional_answers_may_be_missing() {
    let offers = Offers {
        initial_r2t: true,
        immediate_data: false,
        ..Offers::default()
    };
    let mut initiator = initiator(offers);
    initiator.offer_all();
    let outcome = initiator.finish().unwrap();
    assert!(outcome.initial_r2t);
    assert!(!outcome.immediate_data);
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

#[test]
fn wishes_out_of_range_are_moved_into_it() {
    let wild = Offers {
        max_recv_data_segment_length: u32::MAX,
        max_burst_length: 1,
        first_burst_length: u32::MAX,
        max_outstanding_r2t: 0,
        default_time2wait: Duration::MAX,
        ..Offers::default()
    };
    let offered = initiator(wild).offer_all();
    for (key, value) in [
        ("MaxRecvDataSegmentLength", "16777215"),
        ("MaxBurstLength", "512"),
        ("FirstBurstLength", "512"),
        ("MaxOutstandingR2T", "1"),
        ("DefaultTime2Wait", "3600"),
    ] {
        assert!(
            offered.contains(&(key.to_owned(), value.to_owned())),
            "{key}={value} in {offered:?}"
        );
    }
}

#[test]
fn numbers() {
    let table = [
        ("0", Some(0)),
        ("007", Some(7)),
        ("4294967295", Some(u32::MAX)),
        ("4294967296", None),
        ("0x0", Some(0)),
        ("0XfF", Some(255)),
        ("0x", None),
        ("", None),
        ("+1", None),
        ("-1", None),
        ("0x+1", None),
        (" 1", None),
        ("1a", None),
        ("é", None),
    ];
    for (text, number) in table {
        assert_eq!(parse_number(text), number, "{text:?}");
    }
}

#[test]
fn after_login_only_the_segment_length_may_change() {
    let mut parameters = Parameters::default();
    let answers = respond_in_full_feature(
        &mut parameters,
        [
            ("MaxRecvDataSegmentLength", "65536"),
            ("InitiatorAlias", "a node"),
            ("MaxBurstLength", "65536"),
            ("AuthMethod", "None"),
            ("X-foo", "bar"),
            ("X-bar", "NotUnderstood"),
        ],
    )
    .unwrap();
    let expected = [
        ("MaxBurstLength", "Reject"),
        ("AuthMethod", "Reject"),
        ("X-foo", "NotUnderstood"),
    ];
    assert!(pairs(&answers).eq(expected));
    assert_eq!(parameters.max_send_data_segment_length, 65_536);
    assert_eq!(parameters.max_burst_length, 262_144);

    let before = parameters.clone();
    for list in [
        vec![("MaxRecvDataSegmentLength", "1")],
        vec![
            ("MaxRecvDataSegmentLength", "1024"),
            ("MaxRecvDataSegmentLength", "2048"),
        ],
    ] {
        assert!(respond_in_full_feature(&mut parameters, list).is_err());
        assert_eq!(parameters, before);
    }
}

fn any_list() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop_oneof![
        8 => prop::sample::select(Key::ALL.map(|key| key.name().to_owned()).to_vec()),
        1 => "[A-Za-z#.-]{1,12}",
    ];
    let value = prop_oneof![
        prop::sample::select(
            [
                "Yes",
                "No",
                "None",
                "CRC32C",
                "CRC32C,None",
                "Reject",
                "Irrelevant",
                "512",
                "0"
            ]
            .map(str::to_owned)
            .to_vec()
        ),
        any::<u32>().prop_map(|number| number.to_string()),
        any::<u32>().prop_map(|number| format!("{number:#x}")),
        ".{0,8}",
    ];
    prop::collection::vec((key, value), 0..24)
}

proptest! {
    /// Whatever a peer says, the outcome is within the ranges of the RFC or an error.
    #[test]
    fn random_peers_give_legal_outcomes_or_errors(
        lists in prop::collection::vec(any_list(), 1..4),
        is_target: bool,
        discovery: bool,
    ) {
        let role = if is_target { Role::Target } else { Role::Initiator };
        let session_type = if discovery { SessionType::Discovery } else { SessionType::Normal };
        let mut negotiation = Negotiation::new(role, session_type, Offers::default());
        if !is_target {
            negotiation.offer_all();
        }
        let all_taken = lists.iter().all(|list| negotiation.receive(pairs(list)).is_ok());
        if let (true, Ok(parameters)) = (all_taken, negotiation.finish()) {
            prop_assert!((512..1 << 24).contains(&parameters.max_burst_length));
            prop_assert!((512..1 << 24).contains(&parameters.first_burst_length));
            prop_assert!(parameters.first_burst_length <= parameters.max_burst_length);
            prop_assert!((512..1 << 24).contains(&parameters.max_send_data_segment_length));
            prop_assert!(parameters.max_outstanding_r2t >= 1);
            prop_assert_eq!(parameters.error_recovery_level, 0);
        }
    }

    /// Two sides of ours always agree, whatever they want.
    #[test]
    fn two_sides_agree(
        ours in any::<(bool, bool, u32, u32, u16)>(),
        theirs in any::<(bool, bool, u32, u32, u16)>(),
    ) {
        let offers = |wishes: (bool, bool, u32, u32, u16)| Offers {
            initial_r2t: wishes.0,
            immediate_data: wishes.1,
            max_burst_length: wishes.2,
            first_burst_length: wishes.3,
            max_outstanding_r2t: wishes.4,
            ..Offers::default()
        };
        let (initiator, target) = negotiate(SessionType::Normal, offers(ours), offers(theirs));
        prop_assert_eq!(initiator, target);
    }
}

//! What is answered to each key, one at a time.

use super::*;

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

//! What an initiator makes of the answers to its offers.

use super::*;

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

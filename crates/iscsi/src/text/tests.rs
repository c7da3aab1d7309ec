//! Tests of texts.

use super::*;
use crate::name::NameError;
use crate::pdu::Fault;

const LIMITS: TextLimits = TextLimits { bytes: 100, pairs: 3 };

fn parse(text: &[u8]) -> Result<Vec<(String, String)>, TextError> {
    let list = KeyValues::parse(text, LIMITS)?;
    Ok(list
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn pairs_in_their_order() {
    let text = b"HeaderDigest=CRC32C,None\0X-com.example.a=\0HeaderDigest=a=b\0";
    let pairs = [
        pair("HeaderDigest", "CRC32C,None"),
        pair("X-com.example.a", ""),
        pair("HeaderDigest", "a=b"),
    ];
    assert_eq!(parse(text).unwrap(), pairs);
    let list = KeyValues::parse(text, LIMITS).unwrap();
    assert_eq!(list.get("HeaderDigest"), Some("CRC32C,None"));
    assert_eq!(list.get("headerdigest"), None);
    assert_eq!(list.encode(), text.as_slice());
    assert_eq!(
        list.check_unique(),
        Err(TextError::Duplicate {
            key: "HeaderDigest".into()
        })
    );
}

#[test]
fn no_text_and_zero_bytes_alone_are_no_pairs() {
    assert_eq!(parse(b"").unwrap(), []);
    assert_eq!(parse(b"\0\0A=1\0\0\0").unwrap(), [pair("A", "1")]);
}

#[test]
fn bad_texts() {
    let bad_key = |key: &str, why| TextError::BadKey { key: key.into(), why };
    let bad_value = |why| TextError::BadValue { key: "A".into(), why };
    let long_key = "K".repeat(64);
    let grammar = "it holds something else than letters, digits and .-+@_#";
    let capital = "it does not start with a capital letter";
    let cases: Vec<(Vec<u8>, TextError)> = vec![
        (b"A=1".to_vec(), TextError::Unterminated { at: 0 }),
        (b"A=1\0B=".to_vec(), TextError::Unterminated { at: 4 }),
        (b"A=1\0oops\0".to_vec(), TextError::NoEqualsSign { at: 4 }),
        (b"=1\0".to_vec(), bad_key("", capital)),
        (b"a=1\0".to_vec(), bad_key("a", capital)),
        (b"A\x1b[=1\0".to_vec(), bad_key("A?[", grammar)),
        (b"A\xff=1\0".to_vec(), bad_key("A?", "it is no ASCII")),
        (b"A=\xff\0".to_vec(), bad_value("it is no UTF-8")),
        (b"A=x\ny\0".to_vec(), bad_value("it holds a control character")),
        (
            format!("{long_key}=1\0").into(),
            bad_key(&long_key[..63], "it has more than 63 characters"),
        ),
        (b"A=\0B=\0C=\0D=\0".to_vec(), TextError::TooManyPairs { max: 3 }),
        (vec![0; 101], TextError::TooLong { max: 100 }),
    ];
    for (text, error) in cases {
        assert_eq!(parse(&text), Err(error.clone()), "{text:?}");
        assert_ne!(error.fault(), Fault::ApiMisuse);
    }
}

#[test]
fn the_longest_key_and_value() {
    let longest = |value_len| format!("{}={}\0", "K".repeat(63), "v".repeat(value_len));
    let limits = TextLimits::NEGOTIATION;
    assert!(KeyValues::parse(longest(8192).as_bytes(), limits).is_ok());
    let error = KeyValues::parse(longest(8193).as_bytes(), limits).unwrap_err();
    assert!(matches!(
        error,
        TextError::BadValue {
            why: "it has more than 8192 bytes",
            ..
        }
    ));
}

/// A value from a configuration file cannot smuggle a second pair in.
#[test]
fn our_own_values_are_checked_too() {
    let mut list = KeyValues::new();
    assert!(
        list.push("InitiatorAlias", "host\0SessionType=Discovery")
            .is_err()
    );
    assert!(list.push("Initiator=Alias", "host").is_err());
    assert!(list.is_empty());
    list.push("InitiatorAlias", "größe").unwrap();
    assert_eq!(list.encode(), "InitiatorAlias=größe\0".as_bytes());
}

#[test]
fn debug_hides_what_belongs_to_chap() {
    let list = KeyValues::parse(b"CHAP_R=0x1234\0AuthMethod=CHAP\0", LIMITS).unwrap();
    assert_eq!(
        format!("{list:?}"),
        r#"{"CHAP_R": "(hidden)", "AuthMethod": "CHAP"}"#
    );
}

#[test]
fn a_text_over_several_pdus() {
    let list = KeyValues::parse(b"Alpha=1\0Beta=22\0", LIMITS).unwrap();
    for max_len in 1..20 {
        let segments = list.encode_segments(max_len);
        let mut collector = TextCollector::new(LIMITS);
        let last = segments.len() - 1;
        for (index, segment) in segments.iter().enumerate() {
            assert!(segment.len() <= max_len);
            let joined = collector.push(segment, index < last).unwrap();
            assert_eq!(joined.as_ref(), (index == last).then_some(&list));
        }
        assert!(!collector.is_collecting());
    }
}

#[test]
fn no_text_is_one_empty_segment() {
    assert_eq!(KeyValues::new().encode_segments(8192), [bytes::Bytes::new()]);
}

#[test]
fn a_text_without_end_is_stopped_at_the_limit() {
    let mut collector = TextCollector::new(LIMITS);
    assert_eq!(collector.push(&[b'A'; 60], true), Ok(None));
    assert!(collector.is_collecting());
    assert_eq!(
        collector.push(&[b'A'; 41], true),
        Err(TextError::TooLong { max: 100 })
    );
    assert!(!collector.is_collecting());
}

fn send_targets(text: &[u8]) -> Result<SendTargets, TextError> {
    SendTargets::from_pairs(&KeyValues::parse(text, TextLimits::SEND_TARGETS)?)
}

#[test]
fn an_answer_to_send_targets() {
    let text = b"TargetName=iqn.2001-04.com.example:One\0TargetAddress=10.0.0.1:3260,1\0\
        TargetAddress=[2001:db8::1]:3261,2\0TargetName=iqn.2001-04.com.example:two\0X-foo=bar\0";
    let answer = send_targets(text).unwrap();
    assert_eq!(answer.refused, []);
    assert_eq!(answer.records.len(), 2);
    assert_eq!(answer.records[0].name.as_str(), "iqn.2001-04.com.example:One");
    let addresses: Vec<String> = answer.records[0]
        .addresses
        .iter()
        .map(|a| a.to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.1:3260,1", "[2001:db8::1]:3261,2"]);
    assert_eq!(answer.records[1].addresses, []);
}

/// The known failure behind it: names from an answer used as paths (CVE-2026-44943, CVE-2026-18724).
#[test]
fn a_name_that_is_a_path_is_refused_and_hides_no_other() {
    let text = b"TargetName=../../etc/passwd\0TargetAddress=10.0.0.1\0\
        TargetName=iqn.2001-04.com.example:a/../b\0TargetName=iqn.2001-04.com.example:good\0TargetAddress=h\0";
    let answer = send_targets(text).unwrap();
    assert_eq!(answer.records.len(), 1);
    assert_eq!(answer.records[0].name.as_str(), "iqn.2001-04.com.example:good");
    assert_eq!(answer.records[0].addresses.len(), 1);
    let positions = answer.refused.iter().map(|error| match error {
        TextError::BadTargetName(NameError { position, .. }) => *position,
        other => panic!("{other}"),
    });
    assert_eq!(positions.collect::<Vec<_>>(), [1, 26]);
}

#[test]
fn an_address_without_a_target() {
    assert_eq!(
        send_targets(b"TargetAddress=10.0.0.1\0"),
        Err(TextError::AddressWithoutTarget)
    );
}

#[test]
fn more_targets_than_the_limit() {
    let text: String = (0..=MAX_TARGET_RECORDS)
        .map(|number| format!("TargetName=iqn.2001-04.com.example:{number}\0"))
        .collect();
    let error = TextError::TooManyTargets {
        max: MAX_TARGET_RECORDS,
    };
    assert_eq!(send_targets(text.as_bytes()), Err(error));
    let without_last = &text[..text.trim_end_matches('\0').rfind('\0').unwrap() + 1];
    assert_eq!(
        send_targets(without_last.as_bytes()).unwrap().records.len(),
        MAX_TARGET_RECORDS
    );
}

#[test]
fn target_addresses() {
    let good = [
        ("10.0.0.1", "10.0.0.1:3260"),
        ("10.0.0.1:860,65535", "10.0.0.1:860,65535"),
        ("array.example.com,1", "array.example.com:3260,1"),
        ("[fe80::1]", "[fe80::1]:3260"),
        ("[::1]:1,2", "[::1]:1,2"),
    ];
    for (text, shown) in good {
        let address: TargetAddress = text.parse().unwrap();
        assert_eq!(address.to_string(), shown);
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    let bad = [
        "",
        ":3260",
        "10.0.0.1:",
        "10.0.0.1:0",
        "10.0.0.1:65536",
        "10.0.0.1:+1",
        "10.0.0.1,",
        "10.0.0.1,-1",
        "10.0.0.1,65536",
        "[10.0.0.1]",
        "[::1",
        "[::1]3260",
        "::1",
        "a b",
        "a/b",
        "-a",
        "a..b",
        "10.0.0.1:1:2",
    ];
    for text in bad {
        assert!(text.parse::<TargetAddress>().is_err(), "{text}");
    }
}

//! Vectors and refusals of CHAP. The digests were computed with another implementation (Python's hashlib).

use super::*;
use proptest::prelude::*;

fn credentials(name: &str, secret: &str) -> ChapCredentials {
    ChapCredentials::new(name, secret.into()).unwrap()
}

/// The challenge bytes 10h, 11h, … as a peer would write them.
fn challenge(algorithm: Algorithm) -> Challenge {
    let bytes: Vec<u8> = (0x10..0x30).take(algorithm.digest_len()).collect();
    Challenge::parse("47", &encode_hex(&bytes)).unwrap()
}

#[test]
fn responses_match_independent_vectors() {
    let vectors = [
        (Algorithm::Md5, "0x08ee4a78a74bdb65b7bcf1a22be86e51"),
        (Algorithm::Sha1, "0xb696550f13ab4f817616c61707db584eef0decf9"),
        (
            Algorithm::Sha256,
            "0x027e19fe518a58a632254e8031a17f0380492e5b73356faf2c10dd97f03828a8",
        ),
        (
            Algorithm::Sha3_256,
            "0x1bb961169e02d776d7ef81fe9416d361634cbde94f1959c83c6059951bf55ad5",
        ),
    ];
    let credentials = credentials("alice", "longshore-secret-16");
    for (algorithm, expected) in vectors {
        let response = challenge(algorithm).respond(algorithm, &credentials);
        assert_eq!(response.text(), expected, "{algorithm}");
        let parsed = Response::parse(expected, algorithm).unwrap();
        assert!(parsed.proves(&response), "{algorithm}");
    }
}

#[test]
fn long_challenges_and_secrets_beyond_ascii_match_independent_vectors() {
    let vectors = [
        (Algorithm::Md5, "0x1471b0dc4831e34d3612a262487d73bb"),
        (Algorithm::Sha1, "0x4f0811cbcb47f8db212856c8f4d87c5b05a6ca47"),
        (
            Algorithm::Sha256,
            "0x23fb47e26518aff3bec16e943ba4c56d7e7bacfa531263d2661a181a2f49fdb7",
        ),
        (
            Algorithm::Sha3_256,
            "0x085b34b531503c8fc082d38c33d0e2d3ee079570fa2be681841c9ef015cecd73",
        ),
    ];
    let credentials = credentials("alice", "größe-Ünïcode");
    let challenge = Challenge::parse("0xA5", &encode_hex(&[0xde, 0xad, 0xbe, 0xef].repeat(16)));
    for (algorithm, expected) in vectors {
        let response = challenge.clone().unwrap().respond(algorithm, &credentials);
        assert_eq!(response.text(), expected, "{algorithm}");
    }
}

#[test]
fn another_secret_identifier_or_challenge_proves_nothing() {
    let algorithm = Algorithm::Sha256;
    let good = challenge(algorithm).respond(algorithm, &credentials("a", "right horse battery"));
    let other_secret = challenge(algorithm).respond(algorithm, &credentials("a", "wrong horse battery"));
    let other_identifier = Challenge::parse("48", &challenge(algorithm).challenge_text())
        .unwrap()
        .respond(algorithm, &credentials("a", "right horse battery"));
    let other_algorithm =
        challenge(algorithm).respond(Algorithm::Sha3_256, &credentials("a", "right horse battery"));
    assert!(good.proves(&good));
    assert!(!other_secret.proves(&good));
    assert!(!other_identifier.proves(&good));
    assert!(!other_algorithm.proves(&good));
}

#[test]
fn a_response_of_the_wrong_length_is_refused_whatever_it_begins_with() {
    let text = challenge(Algorithm::Md5)
        .respond(Algorithm::Md5, &credentials("a", "b"))
        .text();
    for wrong in [format!("{text}00"), text[..text.len() - 2].to_owned()] {
        assert!(matches!(
            Response::parse(&wrong, Algorithm::Md5),
            Err(ChapError::ResponseLength { expected: 16, .. })
        ));
    }
}

#[test]
fn a_challenge_of_our_own_is_as_long_as_the_digest() {
    let random: [u8; 32] = std::array::from_fn(|at| at as u8);
    for algorithm in Algorithm::ALL {
        let challenge = Challenge::from_random(&random, algorithm);
        let bytes = decode_binary(&challenge.challenge_text()).unwrap();
        assert_eq!(bytes, random[..algorithm.digest_len()]);
        assert_eq!(challenge.identifier_text(), "31");
    }
}

#[test]
fn a_reflected_challenge_is_seen_through_another_identifier_and_encoding() {
    let ours = Challenge::parse("1", "0x00ff00ff").unwrap();
    assert!(
        Challenge::parse("2", "0bAP8A/w==")
            .unwrap()
            .is_reflection_of(&ours)
    );
    assert!(
        !Challenge::parse("1", "0x00ff00fe")
            .unwrap()
            .is_reflection_of(&ours)
    );
}

#[test]
fn identifiers_and_challenges_are_bounded() {
    for identifier in ["256", "-1", "+1", "", "0x100", "4294967296", "1 "] {
        assert_eq!(
            Challenge::parse(identifier, "0x00").unwrap_err(),
            ChapError::Identifier,
            "{identifier}"
        );
    }
    let longest = format!("0x{}", "00".repeat(MAX_BINARY_LEN));
    assert!(Challenge::parse("0", &longest).is_ok());
    assert!(Challenge::parse("0", &format!("{longest}00")).is_err());
}

#[test]
fn binary_values_in_both_encodings() {
    let good: [(&str, &[u8]); 12] = [
        ("0x00", &[0]),
        ("0Xff", &[255]),
        ("0xaBcD", &[0xab, 0xcd]),
        ("0xabc", &[0x0a, 0xbc]),
        ("0x7", &[7]),
        ("0bAA==", &[0]),
        ("0BAA", &[0]),
        ("0bAAE=", &[0, 1]),
        ("0bAAEC", &[0, 1, 2]),
        ("0b+/+/", &[0xfb, 0xff, 0xbf]),
        ("0bAAECAw==", &[0, 1, 2, 3]),
        ("0bSGVsbG8", b"Hello"),
    ];
    for (text, bytes) in good {
        assert_eq!(decode_binary(text).as_deref(), Ok(bytes), "{text}");
    }
    let bad = [
        ("", BinaryError::NoPrefix),
        ("0", BinaryError::NoPrefix),
        ("00ff", BinaryError::NoPrefix),
        ("0x", BinaryError::Empty),
        ("0b", BinaryError::Empty),
        ("0b====", BinaryError::Empty),
        ("0xg0", BinaryError::BadDigit),
        ("0x0g", BinaryError::BadDigit),
        ("0x é", BinaryError::BadDigit),
        ("0bA", BinaryError::BadDigit),
        ("0bA===", BinaryError::BadDigit),
        ("0bAA=", BinaryError::BadDigit),
        ("0bAAE==", BinaryError::BadDigit),
        ("0bA=AA", BinaryError::BadDigit),
        ("0bAA-_", BinaryError::BadDigit),
    ];
    for (text, error) in bad {
        assert_eq!(decode_binary(text), Err(error), "{text}");
    }
    let base64_of_1025 = format!("0b{}", "A".repeat(1367));
    assert_eq!(decode_binary(&base64_of_1025), Err(BinaryError::TooLong));
    assert_eq!(
        decode_binary(&format!("0b{}", "A".repeat(1366))).map(|bytes| bytes.len()),
        Ok(1024)
    );
}

#[test]
fn credentials_that_cannot_work_are_refused() {
    let refused = |name: &str, secret: &str| ChapCredentials::new(name, secret.into()).unwrap_err();
    assert_eq!(refused("", "secret"), CredentialsError::Name);
    assert_eq!(refused("a\0b", "secret"), CredentialsError::Name);
    assert_eq!(refused(&"n".repeat(256), "secret"), CredentialsError::Name);
    assert!(matches!(refused("a", ""), CredentialsError::EmptySecret { .. }));
    assert!(matches!(
        refused("a", &"s".repeat(1025)),
        CredentialsError::LongSecret { .. }
    ));
}

#[test]
fn one_secret_for_both_directions_is_refused() {
    let alice = credentials("alice", "same secret for both");
    let array = credentials("array", "same secret for both");
    assert!(matches!(
        alice.differ_from(&array),
        Err(CredentialsError::SameSecret { .. })
    ));
    assert!(alice.differ_from(&credentials("array", "other")).is_ok());
}

#[test]
fn a_short_secret_is_a_warning_and_no_failure() {
    assert_eq!(
        credentials("alice", "eleven byte").warning(),
        Some(SecretWarning {
            name: "alice".to_owned(),
            bits: 88
        })
    );
    assert_eq!(credentials("alice", "twelve bytes").warning(), None);
}

#[test]
fn secrets_and_proofs_stay_out_of_debug_output() {
    let credentials = credentials("alice", "open sesame 123");
    let response = challenge(Algorithm::Sha256).respond(Algorithm::Sha256, &credentials);
    let shown = format!("{credentials:?} {response:?} {:?}", credentials.warning());
    assert!(shown.contains("alice"));
    assert!(!shown.contains("sesame"));
    assert!(!shown.contains(&response.text()[2..10]));
}

#[test]
fn lists_of_algorithms() {
    assert_eq!(Algorithms::default().to_string(), "8,7,5");
    assert_eq!(Algorithms::strong().to_string(), "8,7");
    assert_eq!(Algorithms::all().to_string(), "8,7,6,5");
    assert_eq!(Algorithms::new(&[]), None);
    let repeated = [Algorithm::Sha256, Algorithm::Md5, Algorithm::Sha256];
    assert_eq!(Algorithms::new(&repeated).unwrap().to_string(), "7,5");
    assert!(Algorithms::strong().iter().all(|one| !one.is_weak()));
    for algorithm in Algorithm::ALL {
        let number = u32::from(algorithm.number());
        assert_eq!(Algorithm::from_number(number), Some(algorithm));
    }
    assert_eq!(Algorithm::from_number(9), None);
}

proptest! {
    #[test]
    fn hexadecimal_is_read_back(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        prop_assert_eq!(decode_binary(&encode_hex(&bytes)), Ok(bytes));
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in "0[xXbB][0-9a-zA-Z+/=é]{0,40}") {
        if let Ok(bytes) = decode_binary(&text) {
            prop_assert!(bytes.len() <= text.len());
        }
    }
}

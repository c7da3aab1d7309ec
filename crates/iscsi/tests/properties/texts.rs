//! Texts and names: no bytes make a reader panic, lists survive any split, names are never paths.

use longshore_iscsi::isid::Isid;
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::text::{KeyValues, SendTargets, TargetAddress, TextCollector, TextLimits};
use proptest::prelude::*;
use std::path::{Component, Path};

fn pairs() -> impl Strategy<Value = KeyValues> {
    proptest::collection::vec(("[A-Z][A-Za-z0-9.+@_#-]{0,62}", "[^\\p{Cc}]{0,80}"), 0..20).prop_map(|pairs| {
        let mut list = KeyValues::new();
        for (key, value) in pairs {
            list.push(key, value).expect("the strategy follows the grammar");
        }
        list
    })
}

/// Bytes that often look like an answer to SendTargets.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"TargetName=".to_vec()),
        Just(b"TargetAddress=".to_vec()),
        Just(b"iqn.2001-04.com.example:".to_vec()),
        Just(b"[::1]:3260,1".to_vec()),
        Just(vec![0]),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_list_is_read_back_however_it_is_split(list in pairs(), max_len in 1_usize..500) {
        let segments = list.encode_segments(max_len);
        let mut collector = TextCollector::new(TextLimits::NEGOTIATION);
        let (last, first) = segments.split_last().expect("at least one segment");
        for segment in first {
            prop_assert_eq!(segment.len(), max_len);
            prop_assert_eq!(collector.push(segment, true), Ok(None));
        }
        prop_assert_eq!(collector.push(last, false), Ok(Some(list)));
    }

    #[test]
    fn any_bytes_are_a_text_or_refused(bytes in noise()) {
        if let Ok(list) = KeyValues::parse(&bytes, TextLimits::SEND_TARGETS) {
            prop_assert_eq!(KeyValues::parse(&list.encode(), TextLimits::SEND_TARGETS), Ok(list.clone()));
            let _ = list.check_unique();
            if let Ok(answer) = SendTargets::from_pairs(&list) {
                prop_assert!(answer.records.len() + answer.refused.len() <= list.len());
            }
        }
    }

    /// A name that is accepted is one plain file name, keeps its spelling, and is the same name in normal form.
    #[test]
    fn a_name_is_never_a_path(text in "(iqn\\.[0-9]{4}-[01][0-9]\\.)?[ -~]{0,40}|.{0,40}|(eui|naa)\\.[0-9A-Fa-f]{14,34}") {
        match text.parse::<IscsiName>() {
            Ok(name) => {
                let components: Vec<_> = Path::new(name.as_str()).components().collect();
                prop_assert!(matches!(components[..], [Component::Normal(only)] if only == name.as_str()));
                prop_assert_eq!(name.as_str(), &text);
                prop_assert_eq!(name.normalized().parse(), Ok(name.clone()));
            }
            Err(error) => {
                prop_assert_eq!(error.found, text.chars().nth(error.position - 1));
            }
        }
    }

    #[test]
    fn an_address_is_read_back(text in "[0-9.]{0,16}(:[0-9]{0,6})?(,[0-9]{0,6})?|\\[[0-9a-f:]{0,12}\\](:[0-9]{1,5})?|.{0,20}") {
        if let Ok(address) = text.parse::<TargetAddress>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn an_isid_is_read_back(bytes in any::<[u8; 6]>()) {
        prop_assert_eq!(Isid(bytes).to_string().parse(), Ok(Isid(bytes)));
    }
}

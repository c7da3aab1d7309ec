//! Any bytes as a text: pairs within the limits or an error, also over several PDUs; targets with sound names only.

use crate::input::Input;
use longshore_iscsi::text::{
    KeyValues, MAX_TARGET_RECORDS, SendTargets, TargetAddress, TextCollector, TextLimits,
};

const LIMITS: TextLimits = TextLimits {
    bytes: 4096,
    pairs: 64,
};

/// A text over several PDUs.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut collector = TextCollector::new(LIMITS);
    while !input.is_empty() {
        let len = usize::from(input.byte());
        let continue_bit = input.byte() & 1 != 0;
        if let Ok(Some(list)) = collector.push(input.take(len), continue_bit) {
            check(&list);
            assert!(!collector.is_collecting());
        }
    }
}

fn check(list: &KeyValues) {
    assert!(list.len() <= LIMITS.pairs);
    assert_eq!(KeyValues::parse(&list.encode(), LIMITS).as_ref(), Ok(list));
    let _ = list.check_unique();
    for (key, value) in list.iter() {
        assert!(key.len() <= 63 && !value.chars().any(char::is_control));
        if let Ok(address) = value.parse::<TargetAddress>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}

/// An answer to SendTargets.
pub(crate) fn run_send_targets(data: &[u8]) {
    let Ok(list) = KeyValues::parse(data, TextLimits::SEND_TARGETS) else {
        return;
    };
    let Ok(answer) = SendTargets::from_pairs(&list) else {
        return;
    };
    assert!(answer.records.len() <= MAX_TARGET_RECORDS);
    for record in answer.records {
        let name = record.name.as_str();
        assert!(name.len() <= 223 && !name.contains('/') && !name.starts_with('.'));
        assert_eq!(name.parse(), Ok(record.name.clone()));
    }
}

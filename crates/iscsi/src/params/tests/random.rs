//! Negotiations with peers that say anything.

use super::*;
use proptest::prelude::*;

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

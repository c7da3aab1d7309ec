//! PDUs: no bytes make a parser panic, and every legal PDU survives the way to the wire and back.

use crate::arbitrary::{initiator_pdu, raw_pdu, target_pdu};
use longshore_iscsi::pdu::{Fault, Opcode, Pdu, RawPdu};
use proptest::prelude::*;

fn assert_round_trip(pdu: Pdu) {
    let opcode = pdu.opcode();
    let raw = pdu.clone().into_raw();
    assert_eq!(raw.opcode(), Some(opcode));
    assert_eq!(Pdu::parse(raw), Ok(pdu));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_initiators_pdu_is_read_back(pdu in initiator_pdu()) {
        prop_assert!(!pdu.opcode().is_from_target());
        assert_round_trip(pdu);
    }

    #[test]
    fn a_targets_pdu_is_read_back(pdu in target_pdu()) {
        prop_assert!(pdu.opcode().is_from_target());
        assert_round_trip(pdu);
    }

    /// Whatever arrives is parsed or refused; what was parsed can be shown, and means the same after a second trip.
    #[test]
    fn any_bytes_are_parsed_or_refused(raw in raw_pdu()) {
        match Pdu::parse(raw.clone()) {
            Ok(pdu) => {
                prop_assert!(!pdu.to_string().is_empty());
                assert_round_trip(pdu);
            }
            Err(error) => {
                prop_assert_ne!(error.fault, Fault::ApiMisuse);
                prop_assert_eq!(error.opcode, raw.opcode_bits());
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    /// A PDU handed to another PDU's parser is our own mistake, and is told so.
    #[test]
    fn a_wrong_parser_is_our_own_fault(raw in raw_pdu()) {
        let parsers: [fn(RawPdu) -> Option<Fault>; 3] = [
            |raw| longshore_iscsi::pdu::R2t::parse(raw).err().map(|error| error.fault),
            |raw| longshore_iscsi::pdu::DataIn::parse(raw).err().map(|error| error.fault),
            |raw| longshore_iscsi::pdu::ScsiCommand::parse(raw).err().map(|error| error.fault),
        ];
        let opcodes = [Opcode::R2t, Opcode::DataIn, Opcode::ScsiCommand];
        for (parser, opcode) in parsers.into_iter().zip(opcodes) {
            if raw.opcode() != Some(opcode) {
                prop_assert_eq!(parser(raw.clone()), Some(Fault::ApiMisuse));
            }
        }
    }
}

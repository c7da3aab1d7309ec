//! Any header with any data: parsed or refused; what is parsed can be shown and survives a trip to the wire.

use crate::input::Input;
use longshore_iscsi::pdu::{Fault, Opcode, Pdu, RawPdu};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    while !input.is_empty() {
        let raw = match input.byte() & 1 {
            0 => input.any_pdu(&Opcode::ALL),
            _ => input.plausible_pdu(&Opcode::ALL),
        };
        check(raw);
    }
}

fn check(raw: RawPdu) {
    match Pdu::parse(raw) {
        Ok(pdu) => {
            assert!(!pdu.to_string().is_empty());
            assert_eq!(Pdu::parse(pdu.clone().into_raw()), Ok(pdu));
        }
        Err(error) => assert_ne!(error.fault, Fault::ApiMisuse, "{error}"),
    }
}

//! Any header with any data: parsed or refused; what is parsed can be shown and survives a trip to the wire.

use crate::input::Input;
use longshore_iscsi::pdu::{BHS_LEN, Fault, Opcode, Pdu, RawPdu};

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    while !input.is_empty() {
        let raw = match input.byte() & 1 {
            0 => input.pdu(&Opcode::ALL),
            _ => {
                let bhs: [u8; BHS_LEN] = input.array();
                let ahs = input.array::<12>();
                RawPdu {
                    bhs,
                    ahs: ahs[..usize::from(bhs[0] & 3) * 4].to_vec().into(),
                    data: input.data(),
                }
            }
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

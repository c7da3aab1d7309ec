//! Hostile peers in small: the bodies of the fuzz targets in `fuzz/`, run here on a few thousand random inputs.
//!
//! Each body takes any bytes and panics when an invariant breaks. cargo-fuzz finds the deep inputs, this finds the
//! shallow ones in every test run.

mod frames;
mod input;
mod logins;
mod pdus;
mod session_initiator;
mod session_target;
mod texts;

use proptest::prelude::*;

fn bytes(max_len: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..max_len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn frames(data in bytes(2000)) {
        frames::run(&data);
    }

    #[test]
    fn pdus(data in bytes(2000)) {
        pdus::run(&data);
    }

    #[test]
    fn texts(data in bytes(2000)) {
        texts::run(&data);
        texts::run_send_targets(&data);
    }

    #[test]
    fn logins(data in bytes(1500)) {
        logins::run_initiator(&data);
        logins::run_target(&data);
    }

    #[test]
    fn session_of_an_initiator(data in bytes(3000)) {
        session_initiator::run(&data);
    }

    #[test]
    fn session_of_a_target(data in bytes(3000)) {
        session_target::run(&data);
    }
}

//! Fuzz target: the full feature phase with a target that says anything.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the bodies that they share")]

#[path = "../../crates/iscsi/tests/hostile/input.rs"]
mod input;
#[path = "../../crates/iscsi/tests/hostile/session_initiator.rs"]
mod session_initiator;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session_initiator::run(data));

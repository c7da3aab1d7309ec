//! Fuzz target: the full feature phase with an initiator that says anything.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the bodies that they share")]

#[path = "../../crates/iscsi/tests/hostile/input.rs"]
mod input;
#[path = "../../crates/iscsi/tests/hostile/session_target.rs"]
mod session_target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session_target::run(data));

//! Fuzz target: a login with a target that says anything.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the bodies that they share")]

#[path = "../../crates/iscsi/tests/hostile/input.rs"]
mod input;
#[path = "../../crates/iscsi/tests/hostile/logins.rs"]
mod logins;

libfuzzer_sys::fuzz_target!(|data: &[u8]| logins::run_initiator(data));

//! Fuzz target: a byte stream, cut anywhere, becomes PDUs or an error.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the bodies that they share")]

#[path = "../../crates/iscsi/tests/hostile/frames.rs"]
mod frames;
#[path = "../../crates/iscsi/tests/hostile/input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frames::run(data));

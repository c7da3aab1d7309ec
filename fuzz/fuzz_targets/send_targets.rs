//! Fuzz target: an answer to SendTargets.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the bodies that they share")]

#[path = "../../crates/iscsi/tests/hostile/input.rs"]
mod input;
#[path = "../../crates/iscsi/tests/hostile/texts.rs"]
mod texts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| texts::run_send_targets(data));

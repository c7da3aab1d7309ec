//! Fuzz target: each PDU's parser takes any header and any data.
#![no_main]
#![allow(dead_code, reason = "each target uses a part of the bodies that they share")]

#[path = "../../crates/iscsi/tests/hostile/input.rs"]
mod input;
#[path = "../../crates/iscsi/tests/hostile/pdus.rs"]
mod pdus;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pdus::run(data));

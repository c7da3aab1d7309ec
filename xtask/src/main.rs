//! The projects own automation.
fn main() {}

//! Feeds whole frames to the property that `cargo test` holds the crate to: no panic, nothing outside the frame,
//! written back as it came, and read as `etherparse` reads it.

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|frame: &[u8]| oracle::check(frame));

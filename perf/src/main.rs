//! Packet generator and side-by-side runs.
fn main() {}

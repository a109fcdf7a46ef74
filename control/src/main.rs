//! The podlane daemon and command line.
fn main() {}

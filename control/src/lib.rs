//! The daemon and the command line of Podlane, as a library that the binary, the tests and the demo share.

pub mod config;
pub mod desired;

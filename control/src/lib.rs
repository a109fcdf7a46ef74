//! The daemon and the command line of Podlane, as a library that the binary, the tests and the demo share.
//!
//! ```text
//! config (a file) -> desired (what the node wants) -> daemon (makes it so, answers) <- socket <- cli (asks, prints)
//! ```

mod absent;
pub mod attach;
pub mod cli;
pub mod cni;
pub mod cnm;
pub mod compile;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod desired;
pub mod enforce;
pub mod handover;
pub mod netavark;
mod paint;
pub mod reconcile;
mod shadow;
mod told;
mod units;

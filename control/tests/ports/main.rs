//! Ports and networks that come and go while the switch runs: in this process, with real kernels in the pods.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod bed;
mod crowd;
mod life;
mod networks;
mod policy;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests that start the daemon")]
mod support;

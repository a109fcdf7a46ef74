//! Real kernels on both sides: pods in network namespaces, joined by running workers over AF_XDP.
//!
//! What memory ports cannot show is shown here: that a pod's kernel accepts what the switch sends it, that sockets and
//! frames come and go under traffic, and that nothing is lost on the way. Every test has namespaces of its own and is bounded in time.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end a test by a panic")]

mod bed;
mod checksums;
mod comings;
mod talk;
mod workers;

//! Pods on a physical network, by an uplink that the host has too: real kernels on both sides of it, and the host beside.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod comers;
mod everyone;
#[path = "../support/ground.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod ground;
mod host;
mod segment;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with other tests, which use the rest")]
mod support;
mod talk;
mod vlan;

//! The overlay as other kernels meet it: the real daemon, beside it routers, bridges and tunnels that are the kernel's own, and what
//! goes wrong on an underlay. What two nodes on one cable do is among the daemon's own tests.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

#[path = "../support/ground.rs"]
mod ground;
mod hops;
mod hosts;
mod kernel;
mod moves;
mod mtu;
mod multicast;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod support;
mod vnis;

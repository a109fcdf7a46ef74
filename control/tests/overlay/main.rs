//! The overlay as other kernels meet it: the real daemon, beside it routers, bridges and tunnels that are the kernel's own, and what
//! goes wrong on an underlay. What two nodes on one cable do is among the daemon's own tests.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod ground;
mod hops;
mod hosts;
mod kernel;
mod moves;
mod mtu;
mod multicast;
#[path = "../daemon/support/mod.rs"]
#[allow(dead_code, reason = "shared with the daemon's tests, which use all of it")]
mod support;
mod vnis;

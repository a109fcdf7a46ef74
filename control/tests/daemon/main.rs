//! The daemon as an operator meets it: the real binary, real kernels in the pods, and everything that goes wrong on a node.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod crowd;
mod devices;
mod floods;
mod life;
mod networks;
mod offload;
mod overlay;
mod policy;
mod rates;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod tunnels;

//! One daemon taking over from another while pods talk: the real binary twice, real kernels in the pods, and everything that can go wrong
//! between the two.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod attached;
mod crowd;
mod failures;
#[path = "../support/runtime.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod runtime;
mod stream;
mod succession;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with other tests, which use the rest")]
mod support;

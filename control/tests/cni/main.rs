//! The Container Network Interface as runtimes meet it: the real plugin and the real daemon, every verb and version, what goes wrong, and
//! the reference plugins before, behind and beside it.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod addresses;
mod chains;
mod dhcp;
mod kernel;
mod killed;
mod networks;
mod oracle;
mod policed;
#[path = "../support/runtime.rs"]
mod runtime;
mod shop;
mod silence;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with other tests, which use the rest")]
mod support;
mod verbs;

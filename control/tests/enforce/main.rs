//! Policies as users write them and kernels meet them: the real daemon, pods that are network namespaces, and TCP, UDP and ICMP of the
//! pods' own kernels over AF_XDP. That a packet did not arrive is told from the ledger, or from a later one that did: never from a wait.

#![allow(clippy::unwrap_used, reason = "a test without its ground has failed")]

mod asked;
mod attempt;
mod birth;
mod blocks;
mod change;
mod cluster;
mod egress;
mod endure;
mod floods;
mod forged;
#[path = "../support/ground.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod ground;
mod hostile;
mod icmp;
mod ingress;
mod place;
mod protocols;
mod shapes;
mod silence;
mod stream;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with other tests, which use the rest")]
mod support;
mod tricks;
mod tunnel;

//! Network policy as Kubernetes means it: read from its own YAML, compiled into classes, explained.
//!
//! ```text
//! YAML -> yaml -> model -> Compiler -> Compiled -> verdict(subject, direction, identity, protocol, port)
//!                                         \-> explain: why, and what would change it
//!                                          \-> diff: what another set of policies would decide otherwise
//! ```
//!
//! Pure: strings and values in, values out. What is promised is in `docs/decisions/0018-policy-by-classes.md`, and held by an
//! evaluator in the tests that is written from the specification and shares nothing with the compiler but [`model`].

#![forbid(unsafe_code)]

pub mod compile;
pub mod diff;
pub mod explain;
pub mod model;
pub mod yaml;

pub use compile::{Change, Cluster, Compiled, Compiler};
pub use diff::diff;

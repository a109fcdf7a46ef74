//! Measures Podlane from the outside, side by side with others, so that its numbers can be repeated.
//!
//! ```text
//!   run (compare, idle, ...)         what is measured against what, and the targets
//!    |-- bed                         two pods and the links between them, in namespaces of their own
//!    |-- subject/*                   what can be measured: one file each, started and stopped for its turn
//!    |-- load/*                      packets into one pod, and what arrives in the other
//!    |-- rfc2544                     rates, latency, loss and learning of one device, ours or anybody's
//!    |    `-- generator, traffic     packets out of one wire, and what became of them out of another
//!    `-- series, report, machine     medians, ratios within a round, and where they come from: what is stored
//!         `-- picture                 perf/REPORT.md and its pictures, made of stored results
//! ```
//!
//! ```text
//!   send, receive, loop              packets at a rate through any device, and what became of them
//!    |-- traffic                     what is sent: templates, ranges, stamps, captures
//!    `-- generator                   when it leaves, by what, what arrives, and what to think of it
//! ```
//!
//! Two rules make the numbers mean something. Things are measured in turns (A B A B) in one run, so that a noisy machine is noisy for
//! all of them; and what is compared is always the ratio. Load and switch never share a core.

pub mod bed;
pub mod cli;
pub mod cores;
pub mod generator;
pub mod load;
pub mod machine;
pub mod nodes;
pub mod picture;
pub mod report;
pub mod rfc2544;
pub mod run;
pub mod series;
pub mod subject;
pub mod traffic;

//! `podlane-perf rfc2544`: what a device does with packets, by the measurements of RFC 2544 and RFC 2889, between any two netdevs.
//!
//! ```text
//!   plan, run                         what is to be measured, and its numbers as series
//!    |
//!   throughput, learning, flows       what is measured, each a few functions over a session
//!    |-- session                      trials one after the other, looked at before they are believed
//!    |    |-- verdict                 what ends a run early: nothing forwarded, a loop, doubled frames, a netdev that went away
//!    |    `-- device                  the seam: one trial, asked for and told
//!    |         |-- between            any device between two netdevs
//!    |         `-- rig                a subject of ours on a bed of its own; both by `wires`
//!    `-- search                       for the greatest load that holds: pure
//! ```

pub mod between;
pub mod device;
pub mod flows;
pub mod learning;
#[cfg(test)]
mod modelled;
pub mod plan;
pub mod rig;
pub mod run;
pub mod search;
pub mod session;
#[cfg(test)]
mod tests;
pub mod throughput;
pub mod verdict;
pub mod wires;

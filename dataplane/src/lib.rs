//! Everything a frame can meet: workers, stages, flow table, tables, ports.
//!
//! ```text
//!   Port::receive -> classify -> lookup -> [resolve, on a miss only] -> apply -> dispatch -> Port::transmit
//! ```
//!
//! A [`worker`] owns packet memory and its ends of the [`port`]s and sends bursts of frames down the [`stage`]s. What to do with a
//! packet stands in the [`flow`] table, as a program that resolve made from the [`tables`]. Every frame that comes in
//! leaves by one port or by one [`DropReason`].
//!
//! This crate knows nothing of configuration files, Kubernetes or logging, and holds no unsafe code.

pub mod burst;
pub mod counters;
pub mod denials;
pub mod drops;
pub mod flow;
mod headers;
pub mod ids;
pub mod offload;
pub mod policy;
pub mod port;
pub mod slow;
pub mod stage;
pub mod tables;
#[cfg(any(test, feature = "testbed"))]
pub mod testbed;
pub mod tunnel;
pub mod worker;

pub use drops::DropReason;
pub use ids::{Generation, NetworkId, PathId, PortId, Vni, VrfId, WorkerId};

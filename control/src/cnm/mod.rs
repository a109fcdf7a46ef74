//! Docker's networks: libnetwork's remote driver protocol, for networks and for addresses, answered from the daemon's attachments.
//!
//! ```text
//! dockerd --HTTP over a Unix socket--> server --> http --> driver --> Order --> Attachments
//!                                                    |---> pools ----> leases
//! ```
//!
//! Docker finds its plugins by the sockets in `/run/docker/plugins`; `[attachments] docker` says where ours is. What differs from every
//! other caller: Docker does not tell whose network namespace an endpoint will be in, but takes the pod's end of the veth there itself,
//! and sets the addresses and routes it was told. So the order has no namespace, and what is attached is waiting until Docker comes.

mod driver;
mod error;
mod http;
mod pools;
mod server;
#[cfg(test)]
mod tests;
mod words;

pub use server::{Plugin, Source};

use error::CnmError;

use crate::desired::Prefix;

/// The option that joins Docker's network to one of the configuration, of networks (`-o`) and of their addresses (`--ipam-opt`).
const NETWORK: &str = "podlane.network";
/// The option that puts a network among those of a VRF, to be routed with them, instead of on its own.
const VRF: &str = "podlane.vrf";
/// Docker's own option for the largest IP packet.
const MTU: &str = "com.docker.network.driver.mtu";

fn subnet(text: &str) -> Result<Prefix, CnmError> {
    text.parse().map(Prefix::of).map_err(|_| CnmError::Subnet { text: text.to_owned() })
}

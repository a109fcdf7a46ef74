//! The flow table's entries.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::MacAddr;

/// Flows that matched a query, the busiest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Flows {
    /// How many matched; `flows` holds no more than the query's limit.
    pub matched: u64,
    /// The flows.
    pub flows: Vec<Flow>,
}

/// One direction of one conversation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// The network its packets come from.
    pub network: String,
    /// The port its packets come from; empty when they come out of a tunnel, whose packets may come by any uplink.
    pub in_port: String,
    /// The tunnel its packets come out of.
    #[serde(default)]
    pub in_tunnel: Option<FlowTunnel>,
    /// The port they leave by, for packets into a tunnel the uplink; none when they are dropped.
    pub out_port: Option<String>,
    /// The tunnel they go into.
    #[serde(default)]
    pub out_tunnel: Option<FlowTunnel>,
    /// Source MAC address, as received.
    pub src_mac: MacAddr,
    /// Destination MAC address, as received.
    pub dst_mac: MacAddr,
    /// Ethernet type, as a number.
    pub ethertype: u16,
    /// Source IP address; none when not IP.
    pub src: Option<IpAddr>,
    /// Destination IP address; none when not IP.
    pub dst: Option<IpAddr>,
    /// `tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, or the protocol's number; none when not IP.
    pub protocol: Option<String>,
    /// Source port; none when the protocol has none.
    pub sport: Option<u16>,
    /// Destination port; none when the protocol has none.
    pub dport: Option<u16>,
    /// Packets since the flow was made.
    pub packets: u64,
    /// Bytes since the flow was made.
    pub bytes: u64,
    /// Milliseconds since its last packet.
    pub idle_ms: u64,
    /// What is done with its packets: `bridge` or `route to` a MAC address, each with what becomes of the tag, and into tunnels
    /// the MAC address of the underlay's next hop.
    pub action: String,
}

/// A tunnel, as the flows of it have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FlowTunnel {
    /// The peer.
    pub peer: String,
    /// What the network is called on the wire.
    pub vni: u32,
}

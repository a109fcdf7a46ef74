//! Who is where: stations of the networks, and next hops of the underlay.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{MacAddr, NextHop};

/// The most stations one reply lists, whatever was asked: it keeps a reply within [`crate::MAX_REPLY_BYTES`].
pub const MAX_NEIGHBOURS: usize = 10_000;

/// Which neighbours to list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourQuery {
    /// At most this many stations, by network and address; never more than [`MAX_NEIGHBOURS`].
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only stations of this network. Next hops are in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Only what is behind this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Only stations on this peer, and next hops on the way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

fn default_limit() -> usize {
    1_000
}

impl Default for NeighbourQuery {
    fn default() -> Self {
        Self { limit: default_limit(), network: None, port: None, peer: None }
    }
}

/// Neighbours that matched a query.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Neighbours {
    /// How many stations matched; `stations` holds no more than the query's limit.
    pub matched: u64,
    /// Stations of networks: one entry per address, and one for each MAC address of which no IP address is known.
    pub stations: Vec<Station>,
    /// Neighbours in the underlay, by uplink and address.
    pub next_hops: Vec<NextHop>,
}

/// A station of a network, by one of its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Station {
    /// The network.
    pub network: String,
    /// The IP address; none when none is known.
    pub address: Option<IpAddr>,
    /// Its MAC address.
    pub mac: MacAddr,
    /// The port it is behind; none when it is on another node, or nowhere yet.
    pub port: Option<String>,
    /// The peer it is on; none when it is on this node, or nowhere yet.
    pub peer: Option<String>,
    /// How this is known: learned when any of it is.
    pub origin: Origin,
    /// In which generation its place is stated; none when it is learned.
    pub generation: Option<u64>,
    /// Milliseconds since what was learned of it was last heard; of two such things the older one. None when all is stated.
    pub age_ms: Option<u64>,
}

/// How something is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From the configuration, or set since.
    Stated,
    /// From packets.
    Learned,
}

words! {
    Origin { Stated: "stated", Learned: "learned" }
}

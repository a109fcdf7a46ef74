//! What policies have denied, by rule.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Which denials to list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeniedQuery {
    /// At most so many rules, those that denied most first.
    #[serde(default = "default_limit")]
    pub limit: usize,
}

fn default_limit() -> usize {
    100
}

impl Default for DeniedQuery {
    fn default() -> Self {
        Self { limit: default_limit() }
    }
}

/// What policies have denied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Denied {
    /// Packets in all.
    pub packets: u64,
    /// Those of them of which it is not remembered any more what they wanted to open.
    pub forgotten: u64,
    /// How many rules have denied, listed or not.
    pub matched: u64,
    /// By rule, the most frequent first.
    pub denials: Vec<Denial>,
}

/// What one rule has denied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Denial {
    /// The rule; none for those that are gone.
    pub rule: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Milliseconds since the last of them.
    pub age_ms: u64,
    /// What they wanted to open, the most frequent first.
    pub openings: Vec<DeniedOpening>,
}

/// A connection that was denied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeniedOpening {
    /// The connection.
    #[serde(flatten)]
    pub opening: Opening,
    /// Packets that wanted to open it.
    pub packets: u64,
    /// Milliseconds since the last of them.
    pub age_ms: u64,
}

/// A connection that somebody wanted to open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The address that opened.
    pub from: IpAddr,
    /// The pod that has it.
    pub from_pod: Option<String>,
    /// The address that was opened to.
    pub to: IpAddr,
    /// The pod that has it.
    pub to_pod: Option<String>,
    /// `tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, or the protocol's number.
    pub protocol: String,
    /// The destination's port; none when the protocol has none.
    pub port: Option<u16>,
}

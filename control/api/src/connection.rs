//! The connections the switch follows.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The most connections one reply lists.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Which connections to list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionQuery {
    /// At most this many, the latest heard of first; never more than [`MAX_CONNECTIONS`].
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only those of this pod, by the names that [`WhyQuery::from`](crate::WhyQuery::from) takes, or of this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

fn default_limit() -> usize {
    100
}

impl Default for ConnectionQuery {
    fn default() -> Self {
        Self { limit: default_limit(), of: None }
    }
}

/// Connections that matched a query.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// How many matched, listed or not.
    pub matched: u64,
    /// The table's fill.
    pub table: ConnectionTable,
    /// The connections.
    pub connections: Vec<ConnectionRecord>,
}

/// The connection table's fill.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ConnectionTable {
    /// Connections it can hold. When it is full, those in it go on and new ones are dropped as `connections_full`.
    pub capacity: u64,
    /// Connections it holds.
    pub used: u64,
    /// Those of them that the other side has not answered yet.
    pub opening: u64,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Only the side that opened has spoken.
    Opening,
    /// TCP: the other side has answered, and waits for the last word of the opening.
    Answered,
    /// Both sides have spoken.
    Established,
    /// TCP: one side is done, or both are and it is not acknowledged yet.
    Closing,
    /// TCP: it has ended, and is remembered for what is still on the way.
    Closed,
}

/// One connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// The routing domain its addresses are of.
    pub vrf: String,
    /// `tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, or the protocol's number.
    pub protocol: String,
    /// The address that opened.
    pub from: IpAddr,
    /// Its port; none when the protocol has none.
    pub from_port: Option<u16>,
    /// The pod that has it.
    pub from_pod: Option<String>,
    /// The address that was opened to.
    pub to: IpAddr,
    /// Its port; none when the protocol has none.
    pub to_port: Option<u16>,
    /// The pod that has it.
    pub to_pod: Option<String>,
    /// How far it is.
    pub state: ConnectionState,
    /// The rule that let it in; none when that was of tables that are gone, and nothing has been sent since.
    pub rule: Option<String>,
    /// The generation it was judged in.
    pub generation: u64,
    /// Milliseconds since its first packet.
    pub age_ms: u64,
    /// Milliseconds since its last packet.
    pub idle_ms: u64,
}

words! {
    ConnectionState {
        Opening: "opening", Answered: "answered", Established: "established", Closing: "closing", Closed: "closed"
    }
}

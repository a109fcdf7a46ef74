//! What may be asked of the daemon.

use serde::{Deserialize, Serialize};

/// The most flows one reply lists, whatever was asked: it keeps a reply within [`crate::MAX_REPLY_BYTES`].
pub const MAX_FLOWS: usize = 10_000;

/// A question to the daemon. None of them changes anything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How the daemon, its workers and its tables are.
    Status,
    /// The ports, the mode each got, and what went through them.
    Ports,
    /// The flows in the flow table that match.
    Flows(FlowQuery),
    /// The ledger: received, sent, held, and dropped by reason.
    Counters,
}

/// Which flows to list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// At most this many, the busiest (by packets) first; never more than [`MAX_FLOWS`].
    #[serde(default = "default_limit")]
    pub limit: usize,
    /// Only flows of this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Only flows that come from or leave by this port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

fn default_limit() -> usize {
    100
}

impl Default for FlowQuery {
    fn default() -> Self {
        Self { limit: default_limit(), network: None, port: None }
    }
}

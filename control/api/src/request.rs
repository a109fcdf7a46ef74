//! What may be asked of the daemon.

use serde::{Deserialize, Serialize};

use crate::{
    AttachmentQuery, CniCall, ConnectionQuery, DeniedQuery, Endpoint, EndpointQuery, EndpointRemoval, LeaseQuery,
    Manifest, Manifests, NeighbourQuery, NetavarkCall, ShadowQuery, WhyQuery,
};

/// The most flows one reply lists, whatever was asked: it keeps a reply within [`crate::MAX_REPLY_BYTES`].
pub const MAX_FLOWS: usize = 10_000;

/// A question to the daemon, or a change: of endpoints, of policies, of what is attached.
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
    /// The tunnels to other nodes, and what carries them.
    Tunnels,
    /// The offload engines, and what they carry.
    Offload,
    /// The stations of the networks and the next hops of the underlay that match.
    Neighbours(NeighbourQuery),
    /// The stations on other nodes that are stated.
    Endpoints(EndpointQuery),
    /// States where a station is, until the daemon ends. The answer comes when it is so for every packet.
    SetEndpoint(Endpoint),
    /// Takes such a statement back. The answer comes when it is so for every packet.
    RemoveEndpoint(EndpointRemoval),
    /// The policies in force.
    Policies,
    /// Applies pods, namespaces and policies, each new or in the place of the one of its name, until the daemon ends.
    ApplyPolicy(Manifests),
    /// Deletes pods, namespaces and policies, by kind and name.
    DeletePolicy(Manifests),
    /// Why a connection would come through or not.
    Why(WhyQuery),
    /// What candidate policies would change for the pods there are. Nothing is applied.
    TestPolicy(Manifest),
    /// Has candidate policies judged beside the live ones, which alone decide.
    StartShadow(Manifest),
    /// What that has seen so far. Asking keeps it going.
    Shadow(ShadowQuery),
    /// Ends it; the answer is the last.
    EndShadow(ShadowQuery),
    /// What policies have denied, by rule.
    Denied(DeniedQuery),
    /// The connections that match.
    Connections(ConnectionQuery),
    /// A call of the Container Network Interface. The answer comes when it is carried out.
    Cni(CniCall),
    /// A call of netavark's plugin protocol. The answer comes when it is carried out.
    Netavark(NetavarkCall),
    /// The attachments that match.
    Attachments(AttachmentQuery),
    /// The addresses that pods have, and how many are free.
    Leases(LeaseQuery),
}

impl Request {
    /// Whether it may be asked twice where its first answer was lost.
    pub(crate) fn changes_nothing(&self) -> bool {
        match self {
            Self::Status
            | Self::Ports
            | Self::Flows(_)
            | Self::Counters
            | Self::Tunnels
            | Self::Offload
            | Self::Neighbours(_)
            | Self::Endpoints(_)
            | Self::Policies
            | Self::Why(_)
            | Self::TestPolicy(_)
            | Self::Shadow(_)
            | Self::Denied(_)
            | Self::Connections(_)
            | Self::Attachments(_)
            | Self::Leases(_) => true,
            Self::SetEndpoint(_)
            | Self::RemoveEndpoint(_)
            | Self::ApplyPolicy(_)
            | Self::DeletePolicy(_)
            | Self::StartShadow(_)
            | Self::EndShadow(_)
            | Self::Cni(_)
            | Self::Netavark(_) => false,
        }
    }
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

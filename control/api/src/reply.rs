//! What the daemon answers, and how it refuses.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Attachments, Connections, Counters, Denied, Endpoint, EndpointRemoval, Endpoints, Flows, Leases, MacAddr,
    Neighbours, Offload, Policies, PolicyApplied, PolicyChange, PolicyFinding, Ports, Shadow, Status, Tunnels, Why,
};

/// The answer to the [`Request`](crate::Request) of the same name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`](crate::Request::Status).
    Status(Status),
    /// To [`Request::Ports`](crate::Request::Ports).
    Ports(Ports),
    /// To [`Request::Flows`](crate::Request::Flows).
    Flows(Flows),
    /// To [`Request::Counters`](crate::Request::Counters).
    Counters(Counters),
    /// To [`Request::Tunnels`](crate::Request::Tunnels).
    Tunnels(Tunnels),
    /// To [`Request::Offload`](crate::Request::Offload).
    Offload(Offload),
    /// To [`Request::Neighbours`](crate::Request::Neighbours).
    Neighbours(Neighbours),
    /// To [`Request::Endpoints`](crate::Request::Endpoints).
    Endpoints(Endpoints),
    /// To [`Request::SetEndpoint`](crate::Request::SetEndpoint): what is in force now.
    SetEndpoint(Endpoint),
    /// To [`Request::RemoveEndpoint`](crate::Request::RemoveEndpoint): what is no longer in force.
    RemoveEndpoint(EndpointRemoval),
    /// To [`Request::Policies`](crate::Request::Policies).
    Policies(Policies),
    /// To [`Request::ApplyPolicy`](crate::Request::ApplyPolicy).
    ApplyPolicy(PolicyApplied),
    /// To [`Request::DeletePolicy`](crate::Request::DeletePolicy).
    DeletePolicy(PolicyApplied),
    /// To [`Request::Why`](crate::Request::Why).
    Why(Why),
    /// To [`Request::TestPolicy`](crate::Request::TestPolicy).
    TestPolicy(PolicyChange),
    /// To [`Request::StartShadow`](crate::Request::StartShadow), [`Request::Shadow`](crate::Request::Shadow) and
    /// [`Request::EndShadow`](crate::Request::EndShadow).
    Shadow(Shadow),
    /// To [`Request::Denied`](crate::Request::Denied).
    Denied(Denied),
    /// To [`Request::Connections`](crate::Request::Connections).
    Connections(Connections),
    /// To [`Request::Cni`](crate::Request::Cni): what the plugin prints; null where it prints nothing.
    Cni(Value),
    /// To [`Request::Netavark`](crate::Request::Netavark): what the plugin prints; null where it prints nothing.
    Netavark(Value),
    /// To [`Request::Attachments`](crate::Request::Attachments).
    Attachments(Attachments),
    /// To [`Request::Leases`](crate::Request::Leases).
    Leases(Leases),
}

impl Reply {
    /// The reply's name on the wire, for messages about a reply that was not expected.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Ports(_) => "ports",
            Self::Flows(_) => "flows",
            Self::Counters(_) => "counters",
            Self::Tunnels(_) => "tunnels",
            Self::Offload(_) => "offload",
            Self::Neighbours(_) => "neighbours",
            Self::Endpoints(_) => "endpoints",
            Self::SetEndpoint(_) => "set_endpoint",
            Self::RemoveEndpoint(_) => "remove_endpoint",
            Self::Policies(_) => "policies",
            Self::ApplyPolicy(_) => "apply_policy",
            Self::DeletePolicy(_) => "delete_policy",
            Self::Why(_) => "why",
            Self::TestPolicy(_) => "test_policy",
            Self::Shadow(_) => "shadow",
            Self::Denied(_) => "denied",
            Self::Connections(_) => "connections",
            Self::Cni(_) => "cni",
            Self::Netavark(_) => "netavark",
            Self::Attachments(_) => "attachments",
            Self::Leases(_) => "leases",
        }
    }
}

/// Why the daemon did not answer. Displayed, it names the object and says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refusal {
    /// The client speaks another version of the protocol.
    #[error(
        "the daemon speaks protocol version {daemon}, the client version {client} (run the client of the daemon's release)"
    )]
    Version {
        /// What the daemon speaks.
        daemon: u32,
        /// What the request said it was.
        client: u32,
    },
    /// The line is no request.
    #[error("the request is not understood: {detail} (docs/protocol.md lists the requests)")]
    Malformed {
        /// What the parser said.
        detail: String,
    },
    /// The line is longer than any request.
    #[error("the request is longer than {limit} bytes (send one JSON object a line)")]
    TooLong {
        /// The longest line that is read, in bytes.
        limit: usize,
    },
    /// No network has the name.
    #[error("no network is named \"{name}\" ({})", remedy(nearest.as_deref(), "podlane status lists the networks"))]
    UnknownNetwork {
        /// The name in the request.
        name: String,
        /// A network of a similar name.
        nearest: Option<String>,
    },
    /// No port has the name.
    #[error("no port is named \"{name}\" ({})", remedy(nearest.as_deref(), "podlane ports lists them"))]
    UnknownPort {
        /// The name in the request.
        name: String,
        /// A port of a similar name.
        nearest: Option<String>,
    },
    /// No peer has the name.
    #[error("no peer is named \"{name}\" ({})", remedy(nearest.as_deref(), other_peers(*none)))]
    UnknownPeer {
        /// The name in the request.
        name: String,
        /// A peer of a similar name.
        nearest: Option<String>,
        /// Whether there is no peer at all.
        #[serde(default)]
        none: bool,
    },
    /// The endpoint does not fit what the daemon was started with.
    #[error("endpoint {mac} of network \"{network}\": {detail}")]
    UnfitEndpoint {
        /// The network.
        network: String,
        /// The endpoint's MAC address.
        mac: MacAddr,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// Something newer is known of a MAC or IP address.
    #[error("{}", because.sentence((network, what), *known, *given))]
    StaleEndpoint {
        /// The network.
        network: String,
        /// The MAC or IP address.
        what: String,
        /// The generation that is known.
        known: u64,
        /// The generation in the request.
        given: u64,
        /// What stands against the request.
        #[serde(default)]
        because: Stale,
    },
    /// No endpoint has the MAC address.
    #[error("network \"{network}\" has no endpoint {mac} (podlane endpoint list has them all)")]
    UnknownEndpoint {
        /// The network.
        network: String,
        /// The MAC address in the request.
        mac: MacAddr,
    },
    /// As many endpoints have been changed as are kept.
    #[error(
        "as many endpoints have been changed as are kept (write them into the configuration and restart the daemon)"
    )]
    TooManyEndpoints,
    /// The change is noted, but was not in force in time.
    #[error("the change is noted, but not in force yet (podlane status shows what the daemon is busy with)")]
    EndpointLate,
    /// No pod, port or address has the name.
    #[error("nothing is called \"{name}\" ({})", remedy(nearest.as_deref(), "write NAMESPACE/POD, as default/web, a port or an IP address"))]
    UnknownEnd {
        /// The name in the request.
        name: String,
        /// A pod or port of a similar name.
        nearest: Option<String>,
    },
    /// The question has no meaning, or no one answer.
    #[error("{detail}")]
    Unanswerable {
        /// Why, and what to ask instead.
        detail: String,
    },
    /// What was to be applied, deleted or tried is wrong, or does not fit what there is. Nothing was changed.
    #[error("{}\nnothing is changed (correct it: every mistake is named)", lines(findings))]
    BadPolicy {
        /// All mistakes, in the order of the files.
        findings: Vec<PolicyFinding>,
    },
    /// The change of the policy is taken, but was not in force in time.
    #[error("the change is taken, but not in force in every worker yet (podlane status shows which does not answer)")]
    PolicyLate,
    /// The configuration has no policy.
    #[error("the daemon enforces no policy (write [policy] into its configuration and restart it)")]
    NoPolicy,
    /// Another candidate is being judged beside the live policies.
    #[error("another candidate is being judged already, for {age_ms} ms now (wait until it ends)")]
    ShadowBusy {
        /// Since when, in milliseconds.
        age_ms: u64,
    },
    /// The shadow has ended.
    #[error("shadow {shadow} has ended: it is not there, or was not asked about in time (start another)")]
    UnknownShadow {
        /// Its number.
        shadow: u64,
    },
    /// A call of the Container Network Interface could not be carried out; the fields are those of the specification's error.
    #[error("{msg}: {details}")]
    Cni {
        /// The specification's code, or one of ours from 100.
        code: u32,
        /// What is wrong, in short.
        msg: String,
        /// The object, and what to do.
        details: String,
    },
    /// What was asked of an attachment could not be done.
    #[error("{detail}")]
    Attachment {
        /// What is wrong, and what to do.
        detail: String,
    },
    /// The configuration has no attachments.
    #[error("the daemon attaches no pods (write [attachments] into its configuration and restart it)")]
    NoAttachments,
    /// Another daemon is just taking over; what is changed now would be lost.
    #[error("another daemon is just taking over, and nothing is changed meanwhile (try again)")]
    HandingOver,
    /// As many clients as the daemon serves at once are being served.
    #[error("the daemon is serving {clients} clients already, which is as many as it serves at once (try again)")]
    Busy {
        /// How many clients it serves at once.
        clients: usize,
    },
    /// A part of the daemon did not answer in time.
    #[error(
        "{what} did not answer within {waited_ms} ms (look into the daemon's log; podlane status shows whether its workers turn)"
    )]
    Stalled {
        /// Which part, such as "worker 1".
        what: String,
        /// How long the daemon waited for it, in milliseconds.
        waited_ms: u64,
    },
}

/// What stands against a statement or a removal of another generation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stale {
    /// A statement of the same or a higher generation.
    #[default]
    Stated,
    /// A removal of the same or a higher generation.
    Removed,
    /// It is a removal, and the statement is of a higher generation.
    Newer,
}

impl Stale {
    fn sentence(self, (network, what): (&str, &str), known: u64, given: u64) -> String {
        match self {
            Self::Stated => format!(
                "generation {given} of {what} in network \"{network}\" is not newer than {known}, which is known (give a higher one \
                 if what you say is newer)"
            ),
            Self::Removed => {
                format!(
                    "{what} of network \"{network}\" was removed in generation {known}, and {given} is not newer (give a higher one)"
                )
            }
            Self::Newer => format!(
                "{what} of network \"{network}\" was stated in generation {known}, which is newer than {given} (give {known} or a \
                 higher one)"
            ),
        }
    }
}

fn lines(findings: &[PolicyFinding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn other_peers(none: bool) -> &'static str {
    if none {
        "the configuration has no [[peer]]: write one and restart the daemon"
    } else {
        "podlane tunnels lists them"
    }
}

fn remedy(nearest: Option<&str>, otherwise: &str) -> String {
    nearest.map_or_else(|| otherwise.to_owned(), |name| format!("did you mean \"{name}\"?"))
}

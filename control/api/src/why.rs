//! Why a connection would come through or not: every stage that has a say, in order.
//!
//! The daemon answers from what its workers decide by. `podlane policy why --cluster` answers with the same words from files, where
//! there are policies and nothing else: what only a running switch knows is absent then.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{ConnectionRecord, PortState};

/// Which connection to explain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// Who opens: `NAMESPACE/POD`, a pod's name if no other pod has it, a port's name, an IP address, or `node`, the node that the
    /// other end runs on.
    pub from: String,
    /// Who is opened to: the same, but for `node`.
    pub to: String,
    /// `tcp/443`, `udp/53`, `sctp/3868`, `tcp/https` if the pod that is opened to calls a port so, or `icmp`.
    pub service: String,
}

/// Why a connection would come through or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Why {
    /// Whether it would, over every pair of addresses of one family; none when that cannot be told.
    pub allowed: Option<bool>,
    /// The generation of what the answer was read from; none from files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// One for each pair of addresses.
    pub answers: Vec<WhyAnswer>,
}

/// Why a connection between two addresses would come through or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyAnswer {
    /// The address that opens, or `node`.
    pub from: String,
    /// The address that is opened to.
    pub to: IpAddr,
    /// `tcp/443`, or `icmp`.
    pub service: String,
    /// Whether it would; none when that cannot be told.
    pub allowed: Option<bool>,
    /// What decided, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Where its packets go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The pods that have a say: first the one that opens. They are asked whether or not the way is known.
    pub ends: Vec<WhyEnd>,
    /// A connection of these ends that is there already: what was judged for it holds until the tables change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionRecord>,
}

/// Where the packets of a connection go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Way {
    /// Where they come from.
    pub from: Place,
    /// Where they go to.
    pub to: Place,
    /// Whether there is one; none when that cannot be told.
    pub open: Option<bool>,
    /// What is done with them, as in [`Flow::action`](crate::Flow::action).
    pub action: Option<String>,
    /// What that means, or why there is none and what to do.
    pub sentence: String,
}

/// Where an end is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// The pod that has the address.
    pub pod: Option<String>,
    /// The port of this node that it is behind.
    pub port: Option<String>,
    /// How that is.
    pub state: Option<PortState>,
    /// Why that is not up.
    pub reason: Option<String>,
    /// The peer that it is on.
    pub peer: Option<String>,
    /// The network it is in.
    pub network: Option<String>,
    /// Whether policies are asked about what goes through the port.
    pub policed: bool,
}

/// A pod that has a say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyEnd {
    /// The pod.
    pub pod: String,
    /// `ingress` or `egress`, seen from the pod.
    pub direction: String,
    /// What was decided there.
    pub allowed: bool,
    /// By which rule.
    pub rule: String,
    /// The tiers that were asked, the last of which decided; none for what is beyond policy.
    pub stages: Vec<WhyStage>,
    /// If it was denied: the smallest rule that would allow it here, where one can be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<WhyRemedy>,
}

/// A tier that was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyStage {
    /// `Admin`, `NetworkPolicy` or `Baseline`.
    pub tier: String,
    /// What came of it.
    pub outcome: String,
    /// The policies of it that select the pod, in the order in which they are tried.
    pub policies: Vec<WhyPolicy>,
}

/// A policy that selects a pod.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyPolicy {
    /// The policy.
    pub policy: String,
    /// Its rules of the direction, in order.
    pub rules: Vec<WhyRule>,
}

/// A rule of such a policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyRule {
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// `matches`, or what it missed by.
    pub fit: String,
}

/// The smallest rule that would allow what was denied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyRemedy {
    /// The rule that the YAML goes before; absent where the YAML is a policy of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The YAML.
    pub yaml: String,
}

//! What a packet path asks: classes, identities and verdicts. A plain value that never changes and shares what it can with
//! the one before; no question allocates.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::addresses::Prefixes;
use super::pages::{Pages, Shards};
use super::record::{PortName, Record};
use super::table::{Hit, Table};
use crate::model::{Action, Direction, Pod, PodName, Policy, PolicyName, Prefix, Protocol, Tier};

/// A class of pods that the same policies select: whatever is decided for one is decided for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subject(pub(crate) u32);

/// A class of peers that no rule can tell apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity(pub(crate) u32);

impl Identity {
    /// Every address that is no pod's and in no prefix of any policy.
    pub const OUTSIDE: Self = Self(0);
    /// The pod's own node, known by the port a packet came in by and never by its address. As a destination it is nobody in
    /// particular: what a pod opens to its node is told by the node's address.
    pub const OWN_NODE: Self = Self(u32::MAX);

    /// The number, small and dense but for [`OWN_NODE`](Self::OWN_NODE).
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Subject {
    /// The number, small and dense.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// A pod by number, which means something only to the tables it came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodNumber(pub(crate) u32);

/// A rule by number. Numbers mean something only to the tables they came from: ask [`Compiled::rule`] there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RuleId(pub u32);

impl RuleId {
    /// No policy decides, and pods are open then.
    pub const OPEN: Self = Self(0);
    /// From the pod's own node.
    pub const OWN_NODE: Self = Self(1);
    /// A pod to itself.
    pub const ITSELF: Self = Self(2);
    /// The tables know no such subject or identity; they let nothing through.
    pub const UNKNOWN: Self = Self(3);
    /// The first number a policy's rule may have.
    pub(super) const FIRST: u32 = 4;
}

/// What was decided, and by which rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether the connection may be opened.
    pub allow: bool,
    /// The rule.
    pub rule: RuleId,
}

impl Verdict {
    fn allow(rule: RuleId) -> Self {
        Self { allow: true, rule }
    }

    fn deny(rule: RuleId) -> Self {
        Self { allow: false, rule }
    }
}

/// What a rule is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleName<'a> {
    /// See [`RuleId::OPEN`].
    Open,
    /// See [`RuleId::OWN_NODE`].
    OwnNode,
    /// See [`RuleId::ITSELF`].
    Itself,
    /// See [`RuleId::UNKNOWN`].
    Unknown,
    /// The policy isolates the pod, and no rule let the connection through.
    Isolation {
        /// The first of those that isolate it.
        policy: &'a PolicyName,
        /// In which direction.
        direction: Direction,
    },
    /// A rule of a policy.
    Rule {
        /// The policy.
        policy: &'a PolicyName,
        /// In which of its lists.
        direction: Direction,
        /// Its place there, from 0.
        index: usize,
        /// The name it was given.
        name: Option<&'a str>,
    },
}

impl fmt::Display for RuleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("no policy decides: open"),
            Self::OwnNode => f.write_str("from the pod's own node"),
            Self::Itself => f.write_str("a pod to itself"),
            Self::Unknown => f.write_str("not in the tables"),
            Self::Isolation { policy, direction } => write!(f, "{policy}: isolated for {direction}, no rule matches"),
            Self::Rule { policy, direction, index, name: None } => write!(f, "{policy} {direction}[{index}]"),
            Self::Rule { policy, direction, index, name: Some(name) } => {
                write!(f, "{policy} {direction}[{index}] \"{name}\"")
            }
        }
    }
}

/// Where a connection is opened from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// An address, a pod's or another's.
    Address(IpAddr),
    /// The destination pod's own node.
    OwnNode,
}

/// What both ends decide; [`None`] where the end is no pod, or none that policies are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The verdict at the pod that opens.
    pub egress: Option<Verdict>,
    /// The verdict at the pod that is opened to.
    pub ingress: Option<Verdict>,
}

impl Decision {
    /// Whether both ends give leave.
    #[must_use]
    pub fn allow(&self) -> bool {
        [self.egress, self.ingress].iter().flatten().all(|verdict| verdict.allow)
    }
}

/// Everything of an identity that rules can see: the sets it is in and the names of its ports, both sorted.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Signature {
    pub(crate) sets: Vec<u32>,
    pub(crate) names: Vec<PortName>,
}

/// What is decided at a subject in one direction.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) tables: [Arc<Table>; 3],
    pub(crate) isolation: Option<RuleId>,
}

#[derive(Debug)]
pub(crate) struct SubjectClass {
    pub(crate) chains: [Chain; 2],
    pub(crate) names: Vec<PortName>,
}

impl SubjectClass {
    /// The names of the destination's ports: the subject's own for ingress, else the peer's.
    pub(crate) fn names<'a>(&'a self, direction: Direction, peer: &'a Signature) -> &'a [PortName] {
        if direction == Direction::Ingress { &self.names } else { &peer.names }
    }

    fn decide(&self, direction: Direction, peer: &Signature, protocol: Protocol, port: u16) -> Verdict {
        let chain = &self.chains[direction as usize];
        let names = self.names(direction, peer);
        let first = |tier: Tier| chain.tables[tier as usize].first(&peer.sets, names, protocol, port);
        let decided = |hit: Hit| match hit.action {
            Action::Accept => Some(Verdict::allow(hit.rule)),
            Action::Deny => Some(Verdict::deny(hit.rule)),
            Action::Pass => None,
        };
        if let Some(verdict) = first(Tier::Admin).and_then(decided) {
            return verdict;
        }
        if let Some(isolation) = chain.isolation {
            return first(Tier::NetworkPolicy).map_or(Verdict::deny(isolation), |hit| Verdict::allow(hit.rule));
        }
        first(Tier::Baseline).and_then(decided).unwrap_or(Verdict::allow(RuleId::OPEN))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PodEntry {
    pub(crate) pod: Arc<Pod>,
    pub(crate) subject: Option<Subject>,
    pub(crate) identities: Arc<[(IpAddr, Identity)]>,
}

/// Compiled policies over the pods there were.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub(super) pods: Pages<Option<PodEntry>>,
    pub(super) pod_numbers: Shards<PodName, u32>,
    /// Pods' addresses, with whose they are.
    pub(super) owners: Shards<IpAddr, (u32, Identity)>,
    pub(super) prefixes: Arc<Prefixes>,
    pub(super) subjects: Pages<Option<Arc<SubjectClass>>>,
    pub(super) identities: Pages<Option<Arc<Signature>>>,
    pub(super) records: Pages<Option<Arc<Record>>>,
    /// Which of the records has a rule, by the rule's number.
    pub(super) rules: Pages<u32>,
}

impl Compiled {
    /// May a pod of `subject` open a connection to (or be opened one by) `peer`? `port` is the destination's, and says nothing
    /// for [`Protocol::Other`]. A pod to itself is beyond policy, and for the caller to see, as identities are not single pods.
    #[must_use]
    pub fn verdict(
        &self,
        subject: Subject,
        direction: Direction,
        peer: Identity,
        protocol: Protocol,
        port: u16,
    ) -> Verdict {
        let own_node = peer == Identity::OWN_NODE;
        if own_node && direction == Direction::Ingress {
            return Verdict::allow(RuleId::OWN_NODE);
        }
        match (self.class(subject), self.signature(if own_node { Identity::OUTSIDE } else { peer })) {
            (Some(class), Some(signature)) => class.decide(direction, signature, protocol, port),
            _ => Verdict::deny(RuleId::UNKNOWN),
        }
    }

    /// What both ends decide of a connection between two addresses.
    #[must_use]
    pub fn decide(&self, from: Origin, to: IpAddr, protocol: Protocol, port: u16) -> Decision {
        let (source, peer) = match from {
            Origin::Address(address) => (self.pod_at(address), self.identity_of_address(address)),
            Origin::OwnNode => (None, Identity::OWN_NODE),
        };
        let destination = self.pod_at(to);
        if let (Some(source), Some(destination)) = (source, destination)
            && source.pod.name == destination.pod.name
        {
            let itself = Some(Verdict::allow(RuleId::ITSELF));
            return Decision { egress: itself, ingress: itself };
        }
        let at = |end: Option<&PodEntry>, direction, peer| {
            end.and_then(|end| end.subject).map(|subject| self.verdict(subject, direction, peer, protocol, port))
        };
        Decision {
            egress: at(source, Direction::Egress, self.identity_of_address(to)),
            ingress: at(destination, Direction::Ingress, peer),
        }
    }

    /// The class of a pod; [`None`] if there is no such pod, or it is on its node's network.
    #[must_use]
    pub fn subject_of_pod(&self, name: &PodName) -> Option<Subject> {
        self.pod(name)?.subject
    }

    /// The identity of a pod at each of its addresses; nothing for one on its node's network.
    #[must_use]
    pub fn identity_of_pod(&self, name: &PodName) -> &[(IpAddr, Identity)] {
        self.pod(name).map_or(&[], |entry| &entry.identities)
    }

    /// A pod's number.
    #[must_use]
    pub fn pod_number(&self, name: &PodName) -> Option<PodNumber> {
        self.pod_numbers.get(name).copied().map(PodNumber)
    }

    /// The pod that has this address, none on its node's network among them, and its identity there.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<(PodNumber, Identity)> {
        self.owners.get(&address).map(|(number, identity)| (PodNumber(*number), *identity))
    }

    /// The identity of whoever has this address.
    #[must_use]
    pub fn identity_of_address(&self, address: IpAddr) -> Identity {
        let owned = self.owners.get(&address).map(|(_, identity)| *identity);
        owned.unwrap_or_else(|| self.identity_of_prefix(Prefix::host(address)))
    }

    /// All prefixes that policies name, sorted. The longest that contains an address tells its identity, unless it is
    /// [a pod's](Self::pod_addresses); if none does, [`Identity::OUTSIDE`].
    pub fn prefixes(&self) -> impl Iterator<Item = (Prefix, Identity)> {
        self.prefixes.entries().iter().copied()
    }

    /// The addresses of all pods but those on their node's network, in no order. They come before any prefix.
    pub fn pod_addresses(&self) -> impl Iterator<Item = (IpAddr, Identity)> {
        self.owners.iter().map(|(address, (_, identity))| (*address, *identity))
    }

    /// The pods, sorted by name.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> {
        let mut pods: Vec<&Pod> = self.pods.iter().flatten().map(|entry| &*entry.pod).collect();
        pods.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        pods.into_iter()
    }

    /// What a rule is called; [`None`] for a number of other tables.
    #[must_use]
    pub fn rule(&self, rule: RuleId) -> Option<RuleName<'_>> {
        match rule {
            RuleId::OPEN => return Some(RuleName::Open),
            RuleId::OWN_NODE => return Some(RuleName::OwnNode),
            RuleId::ITSELF => return Some(RuleName::Itself),
            RuleId::UNKNOWN => return Some(RuleName::Unknown),
            RuleId(_) => {}
        }
        let record = self.records.get(*self.rules.get(rule.0)?)?.as_ref()?;
        let policy = &record.policy.name;
        for direction in Direction::BOTH {
            if record.isolation(direction) == rule {
                return Some(RuleName::Isolation { policy, direction });
            }
            if let Some(index) = record.rules(direction).iter().position(|known| known.number == rule) {
                let name = record.policy.rules(direction)[index].name.as_deref();
                return Some(RuleName::Rule { policy, direction, index, name });
            }
        }
        None
    }

    /// How many classes of subjects and how many identities there are.
    #[must_use]
    pub fn classes(&self) -> (usize, usize) {
        (self.subjects.iter().flatten().count(), self.identities.iter().flatten().count())
    }

    pub(crate) fn class(&self, subject: Subject) -> Option<&SubjectClass> {
        self.subjects.get(subject.0)?.as_deref()
    }

    pub(crate) fn signature(&self, identity: Identity) -> Option<&Signature> {
        self.identities.get(identity.0)?.as_deref()
    }

    pub(crate) fn policy(&self, name: &PolicyName) -> Option<&Policy> {
        let mut policies = self.records.iter().flatten().map(|record| &*record.policy);
        policies.find(|policy| policy.name == *name)
    }

    fn pod(&self, name: &PodName) -> Option<&PodEntry> {
        self.pods.get(*self.pod_numbers.get(name)?)?.as_ref()
    }

    /// The pod that has this address, none on its node's network among them.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<&PodEntry> {
        self.pods.get(self.owners.get(&address)?.0)?.as_ref()
    }

    /// The identity of what lies in this prefix and in none longer.
    pub(crate) fn identity_of_prefix(&self, prefix: Prefix) -> Identity {
        self.prefixes.covering(prefix)
    }
}

//! The policy as workers ask it: from ports and addresses to classes, and from those to a verdict.
//!
//! ```text
//! Opening --from.port, to.port--> Place (a pod, the node, elsewhere) --> subject and identity --> Compiled::verdict, at each end that is a pod
//! ```
//!
//! A pod behind a port is known by the port: what it writes into a packet is an allegation. With an address of its own, or one of the
//! link, which says nothing of who has it, it is itself; with another pod's, or one that is nobody's, it opens nothing; a packet to
//! an address behind it is for whoever that is. Who comes by a port without a pod, another node's pod among them, is known by the address. The node's own port
//! is beyond policy, but not for a pod's address: a node that forwards would reflect a denied pod's packets past it. Nothing here
//! allocates, locks or waits.

use std::net::IpAddr;
use std::sync::Arc;

use podlane_dataplane::PortId;
use podlane_dataplane::policy::{End, Leasing, Opening, Policy, Rule, Verdict};
use podlane_policy::Compiled;
use podlane_policy::compile::{Identity, PodNumber, RuleId, Subject};
use podlane_policy::model::{Direction, PodName, Protocol};

use super::places::{Place, Places};

/// What is behind a port, in the terms of one compilation.
#[derive(Debug)]
enum Stand {
    Elsewhere,
    OwnNode,
    Pod(Resident),
    /// A pod that the tables do not know, or that is beyond policy where it cannot be, or a port that goes: nothing passes.
    Unknown,
}

/// A pod behind a port, perhaps one of several.
#[derive(Debug)]
struct Resident {
    number: PodNumber,
    /// Whether its addresses at this port come over DHCP.
    leases: bool,
    subject: Subject,
    identities: Box<[(IpAddr, Identity)]>,
}

impl Resident {
    /// Who it is with an address of its own or of the link.
    fn identity(&self, address: IpAddr) -> Option<Identity> {
        let own = self.identities.iter().find(|(known, _)| *known == address);
        let on_link = || {
            let family = self.identities.iter().find(|(known, _)| known.is_ipv4() == address.is_ipv4());
            family.or_else(|| self.identities.first()).filter(|_| is_on_link(address))
        };
        own.or_else(on_link).map(|(_, identity)| *identity)
    }

    /// Whether it has an address of its own in the family of this one.
    fn has_own(&self, family: IpAddr) -> bool {
        self.identities.iter().any(|(known, _)| known.is_ipv4() == family.is_ipv4())
    }
}

/// Whether an address is good on its link only, or none.
fn is_on_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    }
}

/// One end of a connection, as policies see it.
struct Party {
    identity: Identity,
    /// The pod whose policies decide here.
    subject: Option<Subject>,
}

/// Compiled policies, and which pod is behind which port.
#[derive(Debug)]
pub struct Judge {
    compiled: Compiled,
    places: Arc<Places>,
    stands: Box<[Stand]>,
}

impl Judge {
    /// Decides by these tables for what is at these places.
    #[must_use]
    pub fn new(compiled: Compiled, places: Arc<Places>) -> Self {
        let stand = |(place, leases): (&Place, bool)| stand(&compiled, place, leases);
        let stands = places.all().map(stand).collect();
        Self { compiled, places, stands }
    }

    /// The tables it decides by.
    #[must_use]
    pub const fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// What a rule of its verdicts is called; none for a number of other tables.
    #[must_use]
    pub fn rule_name(&self, rule: Rule) -> Option<String> {
        self.compiled.rule(RuleId(rule.0)).map(|rule| rule.to_string())
    }

    /// What is behind each port.
    #[must_use]
    pub const fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// The pods behind ports that the tables do not know, so that nothing passes there.
    pub fn unknown(&self) -> impl Iterator<Item = &PodName> {
        let named = |place: &'_ Place| matches!(place, Place::Pod(_));
        let places = self.places.all().map(|(place, _)| place).zip(&self.stands);
        let places = places.filter(move |(place, _)| named(place));
        places.filter_map(|(place, stand)| match (place, stand) {
            (Place::Pod(name), Stand::Unknown) => Some(name),
            _ => None,
        })
    }

    fn stand(&self, port: PortId) -> &Stand {
        // Paths have numbers past all ports.
        self.stands.get(port.index()).unwrap_or(&Stand::Elsewhere)
    }

    /// Whether one pod is behind both ports, which may be the same.
    fn is_itself(&self, one: PortId, other: PortId) -> bool {
        match (self.stand(one), self.stand(other)) {
            (Stand::Pod(one), Stand::Pod(other)) => one.number == other.number,
            _ => false,
        }
    }

    /// Whether a pod is behind a port that has its addresses over DHCP.
    fn leases(&self, port: PortId) -> bool {
        matches!(self.stand(port), Stand::Pod(Resident { leases: true, .. }))
    }

    /// One end; none that can be told where nothing may pass.
    fn party(&self, end: &End, opens: bool) -> Option<Party> {
        match self.stand(end.port) {
            Stand::Unknown => None,
            Stand::OwnNode if opens && self.compiled.owner(end.address).is_none() => {
                Some(Party { identity: Identity::OWN_NODE, subject: None })
            }
            Stand::OwnNode | Stand::Elsewhere => {
                Some(Party { identity: self.compiled.identity_of_address(end.address), subject: None })
            }
            Stand::Pod(resident) => {
                let subject = Some(resident.subject);
                if let Some(identity) = resident.identity(end.address) {
                    return Some(Party { identity, subject });
                }
                match self.compiled.owner(end.address) {
                    Some((owner, _)) if owner != resident.number => None,
                    None if opens && resident.has_own(end.address) => None,
                    _ => Some(Party { identity: self.compiled.identity_of_address(end.address), subject }),
                }
            }
        }
    }
}

impl Policy for Judge {
    fn verdict(&self, opening: &Opening) -> Verdict {
        let Opening { from, to, protocol, port, leasing } = opening;
        let (Some(source), Some(destination)) = (self.party(from, true), self.party(to, false)) else {
            return deny(RuleId::UNKNOWN);
        };
        if self.is_itself(from.port, to.port) {
            return allow(RuleId::ITSELF);
        }
        let protocol = Protocol::of_number(*protocol);
        let mut rule = RuleId::OPEN;
        // How it comes by its addresses, and keeps them, is no more a pod's to be refused than ARP: its policies speak of what it does with them.
        let asks = *leasing == Leasing::Asking && self.leases(from.port);
        if let Some(subject) = source.subject.filter(|_| !asks) {
            let at = self.compiled.verdict(subject, Direction::Egress, destination.identity, protocol, *port);
            if !at.allow {
                return deny(at.rule);
            }
            rule = at.rule;
        }
        let is_answered = *leasing == Leasing::Answering && self.leases(to.port);
        if let Some(subject) = destination.subject.filter(|_| !is_answered) {
            let at = self.compiled.verdict(subject, Direction::Ingress, source.identity, protocol, *port);
            if !at.allow {
                return deny(at.rule);
            }
            // Of two that allow, one that a policy has says more than that none has a say.
            rule = if at.rule == RuleId::OPEN { rule } else { at.rule };
        }
        allow(rule)
    }
}

fn stand(compiled: &Compiled, place: &Place, leases: bool) -> Stand {
    let name = match place {
        Place::Elsewhere => return Stand::Elsewhere,
        Place::OwnNode => return Stand::OwnNode,
        Place::Gone => return Stand::Unknown,
        Place::Pod(name) => name,
    };
    let known = compiled.pod_number(name).zip(compiled.subject_of_pod(name));
    known.map_or(Stand::Unknown, |(number, subject)| {
        Stand::Pod(Resident { number, leases, subject, identities: compiled.identity_of_pod(name).into() })
    })
}

const fn allow(rule: RuleId) -> Verdict {
    Verdict { allow: true, rule: Rule(rule.0) }
}

const fn deny(rule: RuleId) -> Verdict {
    Verdict { allow: false, rule: Rule(rule.0) }
}

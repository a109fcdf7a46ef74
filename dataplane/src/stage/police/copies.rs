//! Flooded packets under policy: every copy is judged for its receiver, and none opens a connection.
//!
//! What a flood is for (a group, or a station whose port is not known yet) has no one receiver that could answer within a connection. So
//! nothing is remembered; the answer is judged by what is known when it comes.

use podlane_wire::{Icmpv6Type, IpProtocol};

use crate::{
    flow::Class,
    ids::PortId,
    stage::{
        apply::{Packet, Pass},
        dispatch::Exits,
        police::Parties,
    },
};

/// Whether a copy of a flooded packet may go to the port `to`. A refusal is remembered.
pub(crate) fn admits_copy(packet: &Packet<'_>, to: PortId, pass: &Pass<'_>, exits: &mut Exits) -> bool {
    let key = packet.key;
    if !pass.tables.is_policed_between(key.port(), to) {
        return true;
    }
    let Some(enforcement) = pass.policy else { return false };
    if !is_subject(packet) {
        return true;
    }
    let Some(parties) = pass.zone(key).and_then(|zone| Parties::of(key, zone, to)) else { return false };
    let (connection, side) = parties.key();
    let known = pass.shared.connections.find(&connection, pass.now);
    let answers = known.is_some_and(|known| known.opener != side && known.places == parties.places(side));
    let opening = if answers { parties.backward() } else { parties.forward() };
    let verdict = enforcement.policy.verdict(&opening);
    if !verdict.allow {
        exits.denials.count(&opening, verdict.rule, pass.now);
    }
    verdict.allow
}

/// Whether policy decides about a packet: it is neither ARP nor neighbour discovery nor what tells a group who listens to it.
fn is_subject(packet: &Packet<'_>) -> bool {
    let kind = packet.key.kind();
    let to_group = || packet.key.addresses().is_some_and(|(_, to)| to.is_multicast());
    match (kind.class, IpProtocol(kind.protocol)) {
        (Class::Ipv4, IpProtocol::IGMP) => !to_group(),
        (Class::Ipv6, IpProtocol::ICMPV6) => {
            !Icmpv6Type((packet.key.ports().0 >> 8) as u8).is_listener_discovery() || !to_group()
        }
        (Class::Ipv4 | Class::Ipv6 | Class::Other, _) => true,
        (Class::Nd | Class::Arp, _) => false,
    }
}

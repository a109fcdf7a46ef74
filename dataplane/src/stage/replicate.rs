//! Flooding: copies to every other port of a network, and to its peers where the network floods to them (head-end replication:
//! RFC 7348, 4.2, without its multicast group in the underlay).

use crate::{
    counters::SWITCH,
    drops::DropReason,
    flow::{Program, TagEdit},
    ids::{NetworkId, PathId, PortId},
    stage::{
        apply::{Packet, Pass, forward},
        dispatch::Exits,
        encapsulate,
        resolve::way_into,
        underlay,
    },
    tables::{Member, Network},
};

/// One place a flooded packet goes to.
enum Way<'a> {
    Port(&'a Member),
    Tunnel(PathId),
}

/// Copies to every other port of the packet's network and to its peers, under the network's caps; the last copy is the packet
/// itself. What came out of a tunnel goes into none.
#[cold]
pub(super) fn flood(packet: Packet<'_>, pass: &Pass<'_>, exits: &mut Exits) {
    let number = pass.tables.network_at(packet.key.port(), packet.key.vlan());
    let Some((number, network)) = number.and_then(|number| Some((number, pass.tables.network(number)?))) else {
        return exits.drop(pass.ingress, packet.frame, DropReason::VlanNotAllowed);
    };
    if !exits.limits.flood(number, network.flood_limit, pass.now) {
        return exits.drop(pass.ingress, packet.frame, DropReason::FloodLimit);
    }
    let here = packet.key.port();
    let members = network.members.iter().filter(|member| member.port != here).map(Way::Port);
    let peers: &[PathId] = if here.path().is_none() { &network.replicate_to } else { &[] };
    let mut ways = members.chain(peers.iter().copied().map(Way::Tunnel)).peekable();
    while let Some(way) = ways.next() {
        if ways.peek().is_none() {
            return send(packet, &way, (number, network), (pass, pass.ingress), exits);
        }
        if let Some(copy) = copy(&packet, exits) {
            send(copy, &way, (number, network), (pass, SWITCH), exits);
        }
    }
    exits.drop(pass.ingress, packet.frame, DropReason::NoDestination);
}

/// Sends one copy one way. `origin` is whom the ledger has it from.
fn send(
    packet: Packet<'_>,
    way: &Way<'_>,
    (number, network): (NetworkId, &Network),
    (pass, origin): (&Pass<'_>, PortId),
    exits: &mut Exits,
) {
    let path = match way {
        Way::Port(member) => {
            let program = Program::bridge(member.port, member.tag_edit(packet.key.vlan()), member.mtu);
            return forward(packet, &program, origin, exits);
        }
        Way::Tunnel(path) => *path,
    };
    if !exits.limits.replicate(number, network.replication_limit, pass.now) {
        return exits.drop(origin, packet.frame, DropReason::ReplicationLimit);
    }
    into_tunnel(packet, path, (pass, origin), exits);
}

/// Sends a packet of no flow into the tunnel of a path.
pub(super) fn into_tunnel(packet: Packet<'_>, path: PathId, (pass, origin): (&Pass<'_>, PortId), exits: &mut Exits) {
    let tag = if packet.key.vlan().is_tagged() && packet.layout.l3 != 0 { TagEdit::Pop } else { TagEdit::Keep };
    match way_into(pass.tables, pass.shared, path, packet.key, tag) {
        Ok(Some(program)) => encapsulate::of_no_flow(packet, &program, (pass, origin), exits),
        Ok(None) => {
            underlay::seek(path, pass, exits);
            exits.drop(origin, packet.frame, DropReason::UnderlayUnresolved);
        }
        Err(reason) => exits.drop(origin, packet.frame, reason),
    }
}

/// A copy of a packet, made by the switch; one that cannot be made dies where it would have begun.
fn copy<'a>(packet: &Packet<'a>, exits: &mut Exits) -> Option<Packet<'a>> {
    let frame = exits.copy(&packet.frame);
    exits.counters.made(packet.length as usize);
    if frame.is_none() {
        exits.counters.dropped(SWITCH, DropReason::NoFrame);
    }
    Some(Packet { frame: frame?, key: packet.key, layout: packet.layout, length: packet.length })
}

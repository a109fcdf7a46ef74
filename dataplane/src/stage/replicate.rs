//! Flooding: copies to every other port of a network, and to its peers where the network floods to them (head-end replication:
//! RFC 7348, 4.2, without its multicast group in the underlay).
//!
//! Multicast is flooded too, never cached: so its cost stays under the network's flood limit, and each packet meets the memberships of its
//! moment. In a network that snoops, it goes to those who listen: see [`flow::groups`](crate::flow::groups).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::{IpProtocol, MacAddr};

use crate::{
    counters::SWITCH,
    drops::DropReason,
    flow::{
        Class, FlowKey, Program, TagEdit,
        groups::{Family, Place, Querier},
    },
    ids::{NetworkId, PathId, PortId},
    slow::{self, Snooped},
    stage::{
        apply::{Packet, Pass, forward},
        claims::{Message, ROOM, untagged},
        dhcp,
        dispatch::Exits,
        encapsulate, outer_mac, police,
        resolve::way_into,
        underlay,
    },
    tables::{Member, Network, PortTable},
};

/// One place a flooded packet goes to.
enum Way<'a> {
    Port(&'a Member),
    Tunnel(PathId),
}

impl Way<'_> {
    /// The port it leads to, which may be a path's.
    const fn port(&self) -> PortId {
        match self {
            Self::Port(member) => member.port,
            Self::Tunnel(path) => path.port(),
        }
    }
}

/// Whom a flooded packet is for.
#[derive(Clone, Copy)]
enum Audience {
    Everyone,
    /// A report of memberships: who hears another's keeps quiet about the same group (RFC 2236, 3), so only those that keep account
    /// may (RFC 4541, 2.1.1), among them the switches of other nodes.
    Queriers(Family),
    Listeners(IpAddr),
    /// An announcement among stated stations: none needs it, since what they send to the address reaches the station whatever MAC address
    /// they remember. Copies for all of five hundred pods were a system call each, in both workers, and a pod that came right afterwards
    /// waited for them (4 ms of 8, `podlane-perf cni`).
    Nobody,
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
    let audience = match network.snooping {
        _ if is_known_to_all(&packet, network, pass) => Audience::Nobody,
        true => audience(&packet, (number, network), pass),
        false => Audience::Everyone,
    };
    let hears =
        |port| dhcp::lets_in(pass.tables, port, packet.key) && audience.includes(Place { network: number, port }, pass);
    let others = network.members.iter().filter(|member| member.port != here);
    let members = others.filter(|member| hears(member.port)).map(Way::Port);
    let peers: &[PathId] = if here.path().is_none() { &network.replicate_to } else { &[] };
    let copies = peers.iter().filter(|path| hears(path.port())).count() as u32;
    let allowed = copies == 0 || exits.limits.replicate(number, network, copies, pass.now);
    let refused = if allowed { 0 } else { u64::from(copies) };
    let peers = peers.iter().filter(|path| allowed && hears(path.port()));
    let (mut last, mut denied) = (None, 0);
    for way in members.chain(peers.copied().map(Way::Tunnel)) {
        if !police::admits_copy(&packet, way.port(), pass, exits) {
            denied += 1;
            continue;
        }
        if let Some(former) = last.replace(way)
            && let Some(copy) = copy(&packet, exits)
        {
            send(copy, &former, (pass, SWITCH), exits);
        }
    }
    // Refused before they were made, copies cost nothing. Where there is no other way, the packet itself is one of them.
    let mut itself = u64::from(last.is_none());
    for (copies, reason) in [(refused, DropReason::ReplicationLimit), (denied, DropReason::PolicyDenied)] {
        if copies > 0 {
            exits.counters.not_made(copies - itself, packet.length as usize, reason);
            itself = 0;
        }
    }
    if let Some(way) = last {
        return send(packet, &way, (pass, pass.ingress), exits);
    }
    let reason = match audience {
        _ if refused > 0 => DropReason::ReplicationLimit,
        _ if denied > 0 => DropReason::PolicyDenied,
        Audience::Everyone => DropReason::NoDestination,
        Audience::Queriers(_) | Audience::Listeners(_) | Audience::Nobody => DropReason::NoListener,
    };
    exits.drop(pass.ingress, packet.frame, reason);
}

impl Audience {
    fn includes(self, place: Place, pass: &Pass<'_>) -> bool {
        let (groups, now) = (&pass.shared.groups, pass.now);
        match self {
            Self::Everyone => true,
            Self::Nobody => false,
            Self::Queriers(family) => place.port.path().is_some() || groups.is_router(place, family, now),
            Self::Listeners(group) => {
                groups.is_member(place, group, now)
                    || groups.is_router(place, Family::of(group), now)
                    || groups.is_overfull(place, now)
            }
        }
    }
}

/// Whether a packet announces what nobody needs to be told: an address that its port states, or one that nobody else can have had, in a network all of
/// whose stations are stated and here. Elsewhere the address may have been another's, whom the switch would still find.
fn is_known_to_all(packet: &Packet<'_>, network: &Network, pass: &Pass<'_>) -> bool {
    let (key, bytes) = (packet.key, packet.frame.bytes());
    let message = Message::of(key.kind().class, bytes, packet.layout);
    let Some(address) = message.and_then(|message| message.announces()) else { return false };
    let mac = key.source_mac();
    let is_here = |port: &PortId| port.path().is_none();
    let states_all = |member: &Member| pass.tables.port(member.port).is_some_and(PortTable::states_all);
    pass.port.is_some_and(PortTable::states_all)
        && network.replicate_to.is_empty()
        && network.members.iter().all(states_all)
        && network.stations.values().all(is_here)
        && (network.neighbours.get(&address) == Some(&mac) || address == IpAddr::V6(mac.link_local()))
}

/// Whom a packet of a network that snoops is for; learns from it what it says about memberships.
fn audience(packet: &Packet<'_>, (number, network): (NetworkId, &Network), pass: &Pass<'_>) -> Audience {
    let Some(group) = group_of(packet.key) else { return Audience::Everyone };
    let (groups, family) = (&pass.shared.groups, Family::of(group));
    let place = |port| Place { network: number, port };
    let reported = speaks_of_memberships(packet.key) && hear(packet, place(packet.key.port()), pass);
    let querier = groups.querier(number, family, pass.now);
    if reported {
        return if querier == Querier::None { Audience::Everyone } else { Audience::Queriers(family) };
    }
    // Neighbour discovery must reach whoever it is for, reported or not.
    let restricted =
        querier == Querier::Settled && packet.key.kind().class != Class::Nd && !slow::always_flooded(group);
    // A group that nobody registered goes everywhere, which RFC 4541, 2.1.2 (3), leaves open: some stations never report.
    let registered = |port| groups.is_member(place(port), group, pass.now);
    let is_registered = || {
        let here = network.members.iter().any(|member| registered(member.port));
        here || network.replicate_to.iter().any(|path| registered(path.port()))
    };
    if restricted && is_registered() { Audience::Listeners(group) } else { Audience::Everyone }
}

/// Learns from a message about memberships. Returns whether it was a report.
#[cold]
fn hear(packet: &Packet<'_>, place: Place, pass: &Pass<'_>) -> bool {
    let mut room = [0; ROOM];
    let bytes = untagged(packet.frame.bytes(), packet.layout, &mut room);
    let groups = &pass.shared.groups;
    match slow::membership(bytes, |group, joins| groups.report(place, group, joins, pass.now)) {
        Some(Snooped::Report) => true,
        Some(Snooped::Querier) => {
            // Believed if all stations hear it: memberships count from its question on.
            if let Some(family) = asked_everyone(packet.key) {
                groups.query(place, family, pass.now);
            }
            false
        }
        None => false,
    }
}

/// The group a packet is for.
fn group_of(key: &FlowKey) -> Option<IpAddr> {
    let (_, destination) = key.addresses()?;
    let MacAddr([first, ..]) = key.destination_mac();
    (first & 1 != 0 && destination.is_multicast()).then_some(destination)
}

/// Whether a packet may be IGMP or MLD.
fn speaks_of_memberships(key: &FlowKey) -> bool {
    let kind = key.kind();
    match kind.class {
        Class::Ipv4 => kind.protocol == IpProtocol::IGMP.0,
        Class::Ipv6 => kind.protocol == IpProtocol::ICMPV6.0,
        Class::Nd | Class::Arp | Class::Other => false,
    }
}

/// The family whose every station is addressed, by the group and by the MAC address that goes with it.
fn asked_everyone(key: &FlowKey) -> Option<Family> {
    const ALL4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
    const ALL6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    match (key.addresses()?.1, key.destination_mac()) {
        (IpAddr::V4(ALL4), mac) if mac == MacAddr::of_ipv4_multicast(ALL4) => Some(Family::Ipv4),
        (IpAddr::V6(ALL6), mac) if mac == MacAddr::of_ipv6_multicast(ALL6) => Some(Family::Ipv6),
        _ => None,
    }
}

/// Sends one copy one way. `origin` is whom the ledger has it from.
fn send(mut packet: Packet<'_>, way: &Way<'_>, (pass, origin): (&Pass<'_>, PortId), exits: &mut Exits) {
    match way {
        Way::Port(member) => {
            if let Some(outer) = pass.tables.port(member.port).and_then(|port| port.outer_mac) {
                outer_mac::speak_as(&mut packet, outer);
            }
            let program = Program::bridge(member.port, member.tag_edit(packet.key.vlan()), member.mtu);
            forward(packet, &program, origin, exits);
        }
        Way::Tunnel(path) => into_tunnel(packet, *path, (pass, origin), exits),
    }
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

//! Packets for the gateway itself, and errors about packets it could not send on.
//!
//! What to say is the slow path's ([`slow`]); here it is given a frame, a tag and a way out. A
//! reply takes the place of the packet it answers in the ledger; an error is a packet of the switch's own.

use core::net::IpAddr;

use podlane_rings::Frame;

use crate::{
    counters::SWITCH,
    drops::DropReason,
    flow::{FlowKey, TagEdit},
    ids::{NetworkId, PathId, PortId},
    slow::{self, Problem, Quiet, Reply},
    stage::{
        apply::{Packet, Pass, edit_tag},
        claims::{Message, ROOM, untagged},
        dispatch::Exits,
        replicate::into_tunnel,
        shared::neighbour_key,
        underlay,
    },
    tables::{Gateway, Network, NextHop},
};

/// Answers a packet that is for the gateway, or says why it could not be routed; `reason` names its end otherwise.
#[cold]
pub(super) fn answer(packet: Packet<'_>, reason: DropReason, pass: &Pass<'_>, exits: &mut Exits) {
    match reason {
        DropReason::ForGateway => reply(packet, pass, exits),
        DropReason::NeighbourUnresolved => {
            seek_next_hop(&packet, pass, exits);
            exits.drop(pass.ingress, packet.frame, reason);
        }
        DropReason::UnderlayUnresolved => seek_peer(packet, pass, exits),
        _ => refuse(packet, reason, 0, pass, exits),
    }
}

/// Drops a packet by `reason` and tells its sender, where the RFCs have an error for that and the rate limit allows it.
#[cold]
pub(super) fn refuse(packet: Packet<'_>, reason: DropReason, mtu: u16, pass: &Pass<'_>, exits: &mut Exits) {
    let problem = match reason {
        DropReason::TtlExpired => Some(Problem::TimeExceeded),
        DropReason::TooBig => Some(Problem::TooBig { mtu }),
        DropReason::NoRoute => Some(Problem::NoRoute),
        _ => None,
    };
    if let Some(problem) = problem {
        tell(&packet, problem, pass, exits);
    }
    exits.drop(pass.ingress, packet.frame, reason);
}

/// The same where there may be no gateway: the packet was bridged, so its sender is told as if by its destination, as Linux does
/// for its own tunnels.
#[cold]
pub(super) fn refuse_as_destination(packet: Packet<'_>, mtu: u16, pass: &Pass<'_>, exits: &mut Exits) {
    tell_as_destination(&packet, Problem::TooBig { mtu }, pass, exits);
    exits.drop(pass.ingress, packet.frame, DropReason::TooBig);
}

/// The network a packet came in by.
fn network<'a>(packet: &Packet<'_>, pass: &Pass<'a>) -> Option<(NetworkId, &'a Network)> {
    let number = pass.tables.network_at(packet.key.port(), packet.key.vlan())?;
    Some((number, pass.tables.network(number)?))
}

/// The network a packet came in by, with its gateway.
fn place<'a>(packet: &Packet<'_>, pass: &Pass<'a>) -> Option<(NetworkId, &'a Network, &'a Gateway)> {
    let (number, network) = network(packet, pass)?;
    Some((number, network, network.gateway.as_ref()?))
}

fn reply(packet: Packet<'_>, pass: &Pass<'_>, exits: &mut Exits) {
    let mut room = [0; ROOM];
    if let Some(answer) = answer_for_station(&packet, pass, exits) {
        exits.pool.give(packet.frame);
        return send_back(Packet::made(answer, packet.key), pass, pass.ingress, exits);
    }
    let said = place(&packet, pass).ok_or(DropReason::ForGateway).and_then(|(number, network, gateway)| {
        let question = untagged(packet.frame.bytes(), packet.layout, &mut room);
        let voice = Voice { number, gateway: asked(&packet, pass, network, gateway), now: pass.now };
        voice.say(exits, |gateway, out| match slow::answer(gateway, question, out) {
            Err(Quiet::ClosedPort) => slow::error(gateway, Problem::PortUnreachable, question, out),
            answered => answered,
        })
    });
    match said {
        Ok(frame) => {
            exits.pool.give(packet.frame);
            send_back(Packet::made(frame, packet.key), pass, pass.ingress, exits);
        }
        Err(reason) => exits.drop(pass.ingress, packet.frame, reason),
    }
}

/// The answer to a question for a station that does not hear it, or whose own answer would not do: what it would say (RFC 9161), and
/// for one that shares the MAC address of the uplink it is asked by, with that address.
fn answer_for_station(packet: &Packet<'_>, pass: &Pass<'_>, exits: &mut Exits) -> Option<Frame> {
    let (number, network) = network(packet, pass)?;
    let target = Message::of(packet.key.kind().class, packet.frame.bytes(), packet.layout)?.asks_for()?;
    let own = *network.neighbours.get(&target)?;
    let mac = match pass.port.and_then(|port| port.outer_mac) {
        Some(outer) => outer,
        None => network.stations.get(&own)?.path().map(|_| own)?,
    };
    let mut room = [0; ROOM];
    let question = untagged(packet.frame.bytes(), packet.layout, &mut room);
    let speaker = slow::Gateway { mac, ipv4: &[], ipv6: &[], link_local: mac.link_local(), mtu: u16::MAX };
    let voice = Voice { number, gateway: speaker, now: pass.now };
    voice.say(exits, |_, out| slow::proxy_answer(target, mac, question, out)).ok()
}

/// Whom a question is put to: the network's own gateway, or one of another network of the VRF, whose addresses are the
/// switch's too. The question came by our MAC address, so the answer leaves from it.
fn asked<'a>(packet: &Packet<'_>, pass: &Pass<'a>, network: &Network, own: &'a Gateway) -> slow::Gateway<'a> {
    let elsewhere = || {
        let (_, destination) = packet.key.addresses()?;
        let hop = pass.tables.vrfs.get(network.vrf.index())?.route(destination)?;
        let (NextHop::Connected(number) | NextHop::Via(number, _)) = hop else { return None };
        let gateway = pass.tables.network(number)?.gateway.as_ref()?;
        (gateway.has(destination) && !own.has(destination)).then_some(gateway)
    };
    match elsewhere() {
        Some(Gateway { ipv4, ipv6, .. }) => slow::Gateway { ipv4, ipv6, ..own.speaker() },
        None => own.speaker(),
    }
}

fn tell(packet: &Packet<'_>, problem: Problem, pass: &Pass<'_>, exits: &mut Exits) {
    let Some((number, _, gateway)) = place(packet, pass) else { return };
    speak(packet, problem, (number, gateway.speaker()), pass, exits);
}

/// Tells the sender of a bridged packet, in the name of the station it was sent to.
fn tell_as_destination(packet: &Packet<'_>, problem: Problem, pass: &Pass<'_>, exits: &mut Exits) {
    let Some(((number, _), (_, destination))) = network(packet, pass).zip(packet.key.addresses()) else { return };
    let mac = packet.key.destination_mac();
    let nobody = slow::Gateway { mac, ipv4: &[], ipv6: &[], link_local: mac.link_local(), mtu: u16::MAX };
    let (ipv4, ipv6);
    let speaker = match destination {
        IpAddr::V4(v4) => {
            ipv4 = [(v4, 32)];
            slow::Gateway { ipv4: &ipv4, ..nobody }
        }
        IpAddr::V6(v6) => {
            ipv6 = [(v6, 128)];
            slow::Gateway { ipv6: &ipv6, ..nobody }
        }
    };
    speak(packet, problem, (number, speaker), pass, exits);
}

fn speak(
    packet: &Packet<'_>,
    problem: Problem,
    (number, gateway): (NetworkId, slow::Gateway<'_>),
    pass: &Pass<'_>,
    exits: &mut Exits,
) {
    let mut room = [0; ROOM];
    let offender = untagged(packet.frame.bytes(), packet.layout, &mut room);
    let voice = Voice { number, gateway, now: pass.now };
    let said = voice.say(exits, |gateway, out| slow::error(gateway, problem, offender, out));
    // An error that may not or cannot be said is no loss of a packet: the offender's end is counted already.
    if let Ok(frame) = said {
        exits.counters.made(frame.len());
        send_back(Packet::made(frame, packet.key), pass, SWITCH, exits);
    }
}

/// Asks for the way to the peer a packet should go to, and tells its sender once nobody has answered.
fn seek_peer(packet: Packet<'_>, pass: &Pass<'_>, exits: &mut Exits) {
    if let Some(path) = path_of(&packet, pass)
        && underlay::seek(path, pass, exits)
    {
        let routed = place(&packet, pass).is_some_and(|(_, _, gateway)| gateway.mac == packet.key.destination_mac());
        let say = if routed { tell } else { tell_as_destination };
        say(&packet, Problem::HostUnreachable, pass, exits);
    }
    exits.drop(pass.ingress, packet.frame, DropReason::UnderlayUnresolved);
}

/// The path a packet would take: that of its destination, or of its next hop where it is routed.
fn path_of(packet: &Packet<'_>, pass: &Pass<'_>) -> Option<PathId> {
    let (number, network) = network(packet, pass)?;
    let destination = packet.key.destination_mac();
    let (number, mac) = if network.gateway.as_ref().is_some_and(|gateway| gateway.mac == destination) {
        let (number, hop) = next_hop(packet, pass)?;
        (number, pass.shared.neighbour(number, pass.tables.network(number)?, hop)?)
    } else {
        (number, destination)
    };
    pass.shared.station(number, pass.tables.network(number)?, mac)?.path()
}

/// Asks who has the next hop, not more often than is decent, and tells the sender once nobody has answered.
fn seek_next_hop(packet: &Packet<'_>, pass: &Pass<'_>, exits: &mut Exits) {
    let Some((number, target)) = next_hop(packet, pass) else { return };
    let advice = exits.limits.asked.wanted(&neighbour_key(number, target), pass.now);
    if advice.ask {
        ask(number, target, packet.key, pass, exits);
    }
    if advice.tell {
        tell(packet, Problem::HostUnreachable, pass, exits);
    }
}

/// Where a packet to be routed would go next.
fn next_hop(packet: &Packet<'_>, pass: &Pass<'_>) -> Option<(NetworkId, IpAddr)> {
    let (_, network, _) = place(packet, pass)?;
    let (_, destination) = packet.key.addresses()?;
    match pass.tables.vrfs.get(network.vrf.index())?.route(destination)? {
        NextHop::Connected(number) => Some((number, destination)),
        NextHop::Via(number, hop) => Some((number, hop)),
        NextHop::Blackhole => None,
    }
}

/// Asks every port of a network who has an address, and its peers, where the network floods to them.
fn ask(number: NetworkId, target: IpAddr, key: &FlowKey, pass: &Pass<'_>, exits: &mut Exits) {
    let Some(network) = pass.tables.network(number) else { return };
    let Some(gateway) = &network.gateway else { return };
    let voice = Voice { number, gateway: gateway.speaker(), now: pass.now };
    let Ok(question) = voice.say(exits, |gateway, out| slow::request(gateway, target, out)) else { return };
    for member in &network.members {
        let Some(frame) = exits.copy(&question) else { break };
        let mut copy = Packet::made(frame, key);
        exits.counters.made(copy.frame.len());
        match edit_tag(&mut copy, member.vlan.map_or(TagEdit::Keep, TagEdit::Push)) {
            Ok(()) => exits.send(SWITCH, member.port, copy.frame),
            Err(reason) => exits.drop(SWITCH, copy.frame, reason),
        }
    }
    let copies = network.replicate_to.len();
    if copies > 0 && !exits.limits.replicate(number, network, copies as u32, pass.now) {
        exits.counters.not_made(copies as u64, question.len(), DropReason::ReplicationLimit);
        return exits.pool.give(question);
    }
    for path in &network.replicate_to {
        let Some(frame) = exits.copy(&question) else { break };
        exits.counters.made(frame.len());
        into_tunnel(Packet::made(frame, key), *path, (pass, SWITCH), exits);
    }
    exits.pool.give(question);
}

/// Sends what the gateway says out of the port that was heard, with the tag that was heard.
fn send_back(mut packet: Packet<'_>, pass: &Pass<'_>, by: PortId, exits: &mut Exits) {
    if let Some(path) = packet.key.port().path() {
        return into_tunnel(packet, path, (pass, by), exits);
    }
    let vlan = packet.key.vlan();
    if vlan.is_tagged()
        && let Err(reason) = edit_tag(&mut packet, TagEdit::Push(vlan.id().unwrap_or(0)))
    {
        return exits.drop(by, packet.frame, reason);
    }
    exits.send(by, pass.ingress, packet.frame);
}

/// A gateway about to speak.
struct Voice<'a> {
    number: NetworkId,
    gateway: slow::Gateway<'a>,
    now: u32,
}

impl Voice<'_> {
    /// A frame with what `write` has to say, if the rate limit allows it.
    fn say(
        &self,
        exits: &mut Exits,
        write: impl FnOnce(&slow::Gateway<'_>, &mut [u8]) -> Result<Reply, Quiet>,
    ) -> Result<Frame, DropReason> {
        let mut frame = exits.pool.take().ok_or(DropReason::NoFrame)?;
        let spoken = frame
            .set_len(frame.tailroom())
            .map_err(|_| DropReason::NoFrame)
            .and_then(|()| write(&self.gateway, frame.bytes_mut()).map_err(|_| DropReason::ForGateway))
            .and_then(|reply| {
                let admitted = exits.limits.reply(self.number, reply.kind, self.now);
                admitted.then_some(reply.len).ok_or(DropReason::ReplyLimit)
            })
            .and_then(|length| frame.set_len(length).map_err(|_| DropReason::NoFrame));
        match spoken {
            Ok(()) => Ok(frame),
            Err(reason) => {
                exits.pool.give(frame);
                Err(reason)
            }
        }
    }
}

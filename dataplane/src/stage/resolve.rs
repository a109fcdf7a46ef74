//! resolve: what to do with the packets of a flow that is not in the table. The only stage that reads the tables.
//!
//! ```text
//!   port open? -> network of the tag -> source MAC guard, learn -> source address guard
//!     -> for the gateway's MAC:  own address -> answer | route -> neighbour -> program
//!     -> group MAC:              flood (or answer, when it asks for the gateway)
//!     -> unicast MAC:            station -> program | unknown -> flood
//! ```
//!
//! By an uplink whose MAC address is that of stations as well, a unicast packet is for the station with its IP address.
//!
//! Where a station is behind a path, the program leads into its tunnel: peer -> next hop that answers -> program. What came out of
//! a tunnel has no port of a pod: its guard is that no peer speaks for another's stations.

use core::net::IpAddr;

use podlane_wire::MacAddr;

use crate::{
    burst::Layout,
    drops::DropReason,
    flow::{Class, FlowKey, Program, TagEdit, learned::spread},
    ids::{NetworkId, PathId},
    slow,
    stage::{
        claims::{Message, ROOM, untagged},
        dhcp,
        shared::{Shared, mac_key, shard},
    },
    tables::{Gateway, Network, NextHop, PortTable, Tables, underlay::Hop},
};

/// A packet whose flow is not known.
pub struct Miss<'a> {
    /// Its key.
    pub key: &'a FlowKey,
    /// Its first segment.
    pub bytes: &'a [u8],
    /// Where its headers are.
    pub layout: Layout,
    /// Worker-clock milliseconds.
    pub now: u32,
}

/// What was decided, and on what grounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolution {
    /// What to do.
    pub program: Program,
    /// The epoch of the program's shard, read before the learned tables were.
    pub epoch: u32,
    /// Whether the next packet with the same key deserves the same without being looked at.
    pub cacheable: bool,
}

impl Resolution {
    const fn once(program: Program) -> Self {
        Self { program, epoch: 0, cacheable: false }
    }
}

/// Decides what to do with a packet. Every frame the line saw gets a program here or in classify.
#[must_use]
pub fn resolve(tables: &Tables, shared: &Shared, miss: &Miss<'_>) -> Resolution {
    match (Resolver { tables, shared, miss }).decide() {
        Ok(resolution) => resolution,
        // Drops are not remembered here: forged sources would fill the table with flows that never come again.
        Err(reason) => Resolution::once(Program::drop(reason)),
    }
}

/// The network of a packet and who sent it.
struct Place<'a> {
    number: NetworkId,
    network: &'a Network,
}

struct Resolver<'a> {
    tables: &'a Tables,
    shared: &'a Shared,
    miss: &'a Miss<'a>,
}

impl<'a> Resolver<'a> {
    fn decide(&self) -> Result<Resolution, DropReason> {
        let key = self.miss.key;
        let port = self.tables.port(key.port());
        if port.is_none() && key.port().path().is_none() {
            return Err(DropReason::PortClosed);
        }
        let number = self.tables.network_at(key.port(), key.vlan()).ok_or(DropReason::VlanNotAllowed)?;
        let network = self.tables.network(number).ok_or(DropReason::VlanNotAllowed)?;
        let place = Place { number, network };
        match port {
            Some(port) => {
                if !dhcp::lets_out(port, key) {
                    return Err(DropReason::PortClosed);
                }
                self.guard_mac(&place, port)?;
                self.guard_address(&place, port)?;
            }
            // It came out of a tunnel.
            None => self.guard_remote(&place)?,
        }
        let destination = key.destination_mac();
        if let Some(outer) = port.and_then(|port| port.outer_mac)
            && !is_group(destination)
        {
            return self.to_shared(&place, outer);
        }
        match &network.gateway {
            Some(gateway) if destination == gateway.mac => self.to_gateway(&place, gateway),
            gateway if is_group(destination) => self.to_group(&place, gateway.as_ref()),
            _ => self.to_station(&place, destination),
        }
    }

    fn guard_mac(&self, place: &Place<'_>, port: &PortTable) -> Result<(), DropReason> {
        let source = self.miss.key.source_mac();
        if is_group(source) {
            return Err(DropReason::SourceMulticast);
        }
        if place.network.gateway.as_ref().is_some_and(|gateway| gateway.mac == source) {
            return Err(DropReason::SpoofedMac);
        }
        match port.mac {
            Some(stated) if stated == source => {}
            Some(_) => return Err(DropReason::SpoofedMac),
            // A wire states no MAC address; what comes from the one that our stations have there is our own.
            None if port.outer_mac == Some(source) => return Err(DropReason::SpoofedMac),
            // A port that states no MAC address must not take one that another port states.
            None if place.network.stations.contains_key(&source) => return Err(DropReason::SpoofedMac),
            None if place.network.learning => {
                self.shared.learn_mac(place.number, source, self.miss.key.port(), self.miss.now);
            }
            None => {}
        }
        Ok(())
    }

    /// The source IP address; for ARP the sender, for a neighbour advertisement the target too.
    fn guard_address(&self, place: &Place<'_>, port: &PortTable) -> Result<(), DropReason> {
        let key = self.miss.key;
        if let Some((source, _)) = key.addresses() {
            if self.tables.underlay.is_vtep(source) {
                return Err(DropReason::VtepAddress);
            }
            if !port.may_send_from(source) || self.claims_anothers(place, port, source) {
                return Err(DropReason::SpoofedAddress);
            }
        }
        if !matches!(key.kind().class, Class::Arp | Class::Nd) {
            return Ok(());
        }
        let message = self.message();
        if place.network.gateway.is_some() && message.is_some_and(|message| message.speaks_as_router()) {
            return Err(DropReason::RogueRouter);
        }
        if let Some(claim) = message.and_then(|message| message.claim()) {
            let forged = !port.may_send_from(claim.address)
                || claim.mac.is_some_and(|mac| port.mac.is_some_and(|stated| stated != mac))
                || self.claims_anothers(place, port, claim.address);
            if forged {
                return Err(DropReason::SpoofedAddress);
            }
        }
        self.learn_from_message(place);
        Ok(())
    }

    /// Who has which address, as ARP and neighbour discovery say in passing. Only routing wants to know.
    fn learn_from_message(&self, place: &Place<'_>) {
        let Some(gateway) = &place.network.gateway else { return };
        let mut room = [0; ROOM];
        let packet = untagged(self.miss.bytes, self.miss.layout, &mut room);
        if let Some((address, mac)) = slow::learned(&gateway.speaker(), packet) {
            self.shared.learn_neighbour(place.number, address, mac, self.miss.now);
        }
    }

    /// What may come out of a tunnel. The other node has guarded its pods; here no peer may speak for this node's pods, nor for
    /// those of another peer. A gateway's MAC address is the same on all nodes of a network, so it may come from each.
    fn guard_remote(&self, place: &Place<'_>) -> Result<(), DropReason> {
        let key = self.miss.key;
        let (source, here) = (key.source_mac(), key.port());
        if is_group(source) {
            return Err(DropReason::SourceMulticast);
        }
        let gateway = place.network.gateway.as_ref();
        let of_gateway = gateway.is_some_and(|gateway| gateway.mac == source);
        match place.network.stations.get(&source) {
            _ if of_gateway => {}
            Some(stated) if *stated != here => return Err(DropReason::SpoofedMac),
            Some(_) => {}
            None if place.network.learns_remotely() => self.shared.learn_mac(place.number, source, here, self.miss.now),
            None if self.is_local(place, source) => return Err(DropReason::SpoofedMac),
            None => {}
        }
        if !matches!(key.kind().class, Class::Arp | Class::Nd) {
            return Ok(());
        }
        let message = self.message();
        if gateway.is_some() && !of_gateway && message.is_some_and(|message| message.speaks_as_router()) {
            return Err(DropReason::RogueRouter);
        }
        if let Some(claim) = message.and_then(|message| message.claim()) {
            let stations = &place.network.stations;
            let of_another = gateway.is_some_and(|gateway| gateway.has(claim.address)) != of_gateway
                || place.network.neighbours.get(&claim.address).is_some_and(|mac| *mac != source)
                || claim.mac.is_some_and(|mac| mac != source && stations.contains_key(&mac));
            if of_another {
                return Err(DropReason::SpoofedAddress);
            }
        }
        if !of_gateway && place.network.learns_remotely() {
            self.learn_from_message(place);
        }
        Ok(())
    }

    /// Whether a MAC address was learned behind a port of this node.
    fn is_local(&self, place: &Place<'_>, mac: MacAddr) -> bool {
        self.shared.station(place.number, place.network, mac).is_some_and(|port| port.path().is_none())
    }

    /// A port that states no addresses may claim any, except the gateway's and those other ports state.
    fn claims_anothers(&self, place: &Place<'_>, port: &PortTable, address: IpAddr) -> bool {
        let gateway = place.network.gateway.as_ref().is_some_and(|gateway| gateway.has(address));
        gateway || (port.addresses.is_empty() && place.network.neighbours.contains_key(&address))
    }

    fn message(&self) -> Option<Message<'a>> {
        Message::of(self.miss.key.kind().class, self.miss.bytes, self.miss.layout)
    }

    fn to_gateway(&self, place: &Place<'_>, gateway: &Gateway) -> Result<Resolution, DropReason> {
        let key = self.miss.key;
        let Some((_, destination)) = key.addresses() else {
            return match key.kind().class {
                Class::Arp => Ok(Resolution::once(Program::answer(DropReason::ForGateway))),
                _ => Err(DropReason::NotIp),
            };
        };
        if gateway.has(destination) {
            return Ok(Resolution::once(Program::answer(DropReason::ForGateway)));
        }
        let serves = match destination {
            IpAddr::V4(_) => !gateway.ipv4.is_empty(),
            IpAddr::V6(_) => !gateway.ipv6.is_empty(),
        };
        if !serves {
            return Err(DropReason::NoGatewayInFamily);
        }
        let source_routable = key.addresses().is_some_and(|(source, _)| is_routable(source));
        if !source_routable || !is_routable(destination) {
            return Err(DropReason::NotRoutable);
        }
        self.route(place, destination)
    }

    fn route(&self, place: &Place<'_>, destination: IpAddr) -> Result<Resolution, DropReason> {
        let answer = |reason| Ok(Resolution::once(Program::answer(reason)));
        let vrf = self.tables.vrfs.get(place.network.vrf.index()).ok_or(DropReason::NoRoute)?;
        let (number, hop) = match vrf.route(destination) {
            Some(NextHop::Connected(network)) => (network, destination),
            Some(NextHop::Via(network, hop)) => (network, hop),
            Some(NextHop::Blackhole) => return Err(DropReason::Blackhole),
            None => return answer(DropReason::NoRoute),
        };
        let network = self.tables.network(number).ok_or(DropReason::NoRoute)?;
        let gateway = network.gateway.as_ref().ok_or(DropReason::NoRoute)?;
        // Another of our own gateway addresses in this VRF: as much ours as the nearest one.
        if gateway.has(destination) {
            return answer(DropReason::ForGateway);
        }
        let Some(next_hop) = self.shared.neighbour(number, network, hop) else {
            return answer(DropReason::NeighbourUnresolved);
        };
        let key = mac_key(number, next_hop);
        let epoch = self.shared.flows.epoch(shard(&key));
        let Some(egress) = self.shared.station(number, network, next_hop) else {
            return answer(DropReason::NeighbourUnresolved);
        };
        let program = match egress.path() {
            Some(path) => match self.tunnelled(path)? {
                Some(program) => program.routed_to(next_hop),
                None => return answer(DropReason::UnderlayUnresolved),
            },
            None => {
                let member = network.member(egress).ok_or(DropReason::EgressGone)?;
                Program::route(egress, member.tag_edit(self.miss.key.vlan()), member.mtu, next_hop, gateway.mac)
            }
        };
        // The epoch vouches for what was read after it, and the neighbour told which epoch to read. If it moved meanwhile, the
        // next packet learns where to.
        let cacheable = self.shared.neighbour(number, network, hop) == Some(next_hop);
        Ok(Resolution { program: program.depending_on(shard(&key)), epoch, cacheable })
    }

    fn to_group(&self, place: &Place<'_>, gateway: Option<&Gateway>) -> Result<Resolution, DropReason> {
        let MacAddr(mac) = self.miss.key.destination_mac();
        if mac[..5] == [0x01, 0x80, 0xc2, 0, 0] && mac[5] < 0x10 {
            return Err(DropReason::ReservedMulticast);
        }
        let target = self.message().and_then(|message| message.asks_for());
        let asks_gateway = gateway.zip(target).is_some_and(|(gateway, target)| gateway.has(target));
        let is_spoken_for = |target| self.is_remote(place.network, target) || self.shares_uplink(place.network, target);
        if asks_gateway || target.is_some_and(is_spoken_for) {
            return Ok(Resolution::once(Program::answer(DropReason::ForGateway)));
        }
        Ok(self.flood(place, DropReason::NoDestination))
    }

    /// By an uplink with the MAC address of stations here: for the one that has the IP address.
    fn to_shared(&self, place: &Place<'_>, outer: MacAddr) -> Result<Resolution, DropReason> {
        let key = self.miss.key;
        if key.destination_mac() != outer {
            return Err(DropReason::UnknownDestination);
        }
        let message = self.message();
        if message
            .and_then(|message| message.asks_for())
            .is_some_and(|target| self.shares_uplink(place.network, target))
        {
            return Ok(Resolution::once(Program::answer(DropReason::ForGateway)));
        }
        let address = key.addresses().map(|(_, destination)| destination);
        let address = address.or_else(|| message.and_then(|message| message.arp_target()));
        let mac = address.and_then(|address| place.network.neighbours.get(&address)).copied();
        let mac = mac.ok_or(DropReason::UnknownDestination)?;
        let egress = *place.network.stations.get(&mac).ok_or(DropReason::UnknownDestination)?;
        if egress == key.port() {
            return Err(DropReason::SamePort);
        }
        let member = place.network.member(egress).ok_or(DropReason::EgressGone)?;
        let program = Program::readdress(egress, member.tag_edit(key.vlan()), member.mtu, mac, key.source_mac());
        Ok(self.resolution(place, program, mac))
    }

    /// A program that leads to `mac`, as long as that is where it is.
    fn resolution(&self, place: &Place<'_>, program: Program, mac: MacAddr) -> Resolution {
        let shard = shard(&mac_key(place.number, mac));
        let epoch = self.shared.flows.epoch(shard);
        self.followed(program.depending_on(shard), epoch)
    }

    /// Whether a station of this node has the address and shares the MAC address of the uplink that the packet came by. Then the
    /// switch answers for it: its own answer would name its own MAC address.
    fn shares_uplink(&self, network: &Network, address: IpAddr) -> bool {
        let is_shared = || self.tables.port(self.miss.key.port()).is_some_and(|port| port.outer_mac.is_some());
        network.neighbours.contains_key(&address) && is_shared()
    }

    fn to_station(&self, place: &Place<'_>, destination: MacAddr) -> Result<Resolution, DropReason> {
        let key = mac_key(place.number, destination);
        let epoch = self.shared.flows.epoch(shard(&key));
        let Some(egress) = self.shared.station(place.number, place.network, destination) else {
            if let Some(program) = self.to_successor(place) {
                // Until somebody is found to have the MAC address.
                return Ok(self.followed(program.depending_on(shard(&key)), epoch));
            }
            if !place.network.flood_unknown {
                return Err(DropReason::UnknownDestination);
            }
            return Ok(self.flood(place, DropReason::UnknownDestination));
        };
        if egress == self.miss.key.port() {
            return Err(DropReason::SamePort);
        }
        let program = match egress.path() {
            // Every node has a way of its own to each other. What is routed may go on: its TTL ends a loop, and a node without
            // a gateway of its own sends to that of any other.
            Some(_) if self.miss.key.port().path().is_some() => return Err(DropReason::SplitHorizon),
            Some(path) => match self.tunnelled(path)? {
                Some(program) => program,
                None => return Ok(Resolution::once(Program::answer(DropReason::UnderlayUnresolved))),
            },
            None => {
                let member = place.network.member(egress).ok_or(DropReason::EgressGone)?;
                let tag = member.tag_edit(self.miss.key.vlan());
                match self.tables.port(egress).and_then(|port| port.outer_mac) {
                    Some(outer) => Program::readdress(egress, tag, member.mtu, destination, outer),
                    None => Program::bridge(egress, tag, member.mtu),
                }
            }
        };
        Ok(self.followed(program.depending_on(shard(&key)), epoch))
    }

    /// For an IP address that another station has by now, to a MAC address that nobody has: the sender remembers who had the address before.
    /// It goes to who has it now, who answers by its own MAC address as soon as the sender looks whether its neighbour is still there. So a pod
    /// that takes over an address need not tell all others.
    fn to_successor(&self, place: &Place<'_>) -> Option<Program> {
        let key = self.miss.key;
        let address = key.addresses().map(|(_, destination)| destination);
        let address = address.or_else(|| self.message().and_then(|message| message.arp_target()))?;
        let mac = *place.network.neighbours.get(&address)?;
        let egress = *place.network.stations.get(&mac)?;
        if egress == key.port() || !self.tables.port(egress)?.states_all() {
            return None;
        }
        let member = place.network.member(egress)?;
        Some(Program::readdress(egress, member.tag_edit(key.vlan()), member.mtu, mac, key.source_mac()))
    }

    /// A program to be remembered, unless each packet of its kind is looked at.
    fn followed(&self, program: Program, epoch: u32) -> Resolution {
        let looked_at_each = matches!(self.miss.key.kind().class, Class::Arp | Class::Nd);
        Resolution { program, epoch, cacheable: !looked_at_each }
    }

    /// The program of a packet for a station behind `path`; `None` while no next hop towards the peer answers.
    fn tunnelled(&self, path: PathId) -> Result<Option<Program>, DropReason> {
        let tag = if self.miss.key.vlan().is_tagged() { TagEdit::Pop } else { TagEdit::Keep };
        way_into(self.tables, self.shared, path, self.miss.key, tag)
    }

    /// Whether an address is stated to be on another node. Then its owner cannot hear a question that does not leave this one.
    fn is_remote(&self, network: &Network, address: IpAddr) -> bool {
        let station = network.neighbours.get(&address).and_then(|mac| network.stations.get(mac));
        self.miss.key.port().path().is_none() && station.is_some_and(|port| port.path().is_some())
    }

    /// Flooding is not remembered: the next packet may know better.
    fn flood(&self, place: &Place<'_>, alone: DropReason) -> Resolution {
        let here = self.miss.key.port();
        let nowhere_else = here.path().is_some() || place.network.replicate_to.is_empty();
        // Who is alone may report what it listens to before others come.
        let heard = place.network.snooping && is_group(self.miss.key.destination_mac());
        let only_member = nowhere_else && !heard && place.network.members.iter().all(|member| member.port == here);
        Resolution::once(if only_member { Program::drop(alone) } else { Program::flood() })
    }
}

/// The way into a tunnel for the packets of a flow: the next hops that answer share the flows. `None` while none does. When one is
/// silent, its flows alone go elsewhere.
pub(super) fn way_into(
    tables: &Tables,
    shared: &Shared,
    first: PathId,
    key: &FlowKey,
    tag: TagEdit,
) -> Result<Option<Program>, DropReason> {
    let underlay = &tables.underlay;
    let peer = underlay.path(first).and_then(|path| underlay.peer_of(path)).ok_or(DropReason::EgressGone)?;
    let answering = |hop: &&Hop| {
        let uplink = underlay.uplinks.get(usize::from(hop.uplink));
        uplink.is_some_and(|uplink| shared.hop(uplink.port, hop.address).is_some())
    };
    let hash = spread(key.words()) as usize;
    let own = peer.hops.get(hash % peer.hops.len().max(1)).filter(answering);
    let others = || {
        let alive = peer.hops.iter().filter(answering).count();
        // Other bits than those that chose the silent one: all of its flows have these in common.
        peer.hops.iter().filter(answering).nth((hash >> 16) % alive.max(1))
    };
    let Some(hop) = own.or_else(others) else { return Ok(None) };
    let id = underlay.by_uplink(first, hop.uplink);
    let path = underlay.path(id).ok_or(DropReason::EgressGone)?;
    let Some(next_hop) = shared.hop(path.egress, hop.address) else { return Ok(None) };
    let mtu = path.inner_of(shared.path_mtu(peer.address, path.mtu));
    Ok(Some(Program::encapsulate(path.egress, id, tag, mtu, next_hop)))
}

const fn is_group(mac: MacAddr) -> bool {
    mac.0[0] & 1 != 0
}

/// Whether a router may forward from or to this address (RFC 1812, 5.3.7; RFC 4291, 2.5).
fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

//! Where the first packet of a connection would go: it is made, and the packet path's own resolve is asked about it.
//!
//! A question teaches the switch nothing: a sender whose place was learned is given the time at which it was last seen, so that
//! it is not kept in mind for having been asked about.

use std::net::IpAddr;

use podlane_api::{Place, PortState, Way};
use podlane_dataplane::burst::Layout;
use podlane_dataplane::flow::{Class, FlowKey, Kind, Op, Program, VlanField};
use podlane_dataplane::stage::resolve::{Miss, resolve};
use podlane_dataplane::stage::shared::mac_key;
use podlane_dataplane::tables::{Gateway, Network, NextHop, Tables};
use podlane_dataplane::{DropReason, NetworkId, PathId, PortId};
use podlane_wire::{IpProtocol, MacAddr};

use super::First;
use super::ends::Meant;
use super::judged::Placed;
use crate::daemon::answers::name;
use crate::daemon::flows::action;
use crate::daemon::moment::Moment;
use crate::reconcile::Facts;

/// A port that a client might open from: the first that are nobody's (RFC 6335, 6).
const SOURCE_PORT: u16 = 49_152;

/// The Ethernet header, and room for the others.
const BYTES: usize = 64;

/// A way, and the ports that policy is asked about.
pub(super) struct Found {
    pub(super) way: Way,
    pub(super) placed: Placed,
    /// Why policy is not asked.
    pub(super) beyond: Option<&'static str>,
}

/// Where an address is.
#[derive(Clone, Copy)]
struct Spot {
    network: NetworkId,
    mac: MacAddr,
    /// The port it is behind, which may be a path's.
    port: PortId,
}

/// What becomes of a packet.
struct Fate {
    open: Option<bool>,
    action: Option<String>,
    sentence: String,
    /// Where it leaves: a port, or a path's.
    to: Option<PortId>,
    /// Why policy is not asked about it.
    beyond: Option<&'static str>,
}

impl Fate {
    fn told(open: Option<bool>, sentence: impl Into<String>) -> Self {
        Self { open, action: None, sentence: sentence.into(), to: None, beyond: None }
    }

    fn beyond(open: bool, sentence: &str, beyond: &'static str) -> Self {
        Self { beyond: Some(beyond), ..Self::told(Some(open), sentence) }
    }
}

impl Moment<'_> {
    /// Where the first packet of a connection would go.
    pub(super) fn way(&self, first: &First, from: &Meant<'_>, to: &Meant<'_>, facts: &Facts) -> Found {
        let target = self.spot(first.to, to, facts, None);
        let source = self.spot(first.from, from, facts, target).or_else(|| self.router(first.from, target, facts));
        let fate = self.fate(first, (from, source), (to, target), facts);
        let at = |meant: &Meant<'_>, spot: Option<Spot>, port: Option<PortId>| self.place(meant, spot, port, facts);
        // Whatever has been learned of an address, a pod is behind the port that states it.
        let behind = |meant: &Meant<'_>, spot: Option<Spot>| {
            let stated = || meant.port.map(|port| self.numbers().port(&port.name));
            spot.map(|spot| spot.port).or_else(stated)
        };
        let node = self.desired().ports.values().find(|port| port.node);
        let placed = Placed {
            from: behind(from, source),
            to: fate.to.or_else(|| behind(to, target)),
            node: node.map(|port| self.numbers().port(&port.name)),
        };
        let way = Way {
            from: at(from, source, placed.from),
            to: at(to, target, placed.to),
            open: fate.open,
            action: fate.action,
            sentence: fate.sentence,
        };
        Found { way, placed, beyond: fate.beyond }
    }

    fn fate(
        &self,
        first: &First,
        from: (&Meant<'_>, Option<Spot>),
        to: (&Meant<'_>, Option<Spot>),
        facts: &Facts,
    ) -> Fate {
        for (meant, _) in [from, to] {
            if let Some(shut) = self.shut(meant, facts) {
                return shut;
            }
        }
        if first.from == first.to {
            return Fate::beyond(true, "an address to itself never reaches the switch", "a pod always reaches itself");
        }
        let Some(source) = from.1 else {
            let is_own = self.is_own(first.to, from.0, &facts.tables);
            return if is_own { at_gateway(first) } else { Fate::told(None, unheard(first.from, from.0)) };
        };
        match self.packet(first, source, to.1, &facts.tables) {
            Ok((key, bytes, l3)) => {
                let known = self.engine().shared().macs.sighting(&mac_key(source.network, source.mac));
                let now = known.map_or_else(|| self.now(), |(_, seen)| seen);
                let miss = Miss { key: &key, bytes: &bytes, layout: Layout { l3, l4: l3 + 20 }, now };
                self.told(&resolve(&facts.tables, self.engine().shared(), &miss).program, first, facts)
            }
            Err(fate) => fate,
        }
    }

    /// Whether an address is the switch's own to whoever is behind the port of an end.
    fn is_own(&self, address: IpAddr, meant: &Meant<'_>, tables: &Tables) -> bool {
        let home = meant.port.and_then(|port| port.membership.untagged.as_ref());
        let Some(home) = home.and_then(|name| tables.network(self.numbers().network(name))) else {
            return false;
        };
        let beside = tables.networks.iter().filter(|network| network.vrf == home.vrf);
        beside.filter_map(|network| network.gateway.as_ref()).any(|gateway| gateway.has(address))
    }

    /// What a port that is not up makes of everything.
    fn shut(&self, meant: &Meant<'_>, facts: &Facts) -> Option<Fate> {
        let port = meant.port?;
        let fate = facts.ports.get(&port.name).filter(|fate| fate.state != PortState::Up)?;
        let reason = fate.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(Fate::told(Some(false), format!("port {} is {}{reason}", port.name, fate.state)))
    }

    /// The first packet as it would come in, its bytes, and where its network header is.
    fn packet(
        &self,
        first: &First,
        from: Spot,
        to: Option<Spot>,
        tables: &Tables,
    ) -> Result<(FlowKey, [u8; BYTES], u16), Fate> {
        let (from, destination) = self.link(first, from, to, tables)?;
        let network = tables.network(from.network);
        let vlan = network.and_then(|network| network.member(from.port)).and_then(|member| member.vlan);
        let vlan = vlan.map_or(VlanField::UNTAGGED, VlanField::tagged);
        let (class, ethertype) = if first.to.is_ipv4() { (Class::Ipv4, 0x0800_u16) } else { (Class::Ipv6, 0x86dd) };
        let mut header = [0; 14];
        header[..6].copy_from_slice(&destination.0);
        header[6..12].copy_from_slice(&from.mac.0);
        header[12..].copy_from_slice(&ethertype.to_be_bytes());
        let mut key = FlowKey::new(from.port, &header, vlan, Kind { class, protocol: first.number(), ethertype });
        match (first.from, first.to) {
            (IpAddr::V4(source), IpAddr::V4(to)) => {
                let mut addresses = [0; 8];
                addresses[..4].copy_from_slice(&source.octets());
                addresses[4..].copy_from_slice(&to.octets());
                key.set_ipv4(addresses);
            }
            (IpAddr::V6(source), IpAddr::V6(to)) => {
                let mut addresses = [0; 32];
                addresses[..16].copy_from_slice(&source.octets());
                addresses[16..].copy_from_slice(&to.octets());
                key.set_ipv6(&addresses);
            }
            _ => return Err(Fate::told(Some(false), "the two addresses are not of one family")),
        }
        let ports = match IpProtocol(first.number()) {
            // An echo request.
            IpProtocol::ICMPV4 => [8, 0, 0, 0],
            IpProtocol::ICMPV6 => [128, 0, 0, 0],
            _ => [(SOURCE_PORT >> 8) as u8, SOURCE_PORT as u8, (first.port >> 8) as u8, first.port as u8],
        };
        key.set_ports(ports);
        let mut bytes = [0; BYTES];
        bytes[..14].copy_from_slice(&header);
        Ok((key, bytes, if vlan.is_tagged() { 18 } else { 14 }))
    }

    /// Where the packet comes in, and the MAC address it is sent to: the other end's in one network, else the gateway's.
    fn link(&self, first: &First, from: Spot, to: Option<Spot>, tables: &Tables) -> Result<(Spot, MacAddr), Fate> {
        if let Some(to) = to.filter(|to| to.network == from.network) {
            return Ok((from, to.mac));
        }
        let network = tables.network(from.network);
        let gateway = network.and_then(|network| network.gateway.as_ref());
        if let Some((path, to)) = from.port.path().zip(to) {
            return routed_there(path, to, tables).ok_or_else(|| {
                Fate::told(None, "the other node may route it in more than one way, which only it can tell")
            });
        }
        let here = self.numbers().network_name(from.network);
        match gateway {
            Some(gateway) if !is_within(gateway, first.to) || gateway.has(first.to) => Ok((from, gateway.mac)),
            Some(_) => Err(Fate::told(None, format!("who has {} is not known yet; the first packet asks", first.to))),
            None => {
                let here = name(here);
                Err(Fate::told(
                    None,
                    format!("nobody in network {here} is known to have {}, and it has no gateway", first.to),
                ))
            }
        }
    }

    fn told(&self, program: &Program, first: &First, facts: &Facts) -> Fate {
        let numbers = self.numbers();
        let port = |port| name(numbers.port_name(port));
        let carried = |sentence: String, to: PortId| Fate {
            open: Some(true),
            action: Some(action(program)),
            sentence,
            to: Some(to),
            beyond: None,
        };
        let tunnel = || {
            let path = facts.tables.underlay.path(program.path());
            let (peer, vni) =
                path.map_or_else(Default::default, |path| (name(numbers.peer_name(path.peer)), path.vni.0));
            let (by, hop) = (port(program.egress()), program.next_hop());
            format!("tunnelled to peer {peer} as vni {vni}, out of uplink {by} to its next hop {hop}")
        };
        let out = |verb: &str, mac: MacAddr| format!("{verb} to {mac}, out of port {}", port(program.egress()));
        match program.op() {
            Op::Bridge | Op::Readdress => {
                carried(format!("bridged out of port {}", port(program.egress())), program.egress())
            }
            Op::Route => carried(out("routed", program.next_hop()), program.egress()),
            Op::Encapsulate => carried(tunnel(), program.path().port()),
            Op::RouteEncapsulate => {
                let sentence = format!("routed to {}, {}", program.inner_next_hop(), tunnel());
                carried(sentence, program.path().port())
            }
            Op::Flood => Fate::told(None, format!("flooded: nobody has heard of {} yet", first.to)),
            Op::Drop => Fate::told(Some(false), stopped(program.reason())),
            Op::Answer => match program.reason() {
                DropReason::ForGateway => at_gateway(first),
                reason @ DropReason::NeighbourUnresolved => Fate::told(None, stopped(reason)),
                reason => Fate::told(Some(false), stopped(reason)),
            },
        }
    }

    /// Where an address is, as stated or learned: behind the port that states it, else rather in the network of the other end.
    fn spot(&self, address: IpAddr, meant: &Meant<'_>, facts: &Facts, other: Option<Spot>) -> Option<Spot> {
        let (tables, shared) = (&facts.tables, self.engine().shared());
        let numbered = (0..).map(NetworkId).zip(&tables.networks);
        let spots = numbered.filter_map(|(number, network): (NetworkId, &Network)| {
            let mac = shared.neighbour(number, network, address)?;
            let port = shared.station(number, network, mac)?;
            Some(Spot { network: number, mac, port })
        });
        let spots: Vec<Spot> = spots.collect();
        let stated = meant.port.map(|port| self.numbers().port(&port.name));
        let at_port = spots.iter().find(|spot| Some(spot.port) == stated);
        let beside = spots.iter().find(|spot| other.is_some_and(|other| other.network == spot.network));
        at_port.or(beside).or(spots.first()).copied()
    }

    /// Where packets come in from an address that is beyond a router: where packets to it leave.
    fn router(&self, address: IpAddr, other: Option<Spot>, facts: &Facts) -> Option<Spot> {
        let tables = &facts.tables;
        let vrf = tables.network(other?.network)?.vrf;
        let Some(NextHop::Via(number, hop)) = tables.vrfs.get(vrf.index())?.route(address) else { return None };
        let network = tables.network(number)?;
        let shared = self.engine().shared();
        let mac = shared.neighbour(number, network, hop)?;
        let port = shared.station(number, network, mac)?;
        Some(Spot { network: number, mac, port })
    }

    fn place(&self, meant: &Meant<'_>, spot: Option<Spot>, port: Option<PortId>, facts: &Facts) -> Place {
        let numbers = self.numbers();
        let path = port.and_then(PortId::path).and_then(|path| facts.tables.underlay.path(path));
        let behind = port.and_then(|port| numbers.port_name(port)).or(meant.port.map(|port| &port.name));
        let behind = behind.filter(|_| path.is_none());
        let fate = behind.and_then(|name| facts.ports.get(name));
        let home = || meant.port.and_then(|port| port.membership.untagged.as_ref());
        let network = spot.and_then(|spot| numbers.network_name(spot.network)).or_else(home);
        Place {
            pod: meant.pod_name(),
            port: behind.map(ToString::to_string),
            state: fate.map(|fate| fate.state),
            reason: fate.and_then(|fate| fate.reason.clone()),
            peer: path.and_then(|path| numbers.peer_name(path.peer)).map(ToString::to_string),
            network: network.map(ToString::to_string),
            policed: port.and_then(|port| facts.tables.port(port)).is_some_and(|port| port.policed),
        }
    }
}

/// What becomes of a packet to the switch itself.
fn at_gateway(first: &First) -> Fate {
    let is_echo = matches!(IpProtocol(first.number()), IpProtocol::ICMPV4 | IpProtocol::ICMPV6);
    let sentence = "the address is the switch's own, which answers echo and nothing else";
    Fate::beyond(is_echo, sentence, "the switch's own address, which policy has no say in")
}

/// Why it is not known where a packet comes in, or with which MAC address.
fn unheard(address: IpAddr, meant: &Meant<'_>) -> String {
    match meant.port {
        Some(port) => format!("nobody has heard from {address} yet, and port {} states no MAC address", port.name),
        None => format!("nobody has heard of {address} yet, so it is not known where it would come in"),
    }
}

/// Where a packet comes in that its own node has routed into the network of the other end, as a gateway of all nodes does.
fn routed_there(path: PathId, to: Spot, tables: &Tables) -> Option<(Spot, MacAddr)> {
    let peer = tables.underlay.path(path)?.peer;
    let port = tables.underlay.first_path(to.network, peer)?.port();
    let mac = tables.network(to.network)?.gateway.as_ref()?.mac;
    Some((Spot { network: to.network, mac, port }, to.mac))
}

/// Whether an address is in a subnet of the gateway.
fn is_within(gateway: &Gateway, address: IpAddr) -> bool {
    let same =
        |a: u128, b: u128, bits: u32, length: u8| u32::from(length) == 0 || (a ^ b) >> (bits - u32::from(length)) == 0;
    match address {
        IpAddr::V4(v4) => {
            let of =
                |(own, length): &(std::net::Ipv4Addr, u8)| same(own.to_bits().into(), v4.to_bits().into(), 32, *length);
            gateway.ipv4.iter().any(of)
        }
        IpAddr::V6(v6) => {
            let of = |(own, length): &(std::net::Ipv6Addr, u8)| same(own.to_bits(), v6.to_bits(), 128, *length);
            gateway.ipv6.iter().any(of)
        }
    }
}

/// The operator's sentence for a packet's end, as it stands inside another one.
fn stopped(reason: DropReason) -> String {
    let sentence = reason.sentence().trim_end_matches('.');
    format!("dropped as {}: {sentence}", reason.name())
}

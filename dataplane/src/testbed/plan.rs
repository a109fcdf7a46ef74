//! Tables in the making, for tests and benches.

use core::net::IpAddr;

use podlane_wire::MacAddr;

use crate::{
    ids::{Generation, NetworkId, PortId, VrfId},
    offload::EngineId,
    tables::{
        Gateway, Member, Network, NextHop, PortTable, Tables, Vrf,
        lpm::{Lpm4, Lpm6, Route},
        underlay::{Peer, Segment, Underlay, Uplink, Vtep},
    },
};

/// Tables in the making: networks, ports, routes.
#[derive(Default)]
pub struct Plan {
    tables: Tables,
    routes: Vec<(VrfId, IpAddr, u8, NextHop)>,
}

impl Plan {
    /// A plan with `networks` networks, each in a VRF of its own, learning and flooding.
    #[must_use]
    pub fn new(networks: u16) -> Self {
        let network = |number| Network {
            vrf: VrfId(number),
            learning: true,
            flood_unknown: true,
            mac_age: 300_000,
            flood_limit: 1_000_000,
            ..Network::default()
        };
        let tables =
            Tables { generation: Generation(1), networks: (0..networks).map(network).collect(), ..Tables::default() };
        Self { tables, routes: Vec::new() }
    }

    /// Tables of this generation.
    #[must_use]
    pub const fn generation(mut self, generation: u32) -> Self {
        self.tables.generation = Generation(generation);
        self
    }

    /// Changes a network in place.
    #[must_use]
    pub fn network(mut self, number: u16, change: impl FnOnce(&mut Network)) -> Self {
        change(&mut self.tables.networks[usize::from(number)]);
        self
    }

    /// Gives a network a gateway with these addresses, and its connected routes.
    #[must_use]
    pub fn gateway(mut self, number: u16, mac: MacAddr, addresses: &[(IpAddr, u8)]) -> Self {
        let network = &mut self.tables.networks[usize::from(number)];
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for (address, prefix) in addresses {
            match address {
                IpAddr::V4(v4) => ipv4.push((*v4, *prefix)),
                IpAddr::V6(v6) => ipv6.push((*v6, *prefix)),
            }
            self.routes.push((network.vrf, *address, *prefix, NextHop::Connected(NetworkId(number))));
        }
        network.gateway = Some(Gateway { mac, ipv4, ipv6, link_local: mac.link_local(), mtu: 1500 });
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, vrf: VrfId, prefix: IpAddr, length: u8, hop: NextHop) -> Self {
        self.routes.push((vrf, prefix, length, hop));
        self
    }

    /// Adds an untagged port to a network; `table` may state addresses and more.
    #[must_use]
    pub fn port(mut self, port: PortId, network: u16, table: PortTable) -> Self {
        let mtu = if table.mtu == 0 { 1500 } else { table.mtu };
        let place = &mut self.tables.networks[usize::from(network)];
        place.members.push(Member { port, vlan: None, mtu });
        if let Some(mac) = table.mac {
            place.stations.insert(mac, port);
            place.neighbours.extend(table.addresses.iter().map(|address| (*address, mac)));
        }
        self.put(port, PortTable { native: Some(NetworkId(network)), mtu, ..table });
        self
    }

    /// Adds a tagged membership to a port, which is made if it is not there.
    #[must_use]
    pub fn tagged(mut self, port: PortId, vlan: u16, network: u16) -> Self {
        let mut table = self.tables.port(port).cloned().unwrap_or(PortTable { mtu: 1500, ..PortTable::default() });
        table.vlans.push((vlan, NetworkId(network)));
        table.vlans.sort_unstable();
        let member = Member { port, vlan: Some(vlan), mtu: table.mtu };
        self.tables.networks[usize::from(network)].members.push(member);
        self.put(port, table);
        self
    }

    /// Puts the networks of these segments on an underlay. Its uplinks must be ports: see [`Self::uplink`].
    #[must_use]
    pub fn overlay(mut self, vteps: Vec<Vtep>, uplinks: Vec<Uplink>, peers: Vec<Peer>, segments: &[Segment]) -> Self {
        self.tables.underlay = Underlay::of(vteps, uplinks, peers, segments).into();
        self
    }

    /// Adds a port that tunnelled packets come in by.
    #[must_use]
    pub fn uplink(mut self, port: PortId, mtu: u16) -> Self {
        self.put(port, PortTable { underlay: true, mtu, ..PortTable::default() });
        self
    }

    /// States that a station of a network is on another node, `peer`; call it after [`Self::overlay`].
    ///
    /// # Panics
    /// If the network does not reach that peer.
    #[must_use]
    pub fn remote(mut self, network: u16, peer: u16, mac: MacAddr, addresses: &[IpAddr]) -> Self {
        let path = self.tables.underlay.first_path(NetworkId(network), peer).expect("a peer that has the network");
        let place = &mut self.tables.networks[usize::from(network)];
        place.stations.insert(mac, path.port());
        place.neighbours.extend(addresses.iter().map(|address| (*address, mac)));
        self
    }

    /// Has what comes in by any port so far offloaded to the first engine.
    #[must_use]
    pub fn offloaded(mut self) -> Self {
        self.tables.ports.iter_mut().flatten().for_each(|port| port.offload = Some(EngineId(0)));
        self
    }

    /// The tables, compiled.
    ///
    /// # Panics
    /// If a prefix is longer than its family: a mistake of the test.
    #[must_use]
    pub fn build(mut self) -> Tables {
        let vrfs = self.tables.networks.iter().map(|network| network.vrf.index() + 1).max().unwrap_or(0);
        self.tables.vrfs = (0..vrfs).map(|number| self.vrf(VrfId(number as u16))).collect();
        self.tables
    }

    fn vrf(&self, vrf: VrfId) -> Vrf {
        let (mut v4, mut v6, mut next_hops) = (Vec::new(), Vec::new(), Vec::new());
        for (_, prefix, length, hop) in self.routes.iter().filter(|route| route.0 == vrf) {
            let index = next_hops.len() as u32;
            next_hops.push(*hop);
            match prefix {
                IpAddr::V4(prefix) => v4.push(Route { prefix: *prefix, len: *length, value: index }),
                IpAddr::V6(prefix) => v6.push(Route { prefix: *prefix, len: *length, value: index }),
            }
        }
        let ipv4 = Lpm4::build(&v4).expect("prefixes of a test plan fit");
        let ipv6 = Lpm6::build(&v6).expect("prefixes of a test plan fit");
        Vrf { ipv4, ipv6, next_hops }
    }

    fn put(&mut self, port: PortId, table: PortTable) {
        if self.tables.ports.len() <= port.index() {
            self.tables.ports.resize(port.index() + 1, None);
        }
        self.tables.ports[port.index()] = Some(table);
    }
}

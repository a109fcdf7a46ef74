//! A switch without devices, turned by hand: what tests and benches put packets through.
//!
//! The workers, stages and tables are the real ones; ports are [`MemoryPort`]s. Tests read as a ledger:
//! what moved since the last look, all of it.

use core::net::IpAddr;
use std::{collections::BTreeMap, sync::Arc};

use crossbeam::channel::{Receiver, Sender, unbounded};
use podlane_rings::{FrameSize, HugePages, Umem, UmemConfig};
use podlane_wire::MacAddr;

use crate::{
    counters::{Counters, SWITCH},
    denials::Denial,
    drops::DropReason,
    flow::{
        FlowTable, HashSeed,
        connections::{Connections, Settings},
    },
    ids::{Generation, NetworkId, PortId, VrfId, WorkerId},
    policy::{Enforcement, Policy},
    port::{
        Port,
        memory::{MemoryPort, Wire},
    },
    stage::shared::Shared,
    tables::{
        Gateway, Member, Network, NextHop, PortTable, Tables, Vrf,
        lpm::{Lpm4, Lpm6, Route},
        underlay::{Peer, Segment, Underlay, Uplink, Vtep},
    },
    worker::{
        Worker, WorkerConfig,
        command::{Command, Event, Line},
    },
};

/// A line of the ledger: what happened since the last look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Moved {
    /// So many packets came in by a port; by [`SWITCH`] those the switch made.
    Received(PortId, u64),
    /// So many left by a port.
    Sent(PortId, u64),
    /// So many died for this reason.
    Dropped(DropReason, u64),
    /// So many wait.
    Held(u64),
}

/// Packets came in by `port`.
#[must_use]
pub const fn received(port: PortId, packets: u64) -> Moved {
    Moved::Received(port, packets)
}

/// Packets left by `port`.
#[must_use]
pub const fn sent(port: PortId, packets: u64) -> Moved {
    Moved::Sent(port, packets)
}

/// The switch made packets itself.
#[must_use]
pub const fn made(packets: u64) -> Moved {
    Moved::Received(SWITCH, packets)
}

/// Packets died.
#[must_use]
pub const fn dropped(reason: DropReason, packets: u64) -> Moved {
    Moved::Dropped(reason, packets)
}

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
        self.tables.underlay = Underlay::of(vteps, uplinks, peers, segments);
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

/// Workers with ports in memory.
pub struct TestBed {
    /// The workers, turned by [`Self::turn`].
    pub workers: Vec<Worker>,
    /// What they share.
    pub shared: Arc<Shared>,
    lines: Vec<Line>,
    wires: BTreeMap<PortId, Wire>,
    events: Receiver<Event>,
    seen: Counters,
    clock: u32,
}

impl TestBed {
    /// One worker serving every port of the plan.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self::with_workers(plan, 1)
    }

    /// Several workers; port `n` is served by worker `n mod workers`.
    ///
    /// # Panics
    /// If the machine has no memory or file descriptors for a test.
    #[must_use]
    pub fn with_workers(plan: Plan, workers: u16) -> Self {
        Self::following(plan, workers, Settings::default())
    }

    /// The same where connections are followed like this.
    ///
    /// # Panics
    /// If the machine has no memory or file descriptors for a test.
    #[must_use]
    pub fn following(plan: Plan, workers: u16, settings: Settings) -> Self {
        let flows = FlowTable::new(1024, HashSeed::fixed()).expect("memory for a test");
        let connections = Connections::new(1024, settings, HashSeed::fixed()).expect("memory for a test");
        let shared = Arc::new(Shared::new(flows, connections, 1024).expect("memory for a test"));
        let (send, events): (Sender<Event>, _) = unbounded();
        let setups = (0..workers).map(|_| {
            let config = UmemConfig { frames: 1024, frame_size: FrameSize::Bytes2048, huge_pages: HugePages::Never };
            let (_, pool) = Umem::create(&config).expect("memory for a test");
            (WorkerConfig { flow_idle: 60_000, ..WorkerConfig::default() }, pool)
        });
        let made = Worker::make(setups.collect(), &shared, &send).expect("file descriptors for a test");
        let (workers, lines) = made.into_iter().unzip();
        let mut bed =
            Self { workers, shared, lines, wires: BTreeMap::new(), events, seen: Counters::default(), clock: 1 };
        let tables = plan.build();
        let ports: Vec<PortId> = (0..tables.ports.len())
            .map(|number| PortId(number as u16))
            .filter(|port| tables.port(*port).is_some())
            .collect();
        bed.publish(tables);
        for port in ports {
            let wire = Wire::default();
            bed.attach(port, Box::new(MemoryPort::new(wire.clone())));
            bed.wires.insert(port, wire);
        }
        bed
    }

    /// Switches every worker to these tables.
    pub fn publish(&mut self, tables: Tables) {
        let tables = Arc::new(tables);
        let (send, _back) = unbounded();
        for line in 0..self.lines.len() {
            self.command(line, Command::Tables(Arc::clone(&tables), send.clone()));
        }
    }

    /// Has every worker decide by a policy, under a generation of the policy's own.
    pub fn enforce(&mut self, generation: u32, policy: impl Policy + 'static) {
        let enforcement = Arc::new(Enforcement { generation: Generation(generation), policy: Box::new(policy) });
        let (send, _back) = unbounded();
        for line in 0..self.lines.len() {
            self.command(line, Command::Policy(Arc::clone(&enforcement), send.clone()));
        }
    }

    /// Attaches a port of any kind.
    pub fn attach(&mut self, port: PortId, end: Box<dyn Port>) {
        let owner = port.index() % self.lines.len();
        for line in 0..self.lines.len() {
            if line != owner {
                self.command(line, Command::AttachRemote(port, WorkerId(owner as u16)));
            }
        }
        self.command(owner, Command::Attach(port, end));
    }

    /// Detaches a port and closes it.
    pub fn detach(&mut self, port: PortId) {
        let (send, back) = unbounded();
        for line in 0..self.lines.len() {
            self.command(line, Command::Detach(port, send.clone()));
        }
        let owner = port.index() % self.lines.len();
        for end in back.try_iter().flatten() {
            let (lend, lent) = unbounded();
            self.command(owner, Command::Lend(0, lend));
            let mut pool = lent.try_recv().expect("a pool was lent");
            end.close(&mut pool);
            self.command(owner, Command::Absorb(pool));
        }
    }

    /// Puts a packet on the wire of a port.
    ///
    /// # Panics
    /// If the plan has no such port.
    pub fn receive(&mut self, port: PortId, packet: impl Into<Vec<u8>>) {
        self.wire(port).send(packet);
    }

    /// The wire of a port.
    ///
    /// # Panics
    /// If the plan has no such port.
    #[must_use]
    pub fn wire(&self, port: PortId) -> &Wire {
        self.wires.get(&port).expect("a port of the plan")
    }

    /// Turns every worker twice: what one hands over, the other has sent.
    pub fn turn(&mut self) {
        for _ in 0..2 {
            for worker in &mut self.workers {
                worker.turn(self.clock);
            }
        }
    }

    /// Lets milliseconds pass, turning once in each hundred.
    pub fn pass(&mut self, milliseconds: u32) {
        for _ in 0..milliseconds / 100 {
            self.clock += 100;
            self.turn();
        }
    }

    /// What a port has sent since the last look.
    #[must_use]
    pub fn sent_by(&self, port: PortId) -> Vec<Vec<u8>> {
        self.wire(port).receive()
    }

    /// What the workers reported.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }

    /// The ledger of all workers.
    ///
    /// # Panics
    /// If it is not balanced, which no test survives.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut total = Counters::default();
        for worker in &self.workers {
            total.merge(&worker.report().counters);
        }
        assert!(total.balanced(), "received = sent + dropped + held does not hold: {total:?}");
        total
    }

    /// What policy refused, by all workers, the most often refused first.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        let mut denials: Vec<_> = self
            .workers
            .iter()
            .flat_map(|worker| worker.report().denials.iter().copied().collect::<Vec<_>>())
            .collect();
        denials.sort_unstable_by_key(|denial| core::cmp::Reverse(denial.count));
        denials
    }

    /// Everything that moved since the last look, sorted: received, sent, dropped, held.
    pub fn moved(&mut self) -> Vec<Moved> {
        let now = self.counters();
        let mut moved = Vec::new();
        let mut lost: BTreeMap<DropReason, u64> = BTreeMap::new();
        for (number, port) in now.ports.iter().enumerate() {
            let before = self.seen.ports.get(number).cloned().unwrap_or_default();
            let id = PortId(number as u16);
            moved.push(Moved::Received(id, port.received.packets - before.received.packets));
            moved.push(Moved::Sent(id, port.sent.packets - before.sent.packets));
            for reason in DropReason::ALL {
                let died = port.dropped[reason as usize] - before.dropped[reason as usize];
                *lost.entry(reason).or_default() += died;
            }
        }
        moved.extend(lost.into_iter().map(|(reason, died)| Moved::Dropped(reason, died)));
        moved.push(Moved::Held(now.waiting()));
        moved.retain(|line| {
            !matches!(line, Moved::Received(_, 0) | Moved::Sent(_, 0) | Moved::Dropped(_, 0) | Moved::Held(0))
        });
        moved.sort_unstable();
        self.seen = now;
        moved
    }

    fn command(&mut self, line: usize, command: Command) {
        assert!(self.lines[line].send(command).is_ok(), "a worker of a test bed never ends");
        self.workers[line].obey();
    }
}

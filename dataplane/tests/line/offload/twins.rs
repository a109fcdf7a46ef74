//! Two switches, one with an engine and one without, that are sent the same: what leaves them, and what dies in them, must be the same.

use core::net::IpAddr;

use podlane_dataplane::{
    PortId, VrfId,
    offload::emulated::{Emulated, Settings},
    policy::Opening,
    tables::PortTable,
    testbed::{Moved, Plan, TestBed},
};
use podlane_wire::{IpProtocol, Ipv4Header, Ipv6Header, TcpFlags, UdpHeader};

use crate::{
    offload::bed::report,
    packets::{BLUE, Field, GREEN, Host, RED, gateway, host, ipv4, ipv6, summed},
    policy::bed::{ACK, Asked, End, FIN_ACK, RST, SYN, SYN_ACK, segment},
    tunnel::{Node, UPLINK, VXLAN},
};

/// Two open ports: stations come and move there.
pub(crate) const OPEN: PortId = PortId(4);
pub(crate) const ALSO_OPEN: PortId = PortId(5);
const PORTS: [PortId; 6] = [RED, BLUE, GREEN, OPEN, ALSO_OPEN, UPLINK];

/// A and B are pods under policy in network 0, C one in network 1; D is learned, and E behind the tunnel.
pub(crate) const A: Host = host(0, 1);
pub(crate) const B: Host = host(0, 2);
pub(crate) const C: Host = host(1, 1);
pub(crate) const D: Host = host(0, 3);
pub(crate) const E: Host = host(0, 4);

fn plan(generation: u32) -> Plan {
    let addresses = |network| {
        let Host { v4, v6, .. } = gateway(network);
        [(IpAddr::from(v4), 24), (IpAddr::from(v6), 64)]
    };
    let policed = |host: Host| PortTable { policed: true, unfinished_checksums: true, ..host.stated() };
    let plan = Plan::new(2)
        .generation(generation)
        .network(1, |network| network.vrf = VrfId(0))
        .gateway(0, gateway(0).mac, &addresses(0))
        .gateway(1, gateway(1).mac, &addresses(1))
        .port(RED, 0, policed(A))
        .port(BLUE, 0, policed(B))
        .port(GREEN, 1, policed(C))
        .port(OPEN, 0, PortTable::default())
        .port(ALSO_OPEN, 0, PortTable::default());
    VXLAN.on(plan, Node(1), Node(2)).remote(0, 0, E.mac, &[E.v4.into(), E.v6.into()]).offloaded()
}

/// What a policy of this number allows: another tenth of all destination ports is refused by each.
fn allows(number: u32) -> impl Fn(&Opening) -> bool {
    move |opening| u32::from(opening.port) % 10 != number % 10
}

/// The two.
pub(crate) struct Twins {
    off: TestBed,
    on: TestBed,
    generation: u32,
    /// Whether the engine loses flows with what it carried of them.
    forgets: bool,
}

impl Twins {
    pub(crate) fn new(settings: &Settings) -> Self {
        let off = TestBed::new(plan(1));
        let on =
            TestBed::offloading(plan(1), 1, |flows, workers| Box::new(Emulated::new(settings.clone(), workers, flows)));
        let mut twins = Self { off, on, generation: 1, forgets: settings.lose_every > 0 };
        twins.both(|bed| {
            bed.shared.learn_hop(UPLINK, Node(2).v4(), Node(2).mac(), 1);
        });
        twins.enforce();
        twins
    }

    fn both(&mut self, mut call: impl FnMut(&mut TestBed)) {
        call(&mut self.off);
        call(&mut self.on);
    }

    /// So many equal packets come in by a port, and a millisecond later both have turned.
    pub(crate) fn receive(&mut self, port: PortId, packet: &[u8], times: usize) {
        self.both(|bed| {
            (0..times).for_each(|_| bed.receive(port, packet));
            bed.tick();
            bed.turn();
        });
        self.compare();
    }

    /// Milliseconds pass.
    pub(crate) fn wait(&mut self, milliseconds: u32) {
        self.both(|bed| bed.pass(milliseconds));
        self.compare();
    }

    /// The next policy.
    pub(crate) fn enforce(&mut self) {
        self.generation += 1;
        let generation = self.generation;
        self.both(|bed| bed.enforce(generation, Asked(allows(generation))));
    }

    /// The same tables anew.
    pub(crate) fn publish(&mut self) {
        self.generation += 1;
        let generation = self.generation;
        self.both(|bed| bed.publish(plan(generation).build()));
    }

    /// A port goes, and comes again.
    pub(crate) fn plug_again(&mut self, port: PortId) {
        self.both(|bed| bed.plug_again(port));
    }

    /// What left each port is the same, in whatever order one turn had it.
    fn compare(&mut self) {
        for port in PORTS {
            let [mut off, mut on] = [&self.off, &self.on].map(|bed| bed.sent_by(port));
            off.sort_unstable();
            on.sort_unstable();
            assert_eq!(off, on, "what left port {port}");
        }
    }

    /// Everything there is to compare in the end: the ledgers, whole. Returns what died, and how many packets the engine carried.
    pub(crate) fn close(mut self) -> (Vec<Moved>, u64) {
        self.wait(500);
        let [off, on] = [self.off.moved(), self.on.moved()];
        let only_deaths = |moved: &[Moved]| -> Vec<Moved> {
            let died = |line: &&Moved| matches!(line, Moved::Dropped(..));
            moved.iter().filter(died).copied().collect()
        };
        let died = only_deaths(&off);
        assert_eq!(died, only_deaths(&on));
        if !self.forgets {
            assert_eq!(off, on, "the ledgers");
        }
        (died, report(&self.on).hits)
    }
}

/// A conversation between two stations.
#[derive(Clone, Copy)]
pub(crate) struct Conversation {
    one: (End, PortId),
    other: (End, PortId),
    v6: bool,
    routed: bool,
}

impl Conversation {
    pub(crate) fn new(one: (Host, PortId), other: (Host, PortId), ports: (u16, u16), v6: bool) -> Self {
        let end = |(host, at): (Host, PortId), port| (End { host, port, sequence: 1000 }, at);
        let routed = one.0.v4.octets()[2] != other.0.v4.octets()[2];
        Self { one: end(one, ports.0), other: end(other, ports.1), v6, routed }
    }

    /// The sender, as it sends; the receiver, as it is addressed; and the port of the first.
    fn ends(&self, back: bool) -> (End, End, PortId) {
        let ((from, at), (mut to, _)) = if back { (self.other, self.one) } else { (self.one, self.other) };
        if self.routed {
            to.host = to.host.at(gateway(from.host.v4.octets()[2]).mac);
        }
        (from, to, at)
    }

    pub(crate) fn udp(&self, back: bool, length: usize, hops: u8, field: Field) -> (PortId, Vec<u8>) {
        let (from, to, at) = self.ends(back);
        let len = (8 + length) as u16;
        let header = UdpHeader { source_port: from.port, destination_port: to.port, len, checksum: 0 };
        let mut body = vec![7; 8 + length];
        header.emit(&mut body).expect("room for a header");
        let (one, two) = (from.host, to.host);
        let packet = if self.v6 {
            let body = summed((one.v6.into(), two.v6.into()), IpProtocol::UDP, body, field);
            let header = Ipv6Header { hop_limit: hops, ..Ipv6Header::new(one.v6, two.v6, IpProtocol::UDP, 0) };
            ipv6(one.mac, two.mac, header, &body)
        } else {
            let body = summed((one.v4.into(), two.v4.into()), IpProtocol::UDP, body, field);
            let header = Ipv4Header { ttl: hops, ..Ipv4Header::new(one.v4, two.v4, IpProtocol::UDP, 0) };
            ipv4(one.mac, two.mac, header, &body)
        };
        (at, packet)
    }

    /// A segment that stands `ahead` of where its sender is.
    pub(crate) fn tcp(&self, back: bool, flags: TcpFlags, ahead: u32) -> (PortId, Vec<u8>) {
        let (from, to, at) = self.ends(back);
        (at, segment(from, to, (flags, ahead), self.v6))
    }

    /// What a side has said is acknowledged by what the other says from now on.
    pub(crate) fn advance(&mut self, back: bool, by: u32) {
        let end = if back { &mut self.other.0 } else { &mut self.one.0 };
        end.sequence = end.sequence.wrapping_add(by);
    }

    /// The handshake.
    pub(crate) fn open(&mut self, twins: &mut Twins) {
        for (back, flags, by) in [(false, SYN, 1), (true, SYN_ACK, 1), (false, ACK, 0), (true, ACK, 0)] {
            let (port, packet) = self.tcp(back, flags, 0);
            twins.receive(port, &packet, 1);
            self.advance(back, by);
        }
    }

    /// The other end is somewhere else from now on.
    pub(crate) fn move_other(&mut self, to: PortId) {
        self.other.1 = to;
    }
}

pub(crate) const FLAGS: [TcpFlags; 6] = [ACK, ACK, FIN_ACK, RST, SYN, SYN_ACK];

/// An inner frame as node 2 sends it to node 1 in VNI 7, without an outer checksum.
pub(crate) fn tunnelled(inner: &[u8]) -> Vec<u8> {
    const VXLAN_PORT: u16 = 4789;
    let (IpAddr::V4(from), IpAddr::V4(to)) = (Node(2).v4(), Node(1).v4()) else { panic!("IPv4") };
    let len = (8 + 8 + inner.len()) as u16;
    let header = UdpHeader { source_port: 0xc000, destination_port: VXLAN_PORT, len, checksum: 0 };
    let mut body = vec![0; 8];
    header.emit(&mut body).expect("room for a header");
    body.extend([8, 0, 0, 0, 0, 0, 7, 0]);
    body.extend(inner);
    ipv4(Node(2).mac(), Node(1).mac(), Ipv4Header::new(from, to, IpProtocol::UDP, 0), &body)
}

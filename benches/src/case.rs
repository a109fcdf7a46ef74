//! What happens to the packets of a run: which packets, and between which tables.

use core::net::IpAddr;

use podlane_dataplane::{
    NetworkId, PortId, Vni, VrfId,
    tables::{
        Network, PortTable,
        underlay::{self, Hop, Peer, Uplink, Vtep},
    },
    testbed::Plan,
    tunnel::Encapsulation,
};

use crate::{
    carousel::{Load, Rewrite},
    packets::{self, ENTRY, EXIT, Host, Segment, VLAN, host},
};

/// The network's number in the tunnels.
const VNI: u32 = 7;

/// What happens to the packets of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// IPv4, bridged.
    Bridge,
    /// IPv6, bridged.
    BridgeIpv6,
    /// IPv4, bridged, from a port whose sender leaves checksums unfinished, as a pod's does.
    FromPod,
    /// IPv4, routed.
    Route,
    /// IPv6, routed.
    RouteIpv6,
    /// IPv4, bridged from a trunk to an access port: the tag comes off.
    PopTag,
    /// IPv4, bridged from an access port to a trunk: a tag goes on.
    PushTag,
    /// IPv4, from a pod into a VXLAN tunnel over IPv4.
    Encapsulate,
    /// IPv4, out of such a tunnel to a pod.
    Decapsulate,
    /// TCP over IPv4, bridged, in established connections under so many policies; none are in force without a number.
    Tcp(Option<usize>),
    /// The same over IPv6.
    TcpIpv6(Option<usize>),
}

impl Case {
    /// The packets of the case.
    #[must_use]
    pub fn load(self, flows: usize) -> Load {
        if self.is_tcp() {
            return self.segments(Segment::Data, flows);
        }
        let (a, b) = self.ends();
        let to = match self {
            Self::Route | Self::RouteIpv6 => Host { mac: host(0, 254).mac, ..b },
            _ => b,
        };
        let (template, ports_at) = match self {
            Self::BridgeIpv6 | Self::RouteIpv6 => packets::udp6(a, to),
            Self::PopTag => packets::udp4(a, to, Some(VLAN)),
            _ => packets::udp4(a, to, None),
        };
        let (template, ports_at) = match self {
            Self::Decapsulate => packets::tunnelled((template, ports_at), VNI),
            _ => (template.to_vec(), ports_at),
        };
        let rewrite = match self {
            Self::PopTag | Self::PushTag => Rewrite::Tag,
            Self::Route | Self::RouteIpv6 => Rewrite::Headers,
            _ => Rewrite::Nothing,
        };
        Load { template, ports_at, rewrite, flows: packets::flows(flows) }
    }

    /// The packets that open the flows of the case.
    #[must_use]
    pub fn opening(self, flows: usize) -> Load {
        if self.is_tcp() { self.segments(Segment::Open, flows) } else { self.load(flows) }
    }

    /// Segments of one kind, from the side that sends them.
    pub(crate) fn segments(self, segment: Segment, flows: usize) -> Load {
        let (a, b) = self.ends();
        let (from, to) = if segment == Segment::Answer { (b, a) } else { (a, b) };
        let (template, ports_at) = match self {
            Self::TcpIpv6(_) => packets::tcp6(from, to, segment),
            _ => packets::tcp4(from, to, segment),
        };
        let flows = packets::flows(flows);
        let flows = match segment {
            Segment::Answer => flows.iter().map(|[a, b, c, d]| [*c, *d, *a, *b]).collect(),
            Segment::Open | Segment::Data => flows,
        };
        Load { template, ports_at, rewrite: Rewrite::Nothing, flows }
    }

    pub(crate) const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_) | Self::TcpIpv6(_))
    }

    /// How many policies are in force, if any.
    pub(crate) const fn policies(self) -> Option<usize> {
        match self {
            Self::Tcp(policies) | Self::TcpIpv6(policies) => policies,
            _ => None,
        }
    }

    /// The tables of the case.
    pub(crate) fn plan(self) -> Plan {
        let (a, b) = self.ends();
        match self {
            Self::Tcp(policies) | Self::TcpIpv6(policies) => {
                let pod = |host: Host| PortTable { policed: policies.is_some(), ..host.stated() };
                Plan::new(1).port(ENTRY, 0, pod(a)).port(EXIT, 0, pod(b))
            }
            Self::Bridge | Self::BridgeIpv6 => Plan::new(1).port(ENTRY, 0, a.stated()).port(EXIT, 0, b.stated()),
            Self::FromPod => {
                let pod = PortTable { unfinished_checksums: true, ..a.stated() };
                Plan::new(1).port(ENTRY, 0, pod).port(EXIT, 0, b.stated())
            }
            Self::Route | Self::RouteIpv6 => {
                let addresses = |network| {
                    let gateway = host(network, 254);
                    [(IpAddr::from(gateway.v4), 24), (IpAddr::from(gateway.v6), 64)]
                };
                Plan::new(2)
                    .network(1, |network| network.vrf = VrfId(0))
                    .gateway(0, host(0, 254).mac, &addresses(0))
                    .gateway(1, host(1, 254).mac, &addresses(1))
                    .port(ENTRY, 0, a.stated())
                    .port(EXIT, 1, b.stated())
            }
            Self::PopTag => Plan::new(1).tagged(ENTRY, VLAN, 0).port(EXIT, 0, b.stated()),
            Self::PushTag => {
                let knows_b = move |network: &mut Network| {
                    network.stations.insert(b.mac, EXIT);
                };
                Plan::new(1).network(0, knows_b).port(ENTRY, 0, a.stated()).tagged(EXIT, VLAN, 0)
            }
            Self::Encapsulate => {
                let plan = overlay(Plan::new(1).port(ENTRY, 0, a.stated()), EXIT);
                plan.remote(0, 0, b.mac, &[b.v4.into()])
            }
            Self::Decapsulate => {
                overlay(Plan::new(1).port(EXIT, 0, b.stated()), ENTRY).remote(0, 0, a.mac, &[a.v4.into()])
            }
        }
    }

    /// Who sends to whom.
    const fn ends(self) -> (Host, Host) {
        match self {
            Self::Route | Self::RouteIpv6 => (host(0, 1), host(1, 1)),
            _ => (host(0, 1), host(0, 2)),
        }
    }
}

/// The plan with network 0 on an underlay of this node and one other, behind this port.
fn overlay(plan: Plan, uplink: PortId) -> Plan {
    let (here, there) = (packets::node(1), packets::node(2));
    let uplinks =
        vec![Uplink { port: uplink, mac: here.mac, vlan: None, mtu: 1600, link_local: here.mac.link_local() }];
    let vteps = vec![Vtep { address: here.v4.into(), shared: false }];
    let hops = vec![Hop { uplink: 0, address: there.v4.into() }];
    let peers = vec![Peer { address: there.v4.into(), vtep: here.v4.into(), hops }];
    let segment = underlay::Segment::of(NetworkId(0), Vni(VNI), Encapsulation::Vxlan, vec![0]);
    plan.uplink(uplink, 1600).overlay(vteps, uplinks, peers, &[segment])
}

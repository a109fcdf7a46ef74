//! Podlane with one network on an underlay: a pod's port, and an uplink of which the XDP program claims the tunnel packets.

use core::net::Ipv4Addr;
use std::num::NonZero;

use podlane_bpf::{Claim, Vtep as Claimed};
use podlane_dataplane::{
    NetworkId, PortId, Vni,
    tables::{
        PortTable, Tables,
        underlay::{Hop, Peer, Segment, Uplink, Vtep},
    },
    testbed::Plan,
    tunnel::Encapsulation,
    worker::idle::Poll,
};
use podlane_host::Netns;
use podlane_wire::MacAddr;

use crate::{
    bed::{Bed, station_mac},
    load::{
        traffic::address,
        underlay::{PEER, VNI, VTEP, peer_mac, uplink_mac},
    },
    nodes::Nodes,
    subject::{
        SubjectError, Way,
        end::RING,
        switch::{FRAMES, Switch},
        tunnel::Ends,
    },
};

/// The pod's port and the uplink's.
const POD: PortId = PortId(1);
const UPLINK: PortId = PortId(2);

/// The longest outer IP packet.
pub(crate) const UNDERLAY_MTU: u16 = 1500;

/// Starts one end of the tunnel, for packets one way.
pub(super) fn start(bed: &Bed, way: Way) -> Result<Switch, SubjectError> {
    let ends = Ends::of(bed, way)?;
    // The sender is station 1 and the receiver station 2; one of them is on the far node.
    let (station, other) = if way == Way::Decapsulated { (2, 1) } else { (1, 2) };
    let node = Node { station, other, ..Node::NEAR };
    let switch = node.start((bed.cores.switch, Poll::Busy), bed.switch(), &ends)?;
    // The far node is none and answers no ARP.
    switch.shared().learn_hop(UPLINK, PEER.into(), peer_mac(), 0);
    Ok(switch)
}

/// Starts both ends, on two nodes, each on a core. Nobody has a core of its own there, so the workers sleep when there is nothing to do.
pub(super) fn span(nodes: &Nodes) -> Result<[Switch; 2], SubjectError> {
    let start = |number, core, node: Node| node.start((core, Poll::Adaptive), nodes.node(number), &nodes.ends(number));
    Ok([start(0, nodes.cores.load, Node::NEAR)?, start(1, nodes.cores.switch, Node::FAR)?])
}

/// One of two nodes, each with one station of one network.
#[derive(Clone, Copy)]
struct Node {
    /// The station behind its pod's port, and the one on the other node.
    station: u8,
    other: u8,
    /// Its VTEP, and the other node's.
    vtep: Ipv4Addr,
    peer: Ipv4Addr,
    /// The MAC address of its uplink.
    mac: MacAddr,
}

impl Node {
    const NEAR: Self = Self { station: 1, other: 2, vtep: VTEP, peer: PEER, mac: uplink_mac() };
    const FAR: Self = Self { station: 2, other: 1, vtep: PEER, peer: VTEP, mac: peer_mac() };

    /// Starts its switch.
    fn start(self, (core, poll): (usize, Poll), netns: &Netns, ends: &Ends) -> Result<Switch, SubjectError> {
        let frames = NonZero::new(FRAMES).unwrap_or(NonZero::<u32>::MIN);
        let mut switch = Switch::start(&[core], poll, frames)?;
        let claim = Claim {
            vteps: &[Claimed { address: self.vtep.into(), own: true }],
            tunnel_ports: &[Encapsulation::Vxlan.port()],
            next_hops: &[self.peer.into()],
            ..Claim::default()
        };
        switch.attach(netns, &ends.pod, POD, RING)?;
        switch.attach_uplink(netns, &ends.uplink, UPLINK, &claim)?;
        switch.publish(self.tables())?;
        Ok(switch)
    }

    fn tables(self) -> Tables {
        let Self { station, other, vtep, peer, mac } = self;
        let pod = PortTable {
            mac: Some(station_mac(station)),
            addresses: vec![address(0, station).into()],
            unfinished_checksums: true,
            ..PortTable::default()
        };
        let uplink = Uplink { port: UPLINK, mac, vlan: None, mtu: UNDERLAY_MTU, link_local: mac.link_local() };
        let hops = vec![Hop { uplink: 0, address: peer.into() }];
        let peer = Peer { address: peer.into(), vtep: vtep.into(), hops };
        let segment = Segment::of(NetworkId(0), Vni(VNI), Encapsulation::Vxlan, vec![0]);
        let vtep = Vtep { address: vtep.into(), shared: false };
        let mut tables = Plan::new(1)
            .network(0, |network| network.flood_unknown = false)
            .port(POD, 0, pod)
            .uplink(UPLINK, UNDERLAY_MTU)
            .overlay(vec![vtep], vec![uplink], vec![peer], &[segment])
            .remote(0, 0, station_mac(other), &[address(0, other).into()])
            .build();
        // As of every veth: the other node's kernel leaves checksums to its device, and that is one.
        if let Some(Some(uplink)) = tables.ports.get_mut(UPLINK.index()) {
            uplink.unfinished_checksums = true;
        }
        tables
    }
}

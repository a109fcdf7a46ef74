//! Podlane with one network on an underlay: a pod's port, and an uplink of which the XDP program claims the tunnel packets.

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
use podlane_wire::MacAddr;

use crate::{
    bed::{Bed, station_mac},
    load::{
        traffic::{Traffic, address},
        underlay::{PEER, VNI, VTEP, peer_mac, uplink_mac},
    },
    subject::{
        Running, Subject, SubjectError,
        end::RING,
        podlane::Switching,
        switch::{FRAMES, Switch},
        tunnel::Direction,
    },
};

/// The pod's port and the uplink's.
const POD: PortId = PortId(1);
const UPLINK: PortId = PortId(2);

/// The longest outer IP packet.
const UNDERLAY_MTU: u16 = 1500;

/// The subject.
pub struct Overlay {
    /// Its row in the table.
    pub name: &'static str,
    /// Which way.
    pub direction: Direction,
}

impl Subject for Overlay {
    fn name(&self) -> &'static str {
        self.name
    }

    fn traffic(&self) -> Traffic {
        self.direction.traffic()
    }

    fn arriving(&self) -> usize {
        self.direction.arriving()
    }

    fn start(&self, bed: &Bed) -> Result<Box<dyn Running>, SubjectError> {
        let ends = self.direction.ends(bed)?;
        let frames = NonZero::new(FRAMES).unwrap_or(NonZero::<u32>::MIN);
        let mut switch = Switch::start(bed.cores.switch, Poll::Busy, frames)?;
        let claim = Claim {
            vteps: &[Claimed { address: VTEP.into(), own: true }],
            tunnel_ports: &[Encapsulation::Vxlan.port()],
            next_hops: &[PEER.into()],
            whole: false,
        };
        switch.attach(bed.switch(), &ends.pod, POD, RING)?;
        switch.attach_uplink(bed.switch(), &ends.uplink, UPLINK, &claim)?;
        switch.publish(self.tables())?;
        // The far node is none and answers no ARP.
        switch.shared().learn_hop(UPLINK, PEER.into(), peer_mac(), 0);
        Ok(Box::new(Switching(switch)))
    }
}

impl Overlay {
    /// The sender is station 1 and the receiver station 2; one of them is on the far node.
    fn tables(&self) -> Tables {
        let (here, there) = match self.direction {
            Direction::Encapsulation => (1, 2),
            Direction::Decapsulation => (2, 1),
        };
        let pod = PortTable {
            mac: Some(station_mac(here)),
            addresses: vec![address(0, here).into()],
            unfinished_checksums: true,
            ..PortTable::default()
        };
        let uplink = Uplink {
            port: UPLINK,
            mac: uplink_mac(),
            vlan: None,
            mtu: UNDERLAY_MTU,
            link_local: uplink_mac().link_local(),
        };
        let hops = vec![Hop { uplink: 0, address: PEER.into() }];
        let peer = Peer { address: PEER.into(), vtep: VTEP.into(), hops };
        let segment = Segment {
            network: NetworkId(0),
            vni: Vni(VNI),
            encapsulation: Encapsulation::Vxlan,
            udp_port: Encapsulation::Vxlan.port(),
            checksum: None,
            gateway_mac: MacAddr::default(),
            clamp_mss: false,
            peers: vec![0],
        };
        let vtep = Vtep { address: VTEP.into(), shared: false };
        Plan::new(1)
            .network(0, |network| network.flood_unknown = false)
            .port(POD, 0, pod)
            .uplink(UPLINK, UNDERLAY_MTU)
            .overlay(vec![vtep], vec![uplink], vec![peer], &[segment])
            .remote(0, 0, station_mac(there), &[address(0, there).into()])
            .build()
    }
}

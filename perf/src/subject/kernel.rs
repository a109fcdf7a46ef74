//! The kernel's own overlay: its `vxlan` device under its bridge.

use core::net::Ipv4Addr;

use podlane_bpf::Attachment;
use podlane_host::{Links, Netns, Vxlan};

use crate::{
    bed::Bed,
    load::{
        traffic::Traffic,
        underlay::{OUTER, PEER, PREFIX, VNI, VTEP, peer_mac},
    },
    subject::{
        Running, Subject, SubjectError,
        overlay::UNDERLAY_MTU,
        receiver::{receive_on, take_bursts},
        tunnel::{Direction, Ends},
    },
};

/// The device.
const TUNNEL: &str = "vxlan0";

/// The subject: one way through the tunnel.
pub struct Kernel(pub Direction);

impl Subject for Kernel {
    fn start(&self, bed: &Bed, _: Traffic) -> Result<Box<dyn Running>, SubjectError> {
        let ends = self.0.ends(bed)?;
        join(bed.switch(), &ends, [VTEP, PEER])?;
        let mut links = Links::open_in(bed.switch())?;
        links.add_neighbour(ends.uplink.ifindex, PEER.into(), peer_mac().0)?;
        let [first, _] = bed.host_ends();
        let passing = take_bursts(bed.switch(), &first)?;
        receive_on(bed, &first)?;
        Ok(Box::new(Bridging { _passing: passing }))
    }
}

/// Bridges a pod's link with a tunnel from one VTEP to another.
pub(crate) fn join(netns: &Netns, ends: &Ends, vteps: [Ipv4Addr; 2]) -> Result<(), SubjectError> {
    let [local, remote] = vteps;
    let mut links = Links::open_in(netns)?;
    links.add_address(ends.uplink.ifindex, local.into(), PREFIX)?;
    let bridge = links.bridge("br0")?;
    let below = ends.uplink.ifindex.into();
    let mtu = u32::from(UNDERLAY_MTU) - OUTER as u32;
    let local = local.into();
    links.vxlan(&Vxlan { name: TUNNEL, vni: VNI, local, below, udp_port: podlane_wire::Vxlan::PORT, mtu })?;
    links.add_flood_vtep(TUNNEL, remote.into())?;
    for port in [TUNNEL, &ends.pod.name] {
        links.enslave(port, bridge)?;
        links.set_up(port)?;
    }
    Ok(links.set_up(bridge)?)
}

/// It ends with the bed's namespaces.
struct Bridging {
    _passing: Attachment,
}

impl Running for Bridging {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

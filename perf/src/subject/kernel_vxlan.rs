//! The kernel's own overlay: its `vxlan` device under its bridge.

use core::net::Ipv4Addr;

use podlane_bpf::Attachment;
use podlane_host::{Links, Netns, Vxlan};

use crate::{
    bed::Bed,
    load::underlay::{OUTER, PEER, PREFIX, VNI, VTEP, peer_mac},
    nodes::Nodes,
    subject::{
        Duty, Running, Subject, SubjectError,
        overlay::UNDERLAY_MTU,
        receiver::{receive_on, take_bursts},
        tunnel::Ends,
    },
};

/// The device.
const TUNNEL: &str = "vxlan0";

/// The subject.
pub struct KernelVxlan;

impl Subject for KernelVxlan {
    fn name(&self) -> &'static str {
        "kernel vxlan"
    }

    fn takes(&self, duty: &Duty) -> bool {
        duty.is_tunnel()
    }

    fn finishes_checksums(&self) -> bool {
        true
    }

    fn start(&self, bed: &Bed, duty: &Duty) -> Result<Box<dyn Running>, SubjectError> {
        let ends = Ends::of(bed, duty.way)?;
        join(bed.switch(), &ends, [VTEP, PEER])?;
        let mut links = Links::open_in(bed.switch())?;
        links.add_neighbour(ends.uplink.ifindex, PEER.into(), peer_mac().0)?;
        let [first, _] = bed.host_ends();
        let passing = take_bursts(bed.switch(), &first)?;
        receive_on(bed.switch(), &first, bed.cores.switch)?;
        Ok(Box::new(Bridging { _passing: Some(passing) }))
    }

    fn spans_nodes(&self) -> bool {
        true
    }

    fn span(&self, nodes: &Nodes) -> Result<Box<dyn Running>, SubjectError> {
        for (number, vteps) in [[VTEP, PEER], [PEER, VTEP]].into_iter().enumerate() {
            join(nodes.node(number), &nodes.ends(number), vteps)?;
        }
        Ok(Box::new(Bridging { _passing: None }))
    }
}

/// Bridges a pod's link with a tunnel from one VTEP to another.
fn join(netns: &Netns, ends: &Ends, vteps: [Ipv4Addr; 2]) -> Result<(), SubjectError> {
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
    _passing: Option<Attachment>,
}

impl Running for Bridging {
    fn stop(self: Box<Self>) -> Result<(), SubjectError> {
        Ok(())
    }
}

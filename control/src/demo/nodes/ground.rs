//! The ground of two nodes and a plain kernel: a namespace for each, an underlay between them, and their pods.
//!
//! ```text
//!  red  green      blue         gray            pods, each in a namespace of its own
//!   |     |          |            |
//!  node1          node2        linux: bridge + vxlan
//!   uplink         uplink       uplink           each machine in one, its own addresses on the uplink
//!      \             |             /
//!       +--------- bridge --------+              the underlay, in one more
//! ```
//!
//! No namespace has a name, so there is nothing to clear away, as in the demo of one node.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process;
use std::sync::Arc;

use podlane_host::lab::{self, Lab, PodSpec};
use podlane_host::{HostError, Links, Netns, NetnsError, Pinned, Veth, VethPeer, Vxlan, sysctl};

use super::cast::{NEAR_VNI, Node, POD_MTU, Pod, UDP_PORT, UNDERLAY_MTU, UPLINK, underlay_prefix};
use super::cores::NodeCores;
use crate::demo::pods::{Family, Network};
use crate::demo::traffic::Place;

/// The name of every pod's link.
const POD_LINK: &str = "eth0";

/// The bridge that is the underlay, and the bridge of the plain kernel.
const UNDERLAY: &str = "underlay";
const BRIDGE: &str = "near";

/// The plain kernel's tunnel device.
const TUNNEL: &str = "vxlan7";

/// Three machines on an underlay, and four pods on them.
pub(crate) struct Ground {
    _underlay: Lab,
    machines: Vec<(Node, Lab, Arc<Netns>)>,
    pods: Vec<(Pod, lab::Pod, Arc<Netns>)>,
}

impl Ground {
    /// Makes all of it. What runs Podlane forwards nothing yet; the plain kernel does.
    pub(crate) fn lay() -> Result<Self, HostError> {
        let mut underlay = Lab::new()?;
        let bridge = underlay.links().bridge(UNDERLAY)?;
        underlay.links().set_up(bridge)?;
        let (mut machines, mut pods) = (Vec::new(), Vec::new());
        for node in Node::ALL {
            let mut machine = Lab::new()?;
            connect(node, &mut machine, &mut underlay)?;
            for pod in node.pods() {
                let made = machine.pod(&specification(pod))?;
                made.links()?.set_mtu(POD_LINK, POD_MTU)?;
                let namespace = Arc::new(made.netns.try_clone()?);
                pods.push((pod, made, namespace));
            }
            let namespace = Arc::new(machine.switch().try_clone()?);
            machines.push((node, machine, namespace));
        }
        let mut ground = Self { _underlay: underlay, machines, pods };
        ground.tunnel_of_the_kernel()?;
        Ok(ground)
    }

    /// Gives the plain kernel what makes it a peer: a bridge, with its pod and a tunnel in it.
    fn tunnel_of_the_kernel(&mut self) -> Result<(), HostError> {
        let links = self.machines[Node::Linux as usize].1.links();
        let bridge = links.bridge(BRIDGE)?;
        let (name, below) = (TUNNEL, UPLINK.into());
        let local = Node::Linux.vtep().into();
        let vxlan = Vxlan { name, vni: NEAR_VNI, local, below, udp_port: UDP_PORT, mtu: POD_MTU };
        let tunnel = links.vxlan(&vxlan)?;
        for node in Node::SWITCHES {
            links.add_flood_vtep(tunnel, node.vtep().into())?;
        }
        for port in [TUNNEL, Pod::Gray.device()] {
            links.enslave(port, bridge)?;
        }
        links.set_up(tunnel)?;
        links.set_up(bridge)
    }

    /// The namespace of a machine.
    pub(crate) fn machine(&self, node: Node) -> Arc<Netns> {
        // made in the order of Node::ALL, which is that of the enum
        Arc::clone(&self.machines[node as usize].2)
    }

    /// Where the load of a pod runs.
    pub(crate) fn place(&self, pod: Pod, cores: &NodeCores) -> Place {
        // made in the order of Node::ALL and of the pods on each, which is that of the enum
        let at = pod as usize;
        let core = Some(core_affinity::CoreId { id: cores.of_pod(at) });
        Place { namespace: Arc::clone(&self.pods[at].2), core }
    }

    /// Sets the MTU of a pod's own end.
    pub(crate) fn set_mtu(&self, pod: Pod, mtu: u32) -> Result<(), HostError> {
        self.pods[pod as usize].1.links()?.set_mtu(POD_LINK, mtu)
    }

    /// Names the namespaces of all pods and machines, until the names are dropped.
    pub(crate) fn pin(&self) -> Result<Vec<Pinned>, NetnsError> {
        let pods = self.pods.iter().map(|(pod, .., netns)| (pod.name(), netns));
        let machines = self.machines.iter().map(|(node, .., netns)| (node.name(), netns));
        pods.chain(machines).map(|(name, netns)| netns.pin(&pin_name(name))).collect()
    }
}

/// The name of a namespace, as `ip netns exec` takes it.
pub(crate) fn pin_name(of: &str) -> String {
    format!("podlane-{}-{of}", process::id())
}

/// Connects a machine to the underlay.
fn connect(node: Node, machine: &mut Lab, underlay: &mut Lab) -> Result<(), HostError> {
    let far = VethPeer { name: node.name(), netns: Some(underlay.switch().as_fd()), mac: None };
    let uplink = Veth { name: UPLINK, mtu: UNDERLAY_MTU, mac: None, queues: 1, peer: far };
    machine.links().veth(&uplink)?;
    underlay.links().enslave(node.name(), UNDERLAY)?;
    underlay.links().set_up(node.name())?;
    // A machine has IPv6 off, so that nothing of its own gets into the pods; its uplink is no pod's.
    machine.switch().run(|| sysctl(&format!("net/ipv6/conf/{UPLINK}/disable_ipv6"), 0))??;
    let links: &mut Links = machine.links();
    for family in [Family::V4, Family::V6] {
        links.add_address(UPLINK, node.address(family), underlay_prefix(family))?;
    }
    links.set_up(UPLINK)
}

fn specification(pod: Pod) -> PodSpec {
    let v4 = |address| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let v6 = |address| match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    };
    let network = pod.network();
    PodSpec {
        ipv4: v4(pod.address(Family::V4)).map(|own| (own, Network::prefix_length(Family::V4))),
        ipv6: v6(pod.address(Family::V6)).map(|own| (own, Network::prefix_length(Family::V6))),
        gateway_v4: v4(network.gateway(Family::V4)),
        gateway_v6: v6(network.gateway(Family::V6)),
        // the node's end takes what a pod that was told nothing sends; its own end is told right away
        mtu: UNDERLAY_MTU,
        mac: Some(pod.mac()),
        ..PodSpec::named(pod.device())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::demo::tests::skipped;

    #[test]
    fn the_machines_reach_each_other_before_there_is_a_switch() {
        if skipped("the_machines_reach_each_other_before_there_is_a_switch") {
            return;
        }
        let ground = Ground::lay().unwrap();
        for family in [Family::V4, Family::V6] {
            let hears = Node::Two.address(family);
            let socket = ground.machine(Node::Two).run(|| UdpSocket::bind((hears, 7000))).unwrap().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let asks = Node::Linux.address(family);
            let sender = ground.machine(Node::Linux).run(|| UdpSocket::bind((asks, 7001))).unwrap().unwrap();
            let deadline = Instant::now() + Duration::from_secs(5);
            loop {
                sender.send_to(b"hello", (hears, 7000)).unwrap();
                if socket.recv_from(&mut [0; 8]).is_ok() {
                    break;
                }
                assert!(Instant::now() < deadline, "{hears} heard nothing");
            }
        }
    }
}

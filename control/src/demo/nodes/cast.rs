//! Who is in the demo of two nodes: three machines on one underlay, four pods on them, and the configuration of the two that
//! run Podlane.
//!
//! The near network is on all three machines, with VNI 7, and floods, because the kernel's `vxlan` asks by ARP for whom it has
//! not learned. The far one is on the two Podlane nodes alone, which have been told who is where. Both have their gateway on
//! every node, so that a packet is routed where it enters.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::demo::pods::{Family, Network, spell_mac};

/// What the underlay carries at most, in bytes.
pub(crate) const UNDERLAY_MTU: u32 = 1500;

/// Inner Ethernet, VXLAN, UDP and IPv4.
const OVERHEAD: u32 = 14 + 8 + 8 + 20;

/// What is left for the pods: what Podlane proposes for these networks, and the path MTU it tells who sends more.
pub(crate) const POD_MTU: u32 = UNDERLAY_MTU - OVERHEAD;

/// The near network on the wire.
pub(crate) const NEAR_VNI: u32 = 7;
const FAR_VNI: u32 = 8;

/// The UDP port of VXLAN (RFC 7348, section 5).
pub(crate) const UDP_PORT: u16 = 4789;

/// The uplink of every machine, and what its port is called.
pub(crate) const UPLINK: &str = "uplink";
const UPLINK_PORT: &str = "up";

/// How long the underlay's prefixes are.
pub(crate) fn underlay_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => 24,
        Family::V6 => 64,
    }
}

/// A machine on the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The first that runs Podlane.
    One,
    /// The second.
    Two,
    /// The one that runs nothing but its kernel.
    Linux,
}

/// One of the four pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pod {
    Red,
    Green,
    Blue,
    Gray,
}

impl Node {
    /// All three, in the order they are drawn.
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Linux];

    /// Those with a switch, in the same order.
    pub(crate) const SWITCHES: [Self; 2] = [Self::One, Self::Two];

    /// Its name, which is also its name as a peer.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "node1",
            Self::Two => "node2",
            Self::Linux => "linux",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Linux => 3,
        }
    }

    /// Its own address on the underlay. The IPv4 one is its VTEP's too.
    pub(crate) fn address(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.vtep().into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, self.number().into()).into(),
        }
    }

    /// Where its tunnels begin and end.
    pub(crate) fn vtep(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, self.number())
    }

    /// The pods on it.
    pub(crate) fn pods(self) -> impl Iterator<Item = Pod> {
        Pod::ALL.into_iter().filter(move |pod| pod.node() == self)
    }
}

impl Pod {
    /// All four, in the order they are drawn.
    pub(crate) const ALL: [Self; 4] = [Self::Red, Self::Green, Self::Blue, Self::Gray];

    /// The pod's name, which is also the name of its port.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Gray => "gray",
        }
    }

    /// The end of the pod's veth that its node has.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::Red => "pod-red",
            Self::Green => "pod-green",
            Self::Blue => "pod-blue",
            Self::Gray => "pod-gray",
        }
    }

    /// Where it runs.
    pub(crate) fn node(self) -> Node {
        match self {
            Self::Red | Self::Green => Node::One,
            Self::Blue => Node::Two,
            Self::Gray => Node::Linux,
        }
    }

    /// Where it is attached.
    pub(crate) fn network(self) -> Network {
        match self {
            Self::Red | Self::Blue | Self::Gray => Network::Near,
            Self::Green => Network::Far,
        }
    }

    fn host(self) -> u8 {
        match self {
            Self::Red => 11,
            Self::Green => 12,
            Self::Blue => 13,
            Self::Gray => 14,
        }
    }

    /// The MAC of the pod's own end, locally administered.
    pub(crate) fn mac(self) -> [u8; 6] {
        [0x02, 0x77, 0x00, 0x00, 0x00, self.host()]
    }

    /// The pod's address in one family.
    pub(crate) fn address(self, family: Family) -> IpAddr {
        self.network().address(family, self.host())
    }
}

/// The configuration of one node's switch, as a user would write it for `podlane run`.
///
/// `process` tells demos apart. Nothing is pinned: no later daemon takes over what a demo leaves.
pub(crate) fn configuration(node: Node, core: usize, process: u32, socket: Option<&Path>) -> String {
    // Writing into a String cannot fail; the results are let go for that reason.
    let mut text = format!("[daemon]\ninstance = \"demo-{process}-{}\"\npin = false\n", node.name());
    if let Some(socket) = socket {
        let _ = writeln!(text, "socket = \"{}\"", socket.display());
    }
    let _ = writeln!(text, "\n[workers]\ncores = [{core}]");
    let (vtep, prefix) = (node.vtep(), underlay_prefix(Family::V4));
    let _ = writeln!(text, "\n[underlay]\nvteps = [\"{vtep}/{prefix}\"]\nuplinks = [\"{UPLINK_PORT}\"]");
    for peer in Node::ALL.into_iter().filter(|peer| *peer != node) {
        let _ = writeln!(text, "\n[[peer]]\nname = \"{}\"\nvtep = \"{}\"", peer.name(), peer.vtep());
    }
    for network in Network::ALL {
        write_network(&mut text, network, node);
    }
    let _ = writeln!(text, "\n[[port]]\nname = \"{UPLINK_PORT}\"\nkind = \"uplink\"\ndevice = \"{UPLINK}\"");
    for pod in node.pods() {
        let (name, device, network) = (pod.name(), pod.device(), pod.network().name());
        let _ = writeln!(text, "\n[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\nnetwork = \"{network}\"");
        write_addresses(&mut text, pod);
    }
    for pod in Node::SWITCHES.into_iter().filter(|other| *other != node).flat_map(Node::pods) {
        let (peer, network) = (pod.node().name(), pod.network().name());
        let _ = writeln!(text, "\n[[endpoint]]\npeer = \"{peer}\"\nnetwork = \"{network}\"");
        write_addresses(&mut text, pod);
    }
    text
}

fn write_network(text: &mut String, network: Network, node: Node) {
    let [v4, v6] = [Family::V4, Family::V6]
        .map(|family| format!("{}/{}", network.gateway(family), Network::prefix_length(family)));
    let name = network.name();
    let _ = writeln!(text, "\n[[network]]\nname = \"{name}\"\nvrf = \"demo\"\ngateways = [\"{v4}\", \"{v6}\"]");
    let _ = match network {
        Network::Near => writeln!(text, "vni = {NEAR_VNI}\nflood = true"),
        Network::Far => {
            let peers = Node::SWITCHES.into_iter().filter(|peer| *peer != node);
            let peers: Vec<String> = peers.map(|peer| format!("\"{}\"", peer.name())).collect();
            writeln!(text, "vni = {FAR_VNI}\npeers = [{}]", peers.join(", "))
        }
    };
}

fn write_addresses(text: &mut String, pod: Pod) {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| pod.address(family));
    let _ = writeln!(text, "mac = \"{}\"\naddresses = [\"{v4}\", \"{v6}\"]", spell_mac(pod.mac()));
}

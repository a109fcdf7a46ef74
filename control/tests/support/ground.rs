//! What overlays are tested on: cables, machines that are plain kernels, and the words of a node's configuration.

use std::net::IpAddr;
use std::os::fd::AsFd;

use podlane_host::lab::{Pod, PodSpec};
use podlane_host::{LinkCounters, Links, Netns, Veth, VethPeer, Vxlan, sysctl};

use crate::support::{Daemon, Node, SOON, spec};

/// The family of an underlay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) use Family::{V4, V6};

impl Family {
    /// Host `host` of the underlay's network `network`.
    pub(crate) fn address(self, network: u8, host: u8) -> IpAddr {
        match self {
            V4 => [198, 18, network, host].into(),
            V6 => [0x2001, 0xdb8, network.into(), 0, 0, 0, 0, host.into()].into(),
        }
    }

    /// How long the prefix of such a network is.
    pub(crate) const fn prefix(self) -> u8 {
        match self {
            V4 => 24,
            V6 => 64,
        }
    }

    /// What a tunnel takes of a packet.
    pub(crate) const fn overhead(self) -> u32 {
        match self {
            V4 => 50,
            V6 => 70,
        }
    }
}

/// One end of a cable: a namespace, and the link's name in it.
#[derive(Clone, Copy)]
pub(crate) struct End<'a>(pub(crate) &'a Netns, pub(crate) &'a str);

impl End<'_> {
    pub(crate) fn links(self) -> Links {
        Links::open_in(self.0).unwrap()
    }

    /// Gives it an underlay's address.
    pub(crate) fn address(self, family: Family, network: u8, host: u8) {
        self.links().add_address(self.1, family.address(network, host), family.prefix()).unwrap();
    }

    pub(crate) fn counters(self) -> LinkCounters {
        self.links().counters(self.1).unwrap()
    }
}

/// Connects two namespaces. Of the kernels only those have IPv6 there that `family` asks to.
pub(crate) fn cable(near: End<'_>, far: End<'_>, family: Family, mtu: u32) {
    let peer = VethPeer { name: far.1, netns: Some(far.0.as_fd()), mac: None };
    near.links().veth(&Veth { name: near.1, mtu, mac: None, queues: 1, peer }).unwrap();
    for end in [near, far] {
        let settle = || {
            sysctl(&format!("net/ipv6/conf/{}/accept_dad", end.1), 0).unwrap();
            sysctl(&format!("net/ipv6/conf/{}/disable_ipv6", end.1), u8::from(family == V4)).unwrap();
        };
        end.0.run(settle).unwrap();
        end.links().set_up(end.1).unwrap();
    }
}

/// A namespace whose kernel forwards.
pub(crate) fn router() -> Netns {
    let netns = Netns::anonymous().unwrap();
    let settle = || {
        sysctl("net/ipv4/ip_forward", 1).unwrap();
        sysctl("net/ipv6/conf/all/forwarding", 1).unwrap();
    };
    netns.run(settle).unwrap();
    netns
}

/// Two nodes of one test, without pods; none where the host cannot have them, which is then said on standard error.
pub(crate) fn nodes(test: &str) -> Option<[Node; 2]> {
    let near = Node::new(test)?;
    let far = near.beside(&format!("{test}-far"));
    Some([near, far])
}

/// What both nodes of a [`Pair`] have below.
pub(crate) struct Plan {
    pub(crate) vteps: [IpAddr; 2],
    pub(crate) prefix: u8,
    /// The uplinks, quoted.
    pub(crate) uplinks: &'static str,
    /// More keys under `[underlay]`, and tables behind it.
    pub(crate) keys: [String; 2],
    /// More keys of the network.
    pub(crate) network: &'static str,
    pub(crate) pod_mtu: u32,
}

impl Plan {
    /// VTEPs that are host 1 of two underlay networks, which may be one; nothing out of the ordinary.
    pub(crate) fn new(family: Family, hosts: [(u8, u8); 2]) -> Self {
        Self {
            vteps: hosts.map(|(network, host)| family.address(network, host)),
            prefix: family.prefix(),
            uplinks: "\"up0\"",
            keys: Default::default(),
            network: "",
            pod_mtu: 1500,
        }
    }
}

/// Two nodes that share the network `blue`: a pod at 10.1.0.2 on the first, one at 10.1.0.3 on the other.
pub(crate) struct Pair {
    pub(crate) nodes: [Node; 2],
    pub(crate) pods: [Pod; 2],
    pub(crate) daemons: [Daemon; 2],
}

/// The last octets of the pods' addresses.
const HOSTS: [u8; 2] = [2, 3];

impl Pair {
    /// Makes the pods and starts the daemons, on an underlay that is there.
    pub(crate) fn start(mut nodes: [Node; 2], plan: &Plan) -> Self {
        let pods = [0, 1].map(|number: usize| {
            let wanted = PodSpec { mtu: plan.pod_mtu, ..spec("pod", 1, HOSTS[number]) };
            nodes[number].lab.pod(&wanted).unwrap()
        });
        for (number, node) in nodes.iter().enumerate() {
            let text = [
                underlay_by(plan.uplinks, plan.vteps[number], plan.prefix, &plan.keys[number]),
                peer("other", plan.vteps[1 - number]),
                network("blue", 7, 1, plan.network),
                port("pod", "blue", 1, HOSTS[number]),
                endpoint("blue", 1, HOSTS[1 - number], "other"),
            ];
            node.configure(&text.concat());
        }
        let daemons = [0, 1].map(|number: usize| nodes[number].start());
        for daemon in &daemons {
            daemon.wait_all_up(SOON);
        }
        Self { nodes, pods, daemons }
    }

    pub(crate) fn pod(&self, number: usize) -> &Netns {
        &self.pods[number].netns
    }

    pub(crate) fn host(&self, number: usize) -> &Netns {
        self.nodes[number].lab.switch()
    }

    /// Ends all, and looks whether anything is left.
    pub(crate) fn end(self) {
        for daemon in &self.daemons {
            daemon.counters();
        }
        for (daemon, node) in self.daemons.into_iter().zip(&self.nodes) {
            daemon.terminate();
            node.assert_clean(&["pod", "up0"]);
        }
    }
}

/// `[underlay]` with one VTEP and the uplink `up0`, and that port.
pub(crate) fn underlay(vtep: IpAddr, prefix: u8, keys: &str) -> String {
    underlay_by("\"up0\"", vtep, prefix, keys)
}

fn underlay_by(uplinks: &str, vtep: IpAddr, prefix: u8, keys: &str) -> String {
    format!(
        "[underlay]\nvteps = [\"{vtep}/{prefix}\"]\nuplinks = [{uplinks}]\n{keys}\
         [[port]]\nname = \"up0\"\ndevice = \"up0\"\nkind = \"uplink\"\n"
    )
}

pub(crate) fn peer(name: &str, vtep: IpAddr) -> String {
    format!("[[peer]]\nname = \"{name}\"\nvtep = \"{vtep}\"\n")
}

/// The network 10.`subnet`.0.0/24 and fd00:`subnet`::/64, as of [`spec`].
pub(crate) fn network(name: &str, vni: u32, subnet: u8, keys: &str) -> String {
    format!(
        "[[network]]\nname = \"{name}\"\nvni = {vni}\ngateways = [\"10.{subnet}.0.1/24\", \"fd00:{subnet:x}::1/64\"]\n{keys}"
    )
}

/// The port of the pod of [`spec`] with this subnet and host.
pub(crate) fn port(name: &str, network: &str, subnet: u8, host: u8) -> String {
    format!("[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"{network}\"\n{}", identity(subnet, host))
}

pub(crate) fn endpoint(network: &str, subnet: u8, host: u8, peer: &str) -> String {
    format!("[[endpoint]]\nnetwork = \"{network}\"\npeer = \"{peer}\"\n{}", identity(subnet, host))
}

fn identity(subnet: u8, host: u8) -> String {
    format!(
        "mac = \"02:00:00:00:{subnet:02x}:{host:02x}\"\naddresses = [\"10.{subnet}.0.{host}\", \"fd00:{subnet:x}::{host:x}\"]\n"
    )
}

/// A node that is a plain kernel: a bridge with a pod and a tunnel in it.
pub(crate) struct KernelNode {
    pub(crate) netns: Netns,
    pub(crate) pod: Netns,
}

impl KernelNode {
    /// On an uplink `up0` that is there, at `vtep`; what it does not know goes to `floods_to`. Its pod is that of [`spec`].
    pub(crate) fn start(netns: Netns, vtep: (Family, u8, u8), floods_to: IpAddr, pod: (u8, u8)) -> Self {
        let (family, network, host) = vtep;
        let mtu = 1500 - family.overhead();
        let mut links = Links::open_in(&netns).unwrap();
        End(&netns, "up0").address(family, network, host);
        links.bridge("br0").unwrap();
        let local = family.address(network, host);
        links.vxlan(&Vxlan { name: "vx7", vni: 7, local, below: "up0".into(), udp_port: 4789, mtu }).unwrap();
        links.add_flood_vtep("vx7", floods_to).unwrap();
        let inside = kernel_pod(&netns, "pod", pod, mtu);
        for link in ["vx7", "pod"] {
            links.enslave(link, "br0").unwrap();
            links.set_up(link).unwrap();
        }
        links.set_up("br0").unwrap();
        Self { netns, pod: inside }
    }
}

/// A namespace with the addresses of [`spec`] on a link to a namespace of a plain kernel.
fn kernel_pod(netns: &Netns, name: &str, (subnet, host): (u8, u8), mtu: u32) -> Netns {
    let inside = Netns::anonymous().unwrap();
    let wanted = spec(name, subnet, host);
    let peer = VethPeer { name: "eth0", netns: Some(inside.as_fd()), mac: wanted.mac };
    Links::open_in(netns).unwrap().veth(&Veth { name, mtu, mac: None, queues: 1, peer }).unwrap();
    let mut links = Links::open_in(&inside).unwrap();
    links.set_up("lo").unwrap();
    links.set_up("eth0").unwrap();
    let (ipv4, ipv6) = (wanted.ipv4.unwrap(), wanted.ipv6.unwrap());
    links.add_address("eth0", ipv4.0.into(), ipv4.1).unwrap();
    links.add_address("eth0", ipv6.0.into(), ipv6.1).unwrap();
    inside
}

/// What a kernel counts under a name such as `FragFails`, in /proc/net/snmp (of IP) or /proc/net/snmp6.
pub(crate) fn counted(netns: &Netns, name: &str) -> u64 {
    let read =
        || ["snmp", "snmp6"].map(|file| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap());
    let [ipv4, ipv6] = netns.run(read).unwrap();
    let mut lines = ipv6.lines().filter_map(|line| line.split_once(char::is_whitespace));
    if let Some((_, value)) = lines.find(|(key, _)| *key == name) {
        return value.trim().parse().unwrap();
    }
    let mut ip = ipv4.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
    let (names, values) = (ip.next().unwrap(), ip.next().unwrap());
    names.zip(values).find(|(key, _)| *key == name).unwrap().1.parse().unwrap()
}

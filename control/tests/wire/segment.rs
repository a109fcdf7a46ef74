//! What the tests stand on: a LAN that is a bridge of another kernel, a node with its uplink in it, and two pods.

use std::net::{IpAddr, Ipv4Addr};

use podlane::config::{Machine, load};
use podlane::desired::Desired;
use podlane_host::lab::Pod;
use podlane_host::{Links, Netns, sysctl};

use crate::ground::{End, V6, cable};
use crate::support::{Daemon, Node, SOON};

/// The LAN's own station, the host on the same uplink, and the pods, in 10.1.0.0/24 and fd00:1::/64.
pub(crate) const LAN: u8 = 1;
pub(crate) const HOST: u8 = 9;
pub(crate) const PODS: [u8; 2] = [2, 3];

pub(crate) fn v4(station: u8) -> IpAddr {
    [10, 1, 0, station].into()
}

pub(crate) fn v6(station: u8) -> IpAddr {
    [0xfd00, 1, 0, 0, 0, 0, 0, station.into()].into()
}

/// A node whose two pods are on the LAN, its daemon not started.
pub(crate) struct Segment {
    pub(crate) node: Node,
    pub(crate) lan: Netns,
    pub(crate) pods: [Pod; 2],
}

impl Segment {
    /// None where the host cannot have one, which is then said on standard error. `keys` are the uplink's.
    pub(crate) fn new(test: &str, keys: &str) -> Option<Self> {
        let mut node = Node::new(test)?;
        let lan = Netns::anonymous().unwrap();
        cable(End(node.lab.switch(), "up0"), End(&lan, "port0"), V6, 1500);
        let mut links = Links::open_in(&lan).unwrap();
        links.bridge("br0").unwrap();
        lan.run(|| sysctl("net/ipv6/conf/br0/accept_dad", 0)).unwrap().unwrap();
        links.enslave("port0", "br0").unwrap();
        links.set_up("br0").unwrap();
        own(&mut links, "br0", LAN);
        own(&mut End(node.lab.switch(), "up0").links(), "up0", HOST);
        let pods = [("one", PODS[0]), ("two", PODS[1])].map(|(name, host)| node.pod(name, host));
        let text = format!(
            "[[network]]\nname = \"lan\"\n\
             [[port]]\nname = \"wire\"\ndevice = \"up0\"\nkind = \"uplink\"\n{keys}{}{}",
            port("one", PODS[0]),
            port("two", PODS[1])
        );
        node.configure(&text);
        Some(Self { node, lan, pods })
    }

    pub(crate) fn start(&self) -> Daemon {
        let daemon = self.node.start();
        daemon.wait_all_up(SOON);
        daemon
    }

    /// What is configured.
    pub(crate) fn desired(&self) -> Desired {
        load(&self.node.path("podlane.toml"), &Machine { cores: [Node::core()].into() }).unwrap()
    }

    pub(crate) fn host(&self) -> &Netns {
        self.node.lab.switch()
    }

    pub(crate) fn pod(&self, number: usize) -> &Netns {
        &self.pods[number].netns
    }

    /// Ends it, and looks whether anything is left.
    pub(crate) fn end(self, daemon: Daemon) {
        daemon.counters();
        daemon.terminate();
        self.node.assert_clean(&["one", "two", "up0"]);
    }
}

/// Gives a device a station's addresses.
fn own(links: &mut Links, device: &str, station: u8) {
    links.add_address(device, v4(station), 24).unwrap();
    links.add_address(device, v6(station), 64).unwrap();
}

/// A pod's port, which states all that it is.
pub(crate) fn port(name: &str, host: u8) -> String {
    format!(
        "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\nnetwork = \"lan\"\nmac = \"02:00:00:00:01:{host:02x}\"\n\
         addresses = [\"10.1.0.{host}\", \"fd00:1::{host:x}\"]\n"
    )
}

/// The MAC address by which a kernel knows an IPv4 neighbour.
pub(crate) fn known_as(netns: &Netns, neighbour: u8) -> Option<String> {
    let table = netns.run(|| std::fs::read_to_string("/proc/thread-self/net/arp")).unwrap().unwrap();
    let wanted = Ipv4Addr::new(10, 1, 0, neighbour).to_string();
    let row = table.lines().map(str::split_whitespace).find(|row| row.clone().next() == Some(&wanted));
    row.and_then(|mut row| row.nth(3)).map(str::to_owned)
}

/// A device's MAC address, as tables of neighbours write it.
pub(crate) fn mac_of(netns: &Netns, device: &str) -> String {
    let mac = End(netns, device).links().by_name(device).unwrap().mac.unwrap();
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

//! Who is in the demo: three pods, two networks, and the configuration a user would write for them.
//!
//! Two pods share a network, so that what passes between them is switched. The third lives on a second
//! network of the same vrf, so that what reaches it is routed by way of the gateways, which are the
//! switch itself. Everything here is data: the names and addresses are the same on every machine, and
//! two demos never meet because their namespaces are their own.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// What one frame carries at most, in bytes, inside every network of the demo.
pub(crate) const MTU: u32 = 1500;

/// The vrf that both networks belong to, so that the switch routes between them.
const VRF: &str = "demo";

/// The namespace that the pods are in, as policies see them.
pub(crate) const NAMESPACE: &str = "demo";

/// Which internet protocol a step speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The name people read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// One of the three pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pod {
    Red,
    Green,
    Blue,
}

/// One of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Near,
    Far,
}

impl Pod {
    /// All three, in the order they are drawn.
    pub(crate) const ALL: [Self; 3] = [Self::Red, Self::Green, Self::Blue];

    /// The pod's name, which is also the name of its port.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
        }
    }

    /// What policies call it.
    pub(crate) fn object(self) -> String {
        format!("{NAMESPACE}/{}", self.name())
    }

    /// The end of the pod's veth that the switch attaches to.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::Red => "pod-red",
            Self::Green => "pod-green",
            Self::Blue => "pod-blue",
        }
    }

    /// Where the pod is attached.
    pub(crate) fn network(self) -> Network {
        match self {
            Self::Red | Self::Green => Network::Near,
            Self::Blue => Network::Far,
        }
    }

    /// The pod's last octet, in its addresses and in its MAC.
    fn host(self) -> u8 {
        match self {
            Self::Red => 11,
            Self::Green => 12,
            Self::Blue => 13,
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

impl Network {
    /// Both, in the order they are drawn.
    pub(crate) const ALL: [Self; 2] = [Self::Near, Self::Far];

    /// The network's name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
        }
    }

    /// The address at which the switch itself answers.
    pub(crate) fn gateway(self, family: Family) -> IpAddr {
        self.address(family, 1)
    }

    /// How long the prefix of a network is.
    pub(crate) fn prefix_length(family: Family) -> u8 {
        match family {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    /// The address of the host with this last octet.
    pub(crate) fn address(self, family: Family, host: u8) -> IpAddr {
        let subnet = match self {
            Self::Near => 0,
            Self::Far => 1,
        };
        match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 77, subnet, host)),
            // fd77:0:0:N::H, with H in hexadecimal digits that read like the decimal of IPv4
            Family::V6 => {
                let low = u16::from(host / 10) * 16 + u16::from(host % 10);
                IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, subnet.into(), 0, 0, 0, low))
            }
        }
    }
}

/// A MAC as the configuration spells it.
pub(crate) fn spell_mac(mac: [u8; 6]) -> String {
    let octets: Vec<String> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":")
}

/// The configuration of the demo's switch, as a user would write it for `podlane run`.
///
/// Policies are enforced from the start, with none that denies anything: what is measured is measured with every connection followed.
///
/// `process` tells demos apart. Nothing is pinned: no later daemon takes over what a demo leaves.
pub(crate) fn configuration(core: usize, process: u32, socket: Option<&Path>) -> String {
    // Writing into a String cannot fail; the results are let go for that reason.
    let mut text = format!("[daemon]\ninstance = \"demo-{process}\"\npin = false\n");
    if let Some(socket) = socket {
        let _ = writeln!(text, "socket = \"{}\"", socket.display());
    }
    let _ = writeln!(text, "\n[workers]\ncores = [{core}]\n\n[policy]");
    for network in Network::ALL {
        let [v4, v6] = [Family::V4, Family::V6]
            .map(|family| format!("{}/{}", network.gateway(family), Network::prefix_length(family)));
        let _ = write!(
            text,
            "\n[[network]]\nname = \"{}\"\nvrf = \"{VRF}\"\ngateways = [\"{v4}\", \"{v6}\"]\nmtu = {MTU}\n",
            network.name()
        );
    }
    for pod in Pod::ALL {
        let _ = write!(
            text,
            "\n[[port]]\nname = \"{}\"\ndevice = \"{}\"\nnetwork = \"{}\"\nmac = \"{}\"\naddresses = [\"{}\", \"{}\"]\n\
             pod = \"{}\"\nlabels = {{ app = \"{}\" }}\n",
            pod.name(),
            pod.device(),
            pod.network().name(),
            spell_mac(pod.mac()),
            pod.address(Family::V4),
            pod.address(Family::V6),
            pod.object(),
            pod.name(),
        );
    }
    text
}

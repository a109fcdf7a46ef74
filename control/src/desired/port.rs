//! Ports: what is behind one, which networks it is in, and what may come from it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

pub use podlane_api::Sharing;
use podlane_api::{MacAddr, PortKind};
pub use podlane_dataplane::tables::Dhcp;

use super::{DeviceName, Inhabitant, Name, Offload, Rates, RingSize};

/// One port of the switch.
#[derive(Clone, PartialEq, Debug)]
pub struct Port {
    /// Its name.
    pub name: Name,
    /// What is behind it.
    pub behind: Behind,
    /// The networks it is in.
    pub membership: Membership,
    /// The only source MAC address it may use; none when any may come, and be learned.
    pub mac: Option<MacAddr>,
    /// The only source IP addresses it may use; empty when any may come.
    pub addresses: Vec<IpAddr>,
    /// Which statement of its MAC address this is: an endpoint's of a higher one counts before it.
    pub generation: u64,
    /// The pod behind it, which policies are about.
    pub pod: Option<Inhabitant>,
    /// Whether the node itself reaches its pods by it: what comes in by it is beyond policy.
    pub node: bool,
    /// Whether the pod has its addresses over DHCP, and whether it has them yet.
    pub dhcp: Dhcp,
    /// How much the pod may send, receive and open a second.
    pub rates: Rates,
    /// What carries its flows; none where that is left to its network.
    pub offload: Option<Offload>,
    /// What is done wrong on purpose; for tests.
    pub fault: Option<Fault>,
}

impl Port {
    /// How it is shared with the host, if it is an uplink that is.
    #[must_use]
    pub fn sharing(&self) -> Option<Sharing> {
        match &self.behind {
            Behind::Device(device) => device.sharing,
            Behind::Replay(_) => None,
        }
    }

    /// What is behind it, in one word.
    #[must_use]
    pub fn kind(&self) -> PortKind {
        match &self.behind {
            Behind::Device(Device { role: Role::Pod, .. }) => PortKind::Pod,
            Behind::Device(Device { role: Role::Uplink, .. }) => PortKind::Uplink,
            Behind::Replay(_) => PortKind::Replay,
        }
    }
}

/// What is behind a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Behind {
    /// A netdev.
    Device(Device),
    /// Capture files.
    Replay(Replay),
}

/// A netdev that exists, or will.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its name, in its network namespace.
    pub name: DeviceName,
    /// The file of its network namespace; none for the daemon's own.
    pub netns: Option<PathBuf>,
    /// Whose traffic it carries.
    pub role: Role,
    /// What tells the pods' frames from the host's, where an uplink of networks stays the host's too; none where it is given whole.
    pub sharing: Option<Sharing>,
    /// Which of its queues are bound.
    pub queues: Queues,
    /// How packets should cross to and from the kernel.
    pub mode: Mode,
    /// Where the XDP program should run.
    pub xdp: Xdp,
    /// Whether the kernel is asked to finish checksums, where it can.
    pub checksum_offload: bool,
    /// Slots of each ring of each of its sockets.
    pub ring: RingSize,
}

/// Whose traffic a netdev carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A pod's: all of it is Podlane's.
    Pod,
    /// The wire's: the kernel keeps what is not Podlane's.
    Uplink,
}

/// Which queues of a netdev are bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queues {
    /// Every one, so that nothing arrives where nobody listens.
    All,
    /// The first so many: for a device whose flow steering keeps the rest for others.
    First(u16),
}

impl Queues {
    /// The most queues of one netdev.
    pub const MAX: u16 = 256;
}

/// How packets should cross to and from the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Zero-copy where the driver has it, else copy.
    Auto,
    /// Zero-copy, or the port fails.
    ZeroCopy,
    /// Copy, even where zero-copy would do.
    Copy,
}

/// Where the XDP program should run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Xdp {
    /// In the driver where it has XDP, else in the generic path.
    Auto,
    /// In the driver, or the port fails.
    Native,
    /// In the generic path.
    Generic,
}

/// Capture files (pcap) in a netdev's place; at least one of the two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    /// What is received.
    pub input: Option<PathBuf>,
    /// Where what is sent is written.
    pub output: Option<PathBuf>,
}

/// The networks a port is in: none twice; at least one, but for an uplink of the underlay, which is in none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The network of untagged frames; none when they are dropped.
    pub untagged: Option<Name>,
    /// The networks of tagged frames.
    pub tagged: BTreeMap<VlanId, Name>,
}

impl Membership {
    /// All the networks.
    pub fn networks(&self) -> impl Iterator<Item = &Name> {
        self.untagged.iter().chain(self.tagged.values())
    }
}

/// An 802.1Q VLAN id, 1 to 4094 (0 and 4095 are reserved).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VlanId(u16);

impl VlanId {
    /// The id, if it is one.
    #[must_use]
    pub fn new(id: u16) -> Option<Self> {
        (1..=4094).contains(&id).then_some(Self(id))
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a port does wrong on purpose, to what it receives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fault {
    /// The share of packets dropped.
    pub drop: Ratio,
    /// The share of packets that change places with the next.
    pub reorder: Ratio,
    /// The share of packets with one bit turned.
    pub corrupt: Ratio,
    /// What the chances are drawn from: the same seed, the same faults.
    pub seed: u64,
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Ratio(f64);

impl Ratio {
    /// None at all.
    pub const ZERO: Self = Self(0.0);

    /// The share, if it is one.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// As a number from 0 to 1.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

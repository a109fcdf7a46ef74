//! What a subject is asked to do between the bed's two links: the same words for all of them, and each says which it can.

use crate::{
    bed::Shape,
    load::{traffic::Traffic, underlay::OUTER},
};

/// How packets get from the first link to the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Within one network, by MAC address.
    Bridged,
    /// To another network, by a gateway.
    Routed,
    /// From a pod into VXLAN, to another node.
    Encapsulated,
    /// Out of VXLAN from another node, to a pod.
    Decapsulated,
}

/// What a subject is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duty {
    /// How packets cross.
    pub way: Way,
    /// Rules that connections are held to; `None` where all may pass. Only the last one allows the traffic.
    pub rules: Option<u16>,
    /// The longest IP packet, bytes.
    pub mtu: u16,
    /// Silent links beside the two, which are its ports too.
    pub silent: u16,
    /// How many threads switch. From the second on they share cores with the load.
    pub workers: u16,
    /// Whether the pods' own kernels speak to each other across it.
    pub peopled: bool,
}

impl Duty {
    /// To forward within one network, with one thread.
    pub const BRIDGED: Self = Self { way: Way::Bridged, rules: None, mtu: 1500, silent: 0, workers: 1, peopled: false };

    /// The same for pods that speak themselves.
    pub const PEOPLED: Self = Self { peopled: true, ..Self::BRIDGED };

    /// To forward another way, with one thread.
    #[must_use]
    pub const fn of(way: Way) -> Self {
        Self { way, ..Self::BRIDGED }
    }

    /// Whether it is no more than forwarding within one network, packets of usual length, with one thread, on any number of ports.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self { way, rules, mtu, workers, .. } = *self;
        (way, rules, mtu, workers) == (Way::Bridged, None, Self::BRIDGED.mtu, 1)
    }

    /// Whether it is one end of a tunnel and nothing beside.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        let plain = Self { way: Way::Bridged, ..*self };
        matches!(self.way, Way::Encapsulated | Way::Decapsulated) && plain == Self::BRIDGED
    }

    /// Whether it is policy within one network and nothing beside.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        self.rules.is_some() && Self { rules: None, ..*self } == Self::BRIDGED
    }

    /// The bed for it.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let Self { mtu, silent, workers, peopled, .. } = *self;
        Shape { mtu: mtu.into(), queues: workers.into(), peopled, silent, ..Shape::default() }
    }

    /// Its packets: so many flows, so many bytes each.
    #[must_use]
    pub const fn traffic(&self, flows: u32, bytes: usize) -> Traffic {
        let traffic = match self.way {
            Way::Bridged | Way::Encapsulated => Traffic::bridged(flows),
            Way::Routed => Traffic::routed(flows),
            Way::Decapsulated => Traffic::tunnelled(flows),
        };
        Traffic { bytes, ..traffic }
    }

    /// Bytes behind it of a packet of so many bytes.
    #[must_use]
    pub const fn arriving(&self, bytes: usize) -> usize {
        match self.way {
            Way::Encapsulated => OUTER + bytes,
            Way::Bridged | Way::Routed | Way::Decapsulated => bytes,
        }
    }
}

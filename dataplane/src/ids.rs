//! The small numbers by which the packet path knows things.
//!
//! Names (of ports, networks, policies) belong to the control side; a frame meets only these.

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($raw:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $raw);

        impl $name {
            /// As an index into a table of these.
            #[inline]
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A port of the switch: an index into the port tables of one [`Tables`](crate::tables::Tables).
    /// A number is not used again while a flow of its former bearer can live.
    PortId(u16)
}

id! {
    /// A network: one broadcast domain. Frames of two networks never meet except by routing.
    NetworkId(u16)
}

id! {
    /// A routing domain: networks of one VRF route to each other through their gateways.
    VrfId(u16)
}

id! {
    /// A worker, counted from 0 in the order of the configured cores.
    WorkerId(u16)
}

id! {
    /// Which tables: a flow entry of another generation reads as a miss.
    Generation(u32)
}

id! {
    /// A way into a tunnel: one peer and one network, by one uplink. An index into [`Underlay::paths`](crate::tables::underlay::Underlay::paths).
    PathId(u16)
}

id! {
    /// A virtual network identifier, 24 bits (RFC 7348, 5; RFC 8926, 3.3).
    Vni(u32)
}

/// The most ports one switch can have.
pub const MAX_PORTS: usize = 4096;

/// The most paths one switch can have: their port numbers are the upper half.
pub const MAX_PATHS: usize = 0x8000;

impl PathId {
    const PORTS: u16 = 0x8000;

    /// The logical port: what is behind the path is behind this port, and what came by the path came in by it.
    #[inline]
    #[must_use]
    pub const fn port(self) -> PortId {
        PortId(Self::PORTS | self.0)
    }
}

impl PortId {
    /// The path a logical port stands for; `None` for a port with rings.
    #[inline]
    #[must_use]
    pub const fn path(self) -> Option<PathId> {
        if self.0 & PathId::PORTS == 0 { None } else { Some(PathId(self.0 & !PathId::PORTS)) }
    }
}

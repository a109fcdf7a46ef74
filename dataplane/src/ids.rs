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

/// The most ports one switch can have.
pub const MAX_PORTS: usize = 4096;

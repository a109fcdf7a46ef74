//! Tunnels: an encapsulation is a template and patches.
//!
//! ```text
//!   | Ethernet (14), VLAN tag (4) | IPv4 (20) or IPv6 (40) | UDP (8) | tunnel header (8) |  inner Ethernet frame ...
//!   ^ by path, prebuilt                                                                  ^ where a template ends
//!   patched: next hop MAC, lengths, IPv4 checksum, ECN, UDP source port, UDP checksum
//! ```
//!
//! What stands behind the UDP header is the encapsulation's own file; all around it is shared. Both that are here begin with eight
//! bytes, which is what lets a template be copied with one length.

pub mod geneve;
pub mod glance;
pub mod outer;
pub mod template;
pub mod vxlan;

use crate::{drops::DropReason, ids::Vni};

pub use template::{Outer, Template};

/// Bytes of a tunnel header, options left out.
pub const HEADER: usize = 8;

/// One encapsulation.
pub trait Tunnel {
    /// The UDP port that IANA gave it.
    const PORT: u16;

    /// What stands between the UDP header and the inner Ethernet frame, on its way out.
    fn header(vni: Vni) -> [u8; HEADER];

    /// Reads what stands behind a UDP header: the network, and how many bytes come before the inner frame.
    ///
    /// # Errors
    /// Why the packet is none of this encapsulation.
    fn open(datagram: &[u8]) -> Result<(Vni, usize), DropReason>;
}

/// Lists the encapsulations: a variant, its name in configuration and tables, its [`Tunnel`].
macro_rules! roster {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $tunnel:ty;)*) => {
        /// Which encapsulation.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Encapsulation {
            $($(#[$doc])* $variant,)*
        }

        impl Encapsulation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The UDP port that IANA gave it.
            #[must_use]
            pub const fn port(self) -> u16 {
                match self { $(Self::$variant => <$tunnel as Tunnel>::PORT,)* }
            }

            /// See [`Tunnel::header`].
            #[must_use]
            pub fn header(self, vni: Vni) -> [u8; HEADER] {
                match self { $(Self::$variant => <$tunnel as Tunnel>::header(vni),)* }
            }

            /// See [`Tunnel::open`].
            ///
            /// # Errors
            /// Why the packet is none of this encapsulation.
            #[inline]
            pub fn open(self, datagram: &[u8]) -> Result<(Vni, usize), DropReason> {
                match self { $(Self::$variant => <$tunnel as Tunnel>::open(datagram),)* }
            }
        }
    };
}

roster! {
    /// VXLAN (RFC 7348).
    Vxlan, "vxlan", vxlan::Vxlan;
    /// Geneve (RFC 8926).
    Geneve, "geneve", geneve::Geneve;
}

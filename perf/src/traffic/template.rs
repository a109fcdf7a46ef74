//! What frames are made from, as somebody asks for it: protocol, sizes, ranges of addresses and ports, a tag, a tunnel.
//!
//! ```text
//!   Ethernet | VLAN? | ( IP | UDP | VXLAN | Ethernet )? | IP | UDP or TCP | stamp | fill
//! ```
//!
//! Sizes count as RFC 2544 (section 9) does: the whole frame with its four bytes of check sequence, which no netdev shows. A frame
//! of 64 bytes is 60 in memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::MacAddr;
use thiserror::Error;

use super::range::Range;

/// Bytes of the frame check sequence, which the wire adds.
pub const CHECK_SEQUENCE: usize = 4;

/// The frame sizes of RFC 2544, section 9.1, for Ethernet.
pub const STANDARD_SIZES: [u16; 7] = [64, 128, 256, 512, 1024, 1280, 1518];

/// Bytes that a wire spends on each frame beside it: preamble and delimiter, check sequence, and the least gap to the next one.
const BESIDE: usize = 8 + CHECK_SEQUENCE + 12;

/// Bits that a frame of so many bytes without check sequence takes up on an Ethernet wire. All rates in bits count so, also of links that have none of it:
/// 14.88 million of the smallest frames fill 10 Gbit/s.
#[must_use]
pub fn bits_on_a_wire(bytes: f64) -> f64 {
    (bytes + BESIDE as f64) * 8.0
}

/// The longest frame: what a slot of packet memory takes.
pub const LONGEST: usize = 3840 + CHECK_SEQUENCE;

/// The simple IMIX: sizes 64, 594 and 1518 in the proportion 7 : 4 : 1, spread as evenly as twelve places allow.
pub(crate) const IMIX: ([usize; 3], [usize; 12]) = ([64, 594, 1518], [0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 1, 0]);

/// What the frames carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carried {
    /// UDP datagrams.
    #[default]
    Udp,
    /// TCP segments that ask for a connection each, the stamp as their data.
    TcpSyn,
}

/// How long the frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All of one size, in bytes with the check sequence.
    One(usize),
    /// The simple IMIX, in cycles of twelve frames: seven of 64 bytes, four of 594, one of 1518. What does not fit into the smallest is longer.
    Imix,
}

impl Default for Sizes {
    fn default() -> Self {
        Self::One(64)
    }
}

/// A VXLAN tunnel around the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The network identifiers; below 2^24.
    pub vni: Range<u32>,
    /// Outer MAC addresses: from, to.
    pub macs: [MacAddr; 2],
    /// Outer IP addresses, of one family: from, to.
    pub addresses: [IpAddr; 2],
}

impl Default for Tunnel {
    /// Network 7 between 192.0.2.1 and 192.0.2.2.
    fn default() -> Self {
        Self {
            vni: Range::of(7),
            macs: [MacAddr([2, 0, 0, 0, 1, 1]), MacAddr([2, 0, 0, 0, 1, 2])],
            addresses: [Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into()],
        }
    }
}

/// A template. Its ranges, in the order of [`Template::ranges`], count as the digits of a number do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What is carried.
    pub carried: Carried,
    /// How long the frames are.
    pub sizes: Sizes,
    /// Source MAC addresses.
    pub source_mac: Range<MacAddr>,
    /// Destination MAC addresses.
    pub destination_mac: Range<MacAddr>,
    /// Tags of the outermost header.
    pub vlan: Option<Range<u16>>,
    /// Source IP addresses.
    pub source: Range<IpAddr>,
    /// Destination IP addresses.
    pub destination: Range<IpAddr>,
    /// Source ports.
    pub source_port: Range<u16>,
    /// Destination ports.
    pub destination_port: Range<u16>,
    /// A tunnel around all that.
    pub tunnel: Option<Tunnel>,
    /// The first so many flows of the ranges; all of them without it.
    pub flows: Option<u64>,
}

impl Default for Template {
    /// UDP in frames of 64 bytes, one flow, between the networks that RFC 2544 (appendix C.2.2) sets aside, to the discard port.
    fn default() -> Self {
        Self {
            carried: Carried::Udp,
            sizes: Sizes::default(),
            source_mac: Range::of(MacAddr([2, 0, 0, 0, 0, 1])),
            destination_mac: Range::of(MacAddr([2, 0, 0, 0, 0, 2])),
            vlan: None,
            source: Ipv4Addr::new(198, 18, 0, 1).into(),
            destination: Ipv4Addr::new(198, 19, 0, 1).into(),
            source_port: Range::of(49_184),
            destination_port: Range::of(9),
            tunnel: None,
            flows: None,
        }
    }
}

impl Template {
    /// The default, over IPv6: between the networks that RFC 5180 (section 8) sets aside. Its smallest frame is of 84 bytes.
    #[must_use]
    pub fn over_ipv6() -> Self {
        Self {
            sizes: Sizes::One(84),
            source: Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into(),
            destination: Ipv6Addr::new(0x2001, 2, 0, 0x8000, 0, 0, 0, 1).into(),
            ..Self::default()
        }
    }

    /// The same with frames of another size.
    #[must_use]
    pub fn of_size(self, size: usize) -> Self {
        Self { sizes: Sizes::One(size), ..self }
    }

    /// The smallest frame that has room for all this, in bytes.
    #[must_use]
    pub fn smallest(&self) -> usize {
        // Nothing shorter than 64 bytes is an Ethernet frame.
        super::form::Form::least(self).max(64)
    }

    /// How many values each range has, the fastest first: source port, destination port, source, destination, source MAC,
    /// destination MAC, tag, VNI.
    #[must_use]
    pub fn ranges(&self) -> Vec<u64> {
        vec![
            self.source_port.count(),
            self.destination_port.count(),
            self.source.count(),
            self.destination.count(),
            self.source_mac.count(),
            self.destination_mac.count(),
            self.vlan.map_or(1, |vlan| vlan.count()),
            self.tunnel.as_ref().map_or(1, |tunnel| tunnel.vni.count()),
        ]
    }

    /// What can be checked before frames are made.
    pub(super) fn check(&self) -> Result<(), TemplateError> {
        if self.source.first.is_ipv4() != self.destination.first.is_ipv4() {
            return Err(TemplateError::Families { from: self.source.first, to: self.destination.first });
        }
        if let Some(vlan) = self.vlan.filter(|vlan| vlan.first == 0 || vlan.last > 4094) {
            return Err(TemplateError::Vlan { found: if vlan.first == 0 { 0 } else { vlan.last } });
        }
        let Some(tunnel) = &self.tunnel else { return Ok(()) };
        let [from, to] = tunnel.addresses;
        if from.is_ipv4() != to.is_ipv4() {
            return Err(TemplateError::Families { from, to });
        }
        if tunnel.vni.last >> 24 != 0 {
            return Err(TemplateError::Vni { found: tunnel.vni.last });
        }
        Ok(())
    }
}

/// Why no frames can be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// The headers and the stamp are longer than the frame.
    #[error(
        "frames of {size} bytes are too short: headers, stamp and check sequence of this template take {least}; ask for at least that"
    )]
    TooShort {
        /// What was asked for.
        size: usize,
        /// The shortest.
        least: usize,
    },
    /// No slot holds it.
    #[error("frames of {size} bytes are too long; ask for at most {LONGEST}")]
    TooLong {
        /// What was asked for.
        size: usize,
    },
    /// One end is IPv4, the other IPv6.
    #[error("{from} and {to} are of two families; give two addresses of one")]
    Families {
        /// The source.
        from: IpAddr,
        /// The destination.
        to: IpAddr,
    },
    /// No such tag.
    #[error("VLAN {found} cannot be tagged; take 1 to 4094")]
    Vlan {
        /// What was asked for.
        found: u16,
    },
    /// No such network.
    #[error("VNI {found} does not fit into 24 bits; take one below 16777216")]
    Vni {
        /// What was asked for.
        found: u32,
    },
}

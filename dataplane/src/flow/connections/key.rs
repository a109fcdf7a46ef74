//! The key of a connection: the same for both directions, so that a reply finds what its question opened.
//!
//! ```text
//!   word 0   port of the low end, of the high end (32) | protocol (8), kind (8) | zone (16)
//!   word 1   IPv4 address of the low end, of the high end; or the first half of the low end's IPv6 address
//!   word 2   second half of it                \
//!   word 3   first half of the high end's      > zero unless IPv6
//!   word 4   second half of it                /
//! ```
//!
//! The *low* end is the one whose address and port compare lower. Which end sent a packet is its [`Side`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    flow::key::{HashSeed, fold},
    ids::{PortId, VrfId},
};

/// Words in a key.
pub(super) const KEY_WORDS: usize = 5;

const PROTOCOL_AT: u32 = 32;
const KIND_AT: u32 = 40;
const ZONE_AT: u32 = 48;
/// The addresses take four words.
const WIDE: u64 = 1 << KIND_AT;
/// What the first fragments of a pair of addresses opened for the later ones, which carry no ports.
const FRAGMENTS: u64 = 2 << KIND_AT;

/// One end of a connection, as its key orders them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Side {
    /// The end whose address and port compare lower.
    Low = 0,
    /// The other.
    High = 1,
}

impl Side {
    /// The other end.
    #[inline]
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }

    #[inline]
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// Behind which port the low and the high end of a connection are. Addresses alone do not say who speaks: a pod may have chosen another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Places([PortId; 2]);

impl Places {
    /// Those of a connection of which a packet came from the port `from`, the end at `side`, and goes to the port `to`.
    #[inline]
    #[must_use]
    pub const fn of(side: Side, from: PortId, to: PortId) -> Self {
        Self(if matches!(side, Side::Low) { [from, to] } else { [to, from] })
    }

    /// Behind which port one end is.
    #[inline]
    #[must_use]
    pub const fn at(&self, side: Side) -> PortId {
        self.0[side.index()]
    }
}

/// What tells one connection from another. See the module for the layout.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnectionKey {
    words: [u64; KEY_WORDS],
}

impl ConnectionKey {
    /// The key of the connection that a packet belongs to, and the side that sent it. Ports are 0 where the protocol has none.
    /// Addresses of one routing domain mean one thing, so it is the zone.
    #[must_use]
    pub fn of(zone: VrfId, protocol: u8, from: (IpAddr, u16), to: (IpAddr, u16)) -> (Self, Side) {
        let side = if (from.0, from.1) <= (to.0, to.1) { Side::Low } else { Side::High };
        let (low, high) = if side == Side::Low { (from, to) } else { (to, from) };
        let head = u64::from(low.1)
            | u64::from(high.1) << 16
            | u64::from(protocol) << PROTOCOL_AT
            | u64::from(zone.0) << ZONE_AT;
        let words = if let (IpAddr::V4(low), IpAddr::V4(high)) = (low.0, high.0) {
            [head, u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32, 0, 0, 0]
        } else {
            let ([a, b], [c, d]) = (halves(low.0), halves(high.0));
            [head | WIDE, a, b, c, d]
        };
        (Self { words }, side)
    }

    /// The key under which a first fragment that was let through opens the way for the later ones of its addresses and protocol,
    /// and the side that sent it. It is never that of a real connection.
    #[must_use]
    pub fn of_fragments(zone: VrfId, protocol: u8, from: IpAddr, to: IpAddr) -> (Self, Side) {
        let (mut key, side) = Self::of(zone, protocol, (from, 0), (to, 0));
        key.words[0] |= FRAGMENTS;
        (key, side)
    }

    /// The routing domain in which the addresses mean what they mean.
    #[must_use]
    pub const fn zone(&self) -> VrfId {
        VrfId((self.words[0] >> ZONE_AT) as u16)
    }

    /// The IP protocol number.
    #[inline]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.words[0] >> PROTOCOL_AT) as u8
    }

    /// Whether it stands for the fragments of a pair of addresses.
    #[inline]
    #[must_use]
    pub const fn is_of_fragments(&self) -> bool {
        self.words[0] & FRAGMENTS != 0
    }

    /// Address and port of one end.
    #[must_use]
    pub fn end(&self, side: Side) -> (IpAddr, u16) {
        let [head, a, b, c, d] = self.words;
        let port = (head >> (16 * side.index())) as u16;
        let address = match (self.is_wide(), side) {
            (false, _) => Ipv4Addr::from_bits((a >> (32 * side.index())) as u32).into(),
            (true, Side::Low) => joined(a, b),
            (true, Side::High) => joined(c, d),
        };
        (address, port)
    }

    #[inline]
    pub(super) const fn words(&self) -> &[u64; KEY_WORDS] {
        &self.words
    }

    pub(super) const fn from_words(words: [u64; KEY_WORDS]) -> Self {
        Self { words }
    }

    #[inline]
    pub(super) const fn is_wide(&self) -> bool {
        self.words[0] & WIDE != 0
    }

    /// Hashed as flow keys are: two multiplications, two more for IPv6.
    #[inline]
    pub(super) fn hash(&self, seed: &HashSeed) -> u64 {
        let [a, b, c, d] = *seed.words();
        let w = &self.words;
        let mut hash = fold(w[0] ^ a, w[1] ^ b);
        if self.is_wide() {
            hash ^= fold(w[2] ^ b, w[3] ^ c) ^ fold(w[4] ^ d, a);
        }
        fold(hash ^ a, d)
    }
}

fn halves(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        // An address of each family at once is no packet's; it is kept apart all the same.
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

fn joined(high: u64, low: u64) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
}

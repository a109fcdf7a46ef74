//! The flow key: every header field that a verdict may depend on, in words that compare fast.
//!
//! ```text
//!   word 0   source MAC (48)                    | EtherType (16), behind the VLAN tag
//!   word 1   destination MAC (48)               | VLAN field (16) if tagged, else whatever follows in the frame
//!   word 2   IPv4 source and destination, or the first half of the IPv6 source
//!   word 3   source port, destination port (32) | protocol (8), class and marks (8), receiving port (16)
//!   word 4   second half of the IPv6 source   \
//!   word 5   first half of the IPv6 destination > zero unless IPv6
//!   word 6   second half of it                /
//! ```
//!
//! Words 0 to 2 of an untagged IPv4 frame are eight bytes of it as they stand, so making a key is a handful of loads.
//!
//! A hit therefore repeats the spoof guard, the VLAN check and the isolation of networks for free: a frame that
//! differs in any field that was looked at is another flow. The first four words decide all but IPv6, so
//! that a hit on anything else reads one cache line of the entry.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podlane_wire::MacAddr;

use crate::ids::PortId;

/// Words in a key.
pub const KEY_WORDS: usize = 7;

const MAC_BITS: u64 = (1 << 48) - 1;
const PROTOCOL_AT: u32 = 32;
const CLASS_AT: u32 = 40;
const PORT_AT: u32 = 48;
/// Beside the class: word 1 ends in a VLAN field.
const TAGGED: u8 = 0x80;
/// Beside the class: a fragment, whose ports are in the first one alone. A packet between two ports that are 0 is another flow.
const FRAGMENT: u8 = 0x40;

/// What kind of packet a key speaks of; decides which words mean what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Class {
    /// Neither of the others: only the MAC addresses, the VLAN and the EtherType are known.
    #[default]
    Other = 0,
    /// ARP for IPv4. Each one is looked at, none is cached.
    Arp = 1,
    /// IPv4.
    Ipv4 = 2,
    /// IPv6.
    Ipv6 = WIDE,
    /// IPv6 neighbour discovery. Each one is looked at, none is cached.
    Nd = WIDE | 1,
}

/// The bit of the classes whose addresses take four words.
const WIDE: u8 = 4;

/// One VLAN tag's worth of a key: whether the frame was tagged and with which id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VlanField(u16);

impl VlanField {
    /// No tag, or a priority tag (VLAN id 0), which means the same (802.1Q, 6.9.1).
    pub const UNTAGGED: Self = Self(0);
    const TAGGED: u16 = 1 << 12;

    /// A tag with this id; id 0 is [`Self::UNTAGGED`] with a tag to strip.
    #[inline]
    #[must_use]
    pub const fn tagged(id: u16) -> Self {
        Self((id & 0xfff) | Self::TAGGED)
    }

    /// The VLAN id, `None` for untagged and priority-tagged frames.
    #[inline]
    #[must_use]
    pub const fn id(self) -> Option<u16> {
        match self.0 & 0xfff {
            0 => None,
            id => Some(id),
        }
    }

    /// Whether there is a tag in the frame, priority tags included.
    #[inline]
    #[must_use]
    pub const fn is_tagged(self) -> bool {
        self.0 & Self::TAGGED != 0
    }
}

/// The fields of word 3 besides the ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kind {
    /// What kind of packet.
    pub class: Class,
    /// IP protocol number; 0 unless IP. Fragments keep it but carry no ports.
    pub protocol: u8,
    /// EtherType behind the outer VLAN tag.
    pub ethertype: u16,
}

/// A flow's key. See the module for the layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct FlowKey {
    words: [u64; KEY_WORDS],
}

impl FlowKey {
    /// A key of the fields all frames have, of which `header` is the Ethernet header: destination, source, type.
    #[inline]
    #[must_use]
    pub fn new(port: PortId, header: &[u8; 14], vlan: VlanField, kind: Kind) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *header;
        let [m, n] = kind.ethertype.to_be_bytes();
        let [o, p, tagged] = if vlan.is_tagged() {
            let [o, p] = vlan.0.to_le_bytes();
            [o, p, TAGGED]
        } else {
            [g, h, 0]
        };
        let mut words = [0; KEY_WORDS];
        words[0] = u64::from_le_bytes([g, h, i, j, k, l, m, n]);
        words[1] = u64::from_le_bytes([a, b, c, d, e, f, o, p]);
        words[3] = u64::from(kind.protocol) << PROTOCOL_AT
            | u64::from(kind.class as u8 | tagged) << CLASS_AT
            | u64::from(port.0) << PORT_AT;
        Self { words }
    }

    /// The key of an untagged IPv4 frame without options, from its first 38 bytes: what [`Self::new`] and the setters give,
    /// in as many loads as it has words.
    #[inline]
    #[must_use]
    pub fn plain_ipv4(port: PortId, head: &[u8; 38], protocol: u8) -> Self {
        let word_3 = load(head, 30) >> 32
            | u64::from(protocol) << PROTOCOL_AT
            | (Class::Ipv4 as u64) << CLASS_AT
            | u64::from(port.0) << PORT_AT;
        Self { words: [load(head, 6), load(head, 0), load(head, 26), word_3, 0, 0, 0] }
    }

    /// The key of an untagged IPv6 frame without extension headers, from its first 58 bytes: the same.
    #[inline]
    #[must_use]
    pub fn plain_ipv6(port: PortId, head: &[u8; 58], protocol: u8) -> Self {
        let word_3 = load(head, 50) >> 32
            | u64::from(protocol) << PROTOCOL_AT
            | (Class::Ipv6 as u64) << CLASS_AT
            | u64::from(port.0) << PORT_AT;
        let words =
            [load(head, 6), load(head, 0), load(head, 22), word_3, load(head, 30), load(head, 38), load(head, 46)];
        Self { words }
    }

    /// Adds IPv4 addresses: the 8 bytes of source and destination as they stand in the header.
    #[inline]
    pub fn set_ipv4(&mut self, addresses: [u8; 8]) {
        self.words[2] = u64::from_le_bytes(addresses);
    }

    /// Adds IPv6 addresses: the 32 bytes of source and destination as they stand in the header.
    #[inline]
    pub fn set_ipv6(&mut self, addresses: &[u8; 32]) {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&addresses[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        self.words[2] = word(0);
        self.words[4] = word(8);
        self.words[5] = word(16);
        self.words[6] = word(24);
    }

    /// Adds the first four bytes of the transport header: the ports, or ICMP type and code.
    #[inline]
    pub fn set_ports(&mut self, ports: [u8; 4]) {
        self.words[3] |= u64::from(u32::from_le_bytes(ports));
    }

    /// Marks it as a fragment's.
    #[inline]
    pub fn set_fragment(&mut self) {
        self.words[3] |= u64::from(FRAGMENT) << CLASS_AT;
    }

    /// Whether it is marked as a fragment's.
    #[inline]
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.words[3] & (FRAGMENT as u64) << CLASS_AT != 0
    }

    /// The words, for hashing and comparing.
    #[inline]
    #[must_use]
    pub const fn words(&self) -> &[u64; KEY_WORDS] {
        &self.words
    }

    /// A key from words taken out of [`Self::words`].
    #[must_use]
    pub const fn from_words(words: [u64; KEY_WORDS]) -> Self {
        Self { words }
    }

    /// Whether words 4 to 6 mean anything.
    #[inline]
    #[must_use]
    pub const fn is_wide(&self) -> bool {
        // The two wide classes are the two with this bit.
        self.words[3] & (WIDE as u64) << CLASS_AT != 0
    }

    /// The receiving port.
    #[inline]
    #[must_use]
    pub const fn port(&self) -> PortId {
        PortId((self.words[3] >> PORT_AT) as u16)
    }

    /// The source MAC address.
    #[inline]
    #[must_use]
    pub fn source_mac(&self) -> MacAddr {
        mac(self.words[0])
    }

    /// The destination MAC address.
    #[inline]
    #[must_use]
    pub fn destination_mac(&self) -> MacAddr {
        mac(self.words[1])
    }

    /// The VLAN tag.
    #[inline]
    #[must_use]
    pub const fn vlan(&self) -> VlanField {
        if self.words[3] & (TAGGED as u64) << CLASS_AT == 0 {
            return VlanField::UNTAGGED;
        }
        VlanField((self.words[1] >> 48) as u16)
    }

    /// Class, protocol and EtherType.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        Kind {
            class: match (self.words[3] >> CLASS_AT) as u8 & !(TAGGED | FRAGMENT) {
                1 => Class::Arp,
                2 => Class::Ipv4,
                4 => Class::Ipv6,
                5 => Class::Nd,
                _ => Class::Other,
            },
            protocol: (self.words[3] >> PROTOCOL_AT) as u8,
            ethertype: ((self.words[0] >> 48) as u16).swap_bytes(),
        }
    }

    /// Source and destination address of an IP flow.
    #[must_use]
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        match self.kind().class {
            Class::Ipv4 => {
                let [a, b, c, d, e, f, g, h] = self.words[2].to_le_bytes();
                Some((Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into()))
            }
            Class::Ipv6 | Class::Nd => {
                Some((ipv6(self.words[2], self.words[4]).into(), ipv6(self.words[5], self.words[6]).into()))
            }
            Class::Arp | Class::Other => None,
        }
    }

    /// Source and destination port; for ICMP the first is type and code.
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        let ports = self.words[3] as u32;
        ((ports as u16).swap_bytes(), ((ports >> 16) as u16).swap_bytes())
    }
}

/// Eight bytes as they stand. A copy of eight bytes compiles to one load, where bytes taken one by one do not if one of
/// them is used twice.
#[inline]
pub(crate) fn load<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline]
fn mac(word: u64) -> MacAddr {
    let [a, b, c, d, e, f, ..] = (word & MAC_BITS).to_le_bytes();
    MacAddr([a, b, c, d, e, f])
}

/// A MAC address as the low 48 bits of a word, the form tables keep it in.
#[inline]
#[must_use]
pub fn mac_word(mac: MacAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// The MAC address in the low 48 bits of a word.
#[inline]
#[must_use]
pub fn word_mac(word: u64) -> MacAddr {
    mac(word)
}

fn ipv6(high: u64, low: u64) -> Ipv6Addr {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    Ipv6Addr::from(bytes)
}

/// The secret that keeps senders from choosing colliding flows.
#[derive(Clone, Copy, Debug)]
pub struct HashSeed([u64; 4]);

impl HashSeed {
    /// A seed from the standard library's per-process randomness.
    #[must_use]
    pub fn random() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        let state = RandomState::new();
        Self([0u8, 1, 2, 3].map(|n| state.hash_one(n) | 1))
    }

    /// A fixed seed, for benches and reproducible tests.
    #[must_use]
    pub const fn fixed() -> Self {
        Self([0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93])
    }

    /// The seed of these words, which another process has.
    #[must_use]
    pub const fn of_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    /// Its words, for keys of other tables.
    #[inline]
    pub(super) const fn words(&self) -> &[u64; 4] {
        &self.0
    }

    /// The key's hash: folded 64x64 multiplications, as in foldhash, over words known to be there.
    ///
    /// Three multiplications for four words, two more for IPv6. CRC32 (1.19 ns against 0.77 ns for 16 bytes)
    /// and a byte-wise hasher were measured and refused.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        let [a, b, c, d] = self.0;
        let w = &key.words;
        let mut hash = fold(w[0] ^ a, w[1] ^ b) ^ fold(w[2] ^ c, w[3] ^ d);
        if key.is_wide() {
            hash ^= fold(w[4] ^ b, w[5] ^ c) ^ fold(w[6] ^ d, a);
        }
        fold(hash ^ a, d)
    }
}

/// Folds the product of two words into one: every bit of either reaches every bit of it.
#[inline]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 14] = [0x02, 0, 0, 0, 0, 0xb, 0x02, 0, 0, 0, 0, 0xa, 0x86, 0xdd];

    #[test]
    fn a_key_gives_back_what_was_put_in() {
        let kind = Kind { class: Class::Ipv6, protocol: 6, ethertype: 0x86dd };
        let mut key = FlowKey::new(PortId(513), &HEADER, VlanField::tagged(4094), kind);
        let mut addresses = [0; 32];
        for (n, byte) in addresses.iter_mut().enumerate() {
            *byte = n as u8;
        }
        key.set_ipv6(&addresses);
        key.set_ports([0x01, 0xbb, 0x80, 0x00]);
        assert_eq!(key.port(), PortId(513));
        assert_eq!(key.source_mac(), MacAddr([2, 0, 0, 0, 0, 0xa]));
        assert_eq!(key.destination_mac(), MacAddr([2, 0, 0, 0, 0, 0xb]));
        assert_eq!(key.vlan().id(), Some(4094));
        assert_eq!(key.kind(), kind);
        assert_eq!(key.ports(), (443, 32768));
        let (source, destination) = key.addresses().unwrap();
        assert_eq!(source, IpAddr::from(<[u8; 16]>::try_from(&addresses[..16]).unwrap()));
        assert_eq!(destination, IpAddr::from(<[u8; 16]>::try_from(&addresses[16..]).unwrap()));
    }

    #[test]
    fn every_word_of_a_wide_key_reaches_the_hash() {
        let seed = HashSeed::fixed();
        let kind = Kind { class: Class::Ipv6, protocol: 17, ethertype: 0x86dd };
        let base = FlowKey::new(PortId(1), &HEADER, VlanField::UNTAGGED, kind);
        for word in 0..KEY_WORDS {
            let mut words = *base.words();
            words[word] ^= 1 << 7;
            assert_ne!(seed.hash(&base), seed.hash(&FlowKey::from_words(words)), "word {word}");
        }
    }

    #[test]
    fn a_fragment_is_another_flow_than_a_packet_between_ports_0_and_reads_like_one() {
        for class in [Class::Ipv4, Class::Ipv6] {
            let kind = Kind { class, protocol: 17, ethertype: 0x86dd };
            let whole = FlowKey::new(PortId(1), &HEADER, VlanField::tagged(5), kind);
            let mut fragment = whole;
            fragment.set_fragment();
            assert_ne!(fragment, whole);
            assert_eq!((fragment.kind(), fragment.vlan(), fragment.ports()), (kind, whole.vlan(), (0, 0)));
            assert_eq!(fragment.is_wide(), whole.is_wide());
        }
    }

    #[test]
    fn a_priority_tag_reads_as_untagged_but_is_a_tag() {
        assert_eq!(VlanField::tagged(0).id(), None);
        assert!(VlanField::tagged(0).is_tagged());
        assert!(!VlanField::UNTAGGED.is_tagged());
    }
}

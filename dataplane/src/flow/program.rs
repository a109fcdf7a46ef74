//! A flow's program: what resolve decided, in three words that a hit copies and runs.
//!
//! ```text
//!   word 0   op (8) | drop reason (8) | leaving port (16) | tag: none, or VLAN id + edit (16) | MTU (16)
//!   word 1   new destination MAC (48) | dependency shard (12), watch (4)
//!   word 2   new source MAC (48)      | path (16)
//! ```
//!
//! Into a tunnel, word 1 has the outer destination MAC address and word 2 the inner one, if that is new; the outer source
//! and all the rest stand in the path's template.
//!
//! All there is to do to a packet has an op here, dropping and flooding included, so that apply is the only executor.

use podlane_wire::MacAddr;

use crate::{
    drops::DropReason,
    flow::key::{mac_word, word_mac},
    ids::{PathId, PortId},
};

/// Words in a program.
pub const PROGRAM_WORDS: usize = 3;

const WATCH_AT: u32 = 60;
/// There are [`SHARDS`](crate::flow::table::SHARDS) shards.
const SHARD_MASK: u16 = 0xfff;

/// What apply does with a packet of the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Op {
    /// Drop by [`Program::reason`].
    Drop = 0,
    /// Send out of [`Program::egress`] as it is, but for the VLAN tag.
    Bridge = 1,
    /// Rewrite both MAC addresses, count the hop, send out of [`Program::egress`].
    Route = 2,
    /// Copy to every other port of the packet's network.
    Flood = 3,
    /// For the gateway itself: ARP, ND, echo, or an error to be sent back.
    Answer = 4,
    /// Send into the tunnel of [`Program::path`].
    Encapsulate = 5,
    /// Rewrite both MAC addresses, count the hop, send into the tunnel of [`Program::path`].
    RouteEncapsulate = 6,
    /// Rewrite both MAC addresses, send out of [`Program::egress`]: to or from stations that share an uplink's MAC address.
    Readdress = 7,
}

/// What happens to the outer VLAN tag on the way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TagEdit {
    /// Leave the frame as it came.
    Keep,
    /// Take the tag off.
    Pop,
    /// Put a tag with this id in front.
    Push(u16),
    /// Write this id into the tag that is there.
    Set(u16),
}

impl TagEdit {
    const fn pack(self) -> u16 {
        match self {
            Self::Keep => 0,
            Self::Pop => 1 << 12,
            Self::Push(id) => 2 << 12 | (id & 0xfff),
            Self::Set(id) => 3 << 12 | (id & 0xfff),
        }
    }

    const fn unpack(bits: u16) -> Self {
        match bits >> 12 {
            0 => Self::Keep,
            1 => Self::Pop,
            2 => Self::Push(bits & 0xfff),
            _ => Self::Set(bits & 0xfff),
        }
    }
}

/// Whether somebody looks at the packets of a flow beside what is done to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Watch {
    /// Nobody.
    #[default]
    None = 0,
    /// A TCP connection that is established: acknowledgements are remembered, and what opens or ends a connection is looked at.
    Acknowledged = 1,
    /// A connection of which every packet may change the state.
    Each = 2,
}

/// What to do with the packets of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Program {
    words: [u64; PROGRAM_WORDS],
}

impl Program {
    /// Drop by this reason.
    #[inline]
    #[must_use]
    pub const fn drop(reason: DropReason) -> Self {
        Self { words: [(Op::Drop as u64) | (reason as u64) << 8, 0, 0] }
    }

    /// Send out of `egress`, whose longest IP packet is `mtu` bytes.
    #[must_use]
    pub fn bridge(egress: PortId, tag: TagEdit, mtu: u16) -> Self {
        Self { words: [head(Op::Bridge, egress, tag, mtu), 0, 0] }
    }

    /// Send out of `egress` as a router does, from `source` to the next hop's MAC address.
    #[must_use]
    pub fn route(egress: PortId, tag: TagEdit, mtu: u16, next_hop: MacAddr, source: MacAddr) -> Self {
        Self { words: [head(Op::Route, egress, tag, mtu), mac_word(next_hop), mac_word(source)] }
    }

    /// Send out of `egress` as within one segment, from `source` to `destination`.
    #[must_use]
    pub fn readdress(egress: PortId, tag: TagEdit, mtu: u16, destination: MacAddr, source: MacAddr) -> Self {
        Self { words: [head(Op::Readdress, egress, tag, mtu), mac_word(destination), mac_word(source)] }
    }

    /// Send into a tunnel and out of the uplink `egress`, by the underlay's `next_hop`; `mtu` is what the inner IP packet may have.
    #[must_use]
    pub fn encapsulate(egress: PortId, path: PathId, tag: TagEdit, mtu: u16, next_hop: MacAddr) -> Self {
        let path_word = u64::from(path.0) << 48;
        Self { words: [head(Op::Encapsulate, egress, tag, mtu), mac_word(next_hop), path_word] }
    }

    /// The same for a packet that is routed into the tunnel, to the station with MAC address `inner`.
    #[must_use]
    pub fn routed_to(mut self, inner: MacAddr) -> Self {
        self.words[0] = (self.words[0] & !0xff) | Op::RouteEncapsulate as u64;
        self.words[2] |= mac_word(inner);
        self
    }

    /// Copy to all other ports of the network.
    #[must_use]
    pub fn flood() -> Self {
        Self { words: [head(Op::Flood, PortId(0), TagEdit::Keep, u16::MAX), 0, 0] }
    }

    /// Hand to the gateway; `reason` is what to call the packet's end when nothing is sent back.
    #[must_use]
    pub fn answer(reason: DropReason) -> Self {
        Self { words: [(Op::Answer as u64) | (reason as u64) << 8, 0, 0] }
    }

    /// The same program, forgotten when something behind `shard` changes.
    #[must_use]
    pub const fn depending_on(mut self, shard: u16) -> Self {
        self.words[1] |= ((shard & SHARD_MASK) as u64) << 48;
        self
    }

    /// The same program, its packets watched.
    #[inline]
    #[must_use]
    pub const fn watched(mut self, watch: Watch) -> Self {
        self.words[1] = (self.words[1] & !(0xf << WATCH_AT)) | (watch as u64) << WATCH_AT;
        self
    }

    /// Who looks at its packets.
    #[inline]
    #[must_use]
    pub const fn watch(&self) -> Watch {
        match self.words[1] >> WATCH_AT {
            0 => Watch::None,
            1 => Watch::Acknowledged,
            _ => Watch::Each,
        }
    }

    /// Whether anybody does.
    #[inline]
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.watch_bits() != 0
    }

    /// The [`Self::watch_bits`] of [`Watch::Acknowledged`].
    pub(crate) const ACKNOWLEDGED: u64 = (Watch::Acknowledged as u64) << WATCH_AT;

    /// Not zero if somebody does: to be added up over many programs.
    #[inline]
    pub(crate) const fn watch_bits(&self) -> u64 {
        self.words[1] & 0xf << WATCH_AT
    }

    /// What to do.
    #[inline]
    #[must_use]
    pub const fn op(&self) -> Op {
        match self.words[0] as u8 {
            1 => Op::Bridge,
            2 => Op::Route,
            3 => Op::Flood,
            4 => Op::Answer,
            5 => Op::Encapsulate,
            6 => Op::RouteEncapsulate,
            7 => Op::Readdress,
            _ => Op::Drop,
        }
    }

    /// What to do, if the VLAN tag stays as it is.
    #[inline]
    #[must_use]
    pub const fn plain_op(&self) -> Option<Op> {
        const TAG: u64 = 0xffff << 32;
        if self.words[0] & TAG == 0 { Some(self.op()) } else { None }
    }

    /// Why the packet dies, for [`Op::Drop`] and an [`Op::Answer`] that has no answer.
    #[inline]
    #[must_use]
    pub fn reason(&self) -> DropReason {
        let number = usize::from((self.words[0] >> 8) as u8);
        DropReason::ALL.get(number).copied().unwrap_or(DropReason::EgressGone)
    }

    /// The port to leave by.
    #[inline]
    #[must_use]
    pub const fn egress(&self) -> PortId {
        PortId((self.words[0] >> 16) as u16)
    }

    /// What happens to the VLAN tag.
    #[inline]
    #[must_use]
    pub const fn tag(&self) -> TagEdit {
        TagEdit::unpack((self.words[0] >> 32) as u16)
    }

    /// The longest IP packet the leaving port takes, bytes.
    #[inline]
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        (self.words[0] >> 48) as u16
    }

    /// The next hop's MAC address, for [`Op::Route`] and [`Op::Readdress`], and, in the underlay, for packets into tunnels.
    #[inline]
    #[must_use]
    pub fn next_hop(&self) -> MacAddr {
        word_mac(self.words[1])
    }

    /// The path, for packets into tunnels.
    #[inline]
    #[must_use]
    pub const fn path(&self) -> PathId {
        PathId((self.words[2] >> 48) as u16)
    }

    /// The inner destination MAC address, for [`Op::RouteEncapsulate`].
    #[inline]
    #[must_use]
    pub fn inner_next_hop(&self) -> MacAddr {
        word_mac(self.words[2])
    }

    /// The source MAC address, for [`Op::Route`] and [`Op::Readdress`].
    #[inline]
    #[must_use]
    pub fn source(&self) -> MacAddr {
        word_mac(self.words[2])
    }

    /// Writes both MAC addresses as they stand in a frame: the next hop's, then the source, for [`Op::Route`] and [`Op::Readdress`].
    #[inline]
    pub fn write_link_addresses(&self, header: &mut [u8; 12]) {
        let [_, next_hop, source] = self.words;
        let first = (next_hop & ((1 << 48) - 1)) | source << 48;
        // Two stores: as an array that is returned, the twelve bytes were stored one by one.
        header[..8].copy_from_slice(&first.to_le_bytes());
        header[8..].copy_from_slice(&((source >> 16) as u32).to_le_bytes());
    }

    /// The part of the learned tables this program was resolved from.
    #[inline]
    #[must_use]
    pub const fn shard(&self) -> u16 {
        (self.words[1] >> 48) as u16 & SHARD_MASK
    }

    /// The words, for the flow table.
    #[inline]
    #[must_use]
    pub const fn words(&self) -> &[u64; PROGRAM_WORDS] {
        &self.words
    }

    /// A program from words taken out of [`Self::words`].
    #[inline]
    #[must_use]
    pub const fn from_words(words: [u64; PROGRAM_WORDS]) -> Self {
        Self { words }
    }
}

const fn head(op: Op, egress: PortId, tag: TagEdit, mtu: u16) -> u64 {
    op as u64 | (egress.0 as u64) << 16 | (tag.pack() as u64) << 32 | (mtu as u64) << 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gives_back_what_was_put_in() {
        let next_hop = MacAddr([2, 0, 0, 0, 0, 9]);
        let source = MacAddr([2, 0, 0, 0, 0, 1]);
        for tag in [TagEdit::Keep, TagEdit::Pop, TagEdit::Push(4094), TagEdit::Set(1)] {
            let program = Program::route(PortId(700), tag, 9000, next_hop, source).depending_on(4095);
            assert_eq!(program.op(), Op::Route);
            let readdressed = Program::readdress(PortId(700), tag, 9000, next_hop, source).depending_on(4095);
            assert_eq!(readdressed.op(), Op::Readdress);
            assert_eq!(readdressed.words()[1..], program.words()[1..]);
            assert_eq!(program.egress(), PortId(700));
            assert_eq!(program.tag(), tag);
            assert_eq!(program.mtu(), 9000);
            assert_eq!(program.next_hop(), next_hop);
            assert_eq!(program.source(), source);
            let mut header = [0xff; 12];
            program.write_link_addresses(&mut header);
            assert_eq!(header, [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
            assert_eq!(program.shard(), 4095);
        }
    }

    #[test]
    fn a_program_into_a_tunnel_gives_back_what_was_put_in() {
        let (outer, inner) = (MacAddr([2, 0, 0, 0, 0, 9]), MacAddr([2, 0, 0, 0, 0, 1]));
        let bridged = Program::encapsulate(PortId(3), PathId(0x7ffe), TagEdit::Pop, 1450, outer).depending_on(77);
        assert_eq!((bridged.op(), bridged.path(), bridged.next_hop()), (Op::Encapsulate, PathId(0x7ffe), outer));
        assert_eq!(bridged.egress(), PortId(3));
        assert_eq!((bridged.tag(), bridged.mtu(), bridged.shard()), (TagEdit::Pop, 1450, 77));
        let routed = bridged.routed_to(inner);
        assert_eq!((routed.op(), routed.path(), routed.next_hop()), (Op::RouteEncapsulate, PathId(0x7ffe), outer));
        assert_eq!((routed.inner_next_hop(), routed.tag(), routed.mtu()), (inner, TagEdit::Pop, 1450));
    }

    #[test]
    fn every_reason_survives_a_drop_program() {
        for reason in DropReason::ALL {
            assert_eq!(Program::drop(reason).op(), Op::Drop);
            assert_eq!(Program::drop(reason).reason(), reason);
        }
    }
}

//! Longest-prefix match: which route a destination address takes.
//!
//! Every network owns a table, most have a handful of routes and a few have a million, so the structure grows with
//! what is in it and a lookup must not care. It is a multibit trie that is built once, never changed and never
//! allocates when read:
//!
//! ```text
//!   address: | root bits (4..=20) | 4 | 4 | skipped by a guard ... | 4 | ...
//!                   |               |              |
//!                 root[]         Node: 16      Guard: all these bits must
//!             2^bits slots       slots, 64     match, else `miss` is the
//!             by table size      bytes = one   answer
//!                                cache line
//! ```
//!
//! Prefixes are pushed to the leaves, so the first leaf met is the answer and nothing is remembered on the way down. A
//! guard stands where every route below a slot shares more bits than a node would spell, which keeps a `/64` or a lone
//! `/128` at two or three loads. Refused: DIR-24-8 (64 MiB for a table of three routes), poptrie (its popcount is a
//! dozen instructions unless the build assumes a newer processor than baseline x86-64), and nodes of varying width
//! (fewer loads, but a shift that is itself loaded: with 100,000 routes IPv4 took 14 ns instead of 9, IPv6 hardly less).

use core::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use thiserror::Error;

/// Bits spelled by one node; 16 slots of four bytes are one cache line.
const STRIDE: u32 = 4;
const FANOUT: usize = 1 << STRIDE;

/// Bits spelled by the largest root, which is 4 MiB.
const LARGEST_ROOT: u32 = 20;

/// A slot is `0` for no route, `value + 1` for a leaf, or one of these bits and an index.
const NODE: u32 = 1 << 31;
const GUARD: u32 = 1 << 30;
const INDEX: u32 = GUARD - 1;
const NO_ROUTE: u32 = 0;

/// The largest value a route may carry.
pub const MAX_VALUE: u32 = GUARD - 2;

/// The most routes one table takes, so that 30 bits count the nodes of the worst arrangement: each route adds two guards
/// and three nodes at most.
pub const MAX_ROUTES: usize = 1 << 27;

/// Why a list of routes is not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LpmError {
    /// A prefix is longer than its address family.
    #[error("route {index}: prefix length {len} exceeds {max}; use a length from 0 to {max}")]
    PrefixTooLong {
        /// Position in the list given.
        index: usize,
        /// The length asked for, in bits.
        len: u8,
        /// The width of the family, in bits.
        max: u8,
    },
    /// A value does not fit a slot.
    #[error("route {index}: value {value} exceeds {MAX_VALUE}; number the next hops from zero")]
    ValueTooLarge {
        /// Position in the list given.
        index: usize,
        /// The value asked for.
        value: u32,
    },
    /// More routes than indices.
    #[error("{count} routes exceed {MAX_ROUTES} for one table; aggregate them or use several networks")]
    TooManyRoutes {
        /// How many were given.
        count: usize,
    },
}

/// An address of either family.
pub trait Address: Copy + sealed::Sealed {
    /// The address as one integer, most significant bit first.
    type Word: Word;
    /// This address as that integer.
    fn word(self) -> Self::Word;
}

/// An unsigned integer as wide as an address.
pub trait Word: Copy + Ord + sealed::Sealed {
    /// Width in bits.
    const WIDTH: u32;
    /// The leftmost `bits` (1 to 31) as an index.
    fn top(self, bits: u32) -> usize;
    /// Without its leftmost `bits`; zero when they are all of it.
    fn after(self, bits: u32) -> Self;
    /// How many leading bits two words share.
    fn agreement(self, other: Self) -> u32;
    /// With everything after the first `bits` cleared.
    fn truncated(self, bits: u32) -> Self;
}

mod sealed {
    /// Two families exist; the trie counts on their widths.
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u128 {}
    impl Sealed for super::Ipv4Addr {}
    impl Sealed for super::Ipv6Addr {}
}

macro_rules! word {
    ($word:ty, $address:ty) => {
        impl Word for $word {
            const WIDTH: u32 = <$word>::BITS;
            #[inline]
            fn top(self, bits: u32) -> usize {
                (self >> (Self::WIDTH - bits)) as usize
            }
            #[inline]
            fn after(self, bits: u32) -> Self {
                self.checked_shl(bits).unwrap_or(0)
            }
            #[inline]
            fn agreement(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }
            #[inline]
            fn truncated(self, bits: u32) -> Self {
                self & !<$word>::MAX.checked_shr(bits).unwrap_or(0)
            }
        }
        impl Address for $address {
            type Word = $word;
            #[inline]
            fn word(self) -> $word {
                self.to_bits()
            }
        }
    };
}
word!(u32, Ipv4Addr);
word!(u128, Ipv6Addr);

/// One route to put into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<A> {
    /// Where the prefix starts; bits beyond `len` are ignored.
    pub prefix: A,
    /// Length of the prefix in bits, 0 to the width of the family.
    pub len: u8,
    /// What a match yields: an index of a next hop, at most [`MAX_VALUE`].
    pub value: u32,
}

/// Sixteen slots, one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Node([u32; FANOUT]);

/// A run of bits that only one subtree uses; aligned so that none straddles a cache line.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Guard<W> {
    /// The bits, from the guard's own depth, at the left.
    bits: W,
    /// How many they are.
    len: u32,
    /// The slot to go on with when they match.
    hit: u32,
    /// The leaf that answers when they do not.
    miss: u32,
}

/// An immutable table of routes for one address family.
pub struct Lpm<A: Address> {
    root_bits: u32,
    root: Box<[u32]>,
    nodes: Box<[Node]>,
    guards: Box<[Guard<A::Word>]>,
    routes: usize,
}

impl<A: Address> Lpm<A> {
    /// Compiles routes into a table.
    ///
    /// Bits of a prefix beyond its length are ignored. Of two routes with the same prefix and length the later one
    /// wins. Routes may come in any order.
    ///
    /// # Errors
    /// A length beyond the family's width, a value beyond [`MAX_VALUE`], or more than [`MAX_ROUTES`] routes.
    pub fn build(routes: &[Route<A>]) -> Result<Self, LpmError> {
        let entries = sorted(routes)?;
        let root_bits = root_bits(entries.len());
        let mut root = vec![NO_ROUTE; 1 << root_bits];
        let mut builder = Builder { nodes: Vec::new(), guards: Vec::new() };
        builder.fill(&mut root, &entries, (0, root_bits));
        Ok(Self {
            root_bits,
            root: root.into(),
            nodes: builder.nodes.into(),
            guards: builder.guards.into(),
            routes: entries.len(),
        })
    }

    /// The value of the longest prefix that contains `address`, if any does.
    #[inline]
    pub fn lookup(&self, address: A) -> Option<u32> {
        // The root stands apart from the loop: going through the loop's branches, too, it made a lookup among 100,000
        // routes three times as long.
        let word = address.word();
        let mut slot = self.root[word.top(self.root_bits)];
        let mut rest = word.after(self.root_bits);
        while slot >= GUARD {
            let index = (slot & INDEX) as usize;
            if slot & NODE != 0 {
                slot = self.nodes[index].0[rest.top(STRIDE)];
                rest = rest.after(STRIDE);
            } else {
                let guard = &self.guards[index];
                if rest.agreement(guard.bits) < guard.len {
                    return guard.miss.checked_sub(1);
                }
                slot = guard.hit;
                rest = rest.after(guard.len);
            }
        }
        slot.checked_sub(1)
    }

    /// How many distinct routes the table was built from.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Whether no address matches anything.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// Memory the table holds, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.root) + size_of_val(&*self.nodes) + size_of_val(&*self.guards)
    }
}

/// A table of IPv4 routes.
pub type Lpm4 = Lpm<Ipv4Addr>;

/// A table of IPv6 routes.
pub type Lpm6 = Lpm<Ipv6Addr>;

impl<A: Address> Default for Lpm<A> {
    /// A table that matches nothing.
    fn default() -> Self {
        let root = vec![NO_ROUTE; 1 << STRIDE].into();
        Self { root_bits: STRIDE, root, nodes: Box::new([]), guards: Box::new([]), routes: 0 }
    }
}

impl<A: Address> fmt::Debug for Lpm<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Lpm");
        shown.field("routes", &self.routes).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

/// How many bits the root spells: about a slot a route, in whole strides.
fn root_bits(routes: usize) -> u32 {
    let bits = usize::BITS - routes.leading_zeros();
    bits.next_multiple_of(STRIDE).clamp(STRIDE, LARGEST_ROOT)
}

/// A route checked and cut to its length; the derived order puts a prefix before all it contains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<W> {
    prefix: W,
    len: u32,
    value: u32,
}

/// The routes checked, in order, each prefix once.
fn sorted<A: Address>(routes: &[Route<A>]) -> Result<Vec<Entry<A::Word>>, LpmError> {
    if routes.len() > MAX_ROUTES {
        return Err(LpmError::TooManyRoutes { count: routes.len() });
    }
    let mut entries = Vec::with_capacity(routes.len());
    for (index, route) in routes.iter().enumerate() {
        let (len, value) = (u32::from(route.len), route.value);
        if len > A::Word::WIDTH {
            return Err(LpmError::PrefixTooLong { index, len: route.len, max: A::Word::WIDTH as u8 });
        }
        if value > MAX_VALUE {
            return Err(LpmError::ValueTooLarge { index, value });
        }
        entries.push(Entry { prefix: route.prefix.word().truncated(len), len, value });
    }
    entries.sort_by_key(|entry| (entry.prefix, entry.len)); // stable: a later duplicate stays later
    entries.dedup_by(|later, kept| {
        let same = (later.prefix, later.len) == (kept.prefix, kept.len);
        if same {
            kept.value = later.value;
        }
        same
    });
    Ok(entries)
}

struct Builder<W> {
    nodes: Vec<Node>,
    guards: Vec<Guard<W>>,
}

impl<W: Word> Builder<W> {
    /// Fills the slots that spell `bits` bits from `depth` on. `routes` are in order, agree in their first `depth` bits
    /// and go beyond them, but for a default route at depth 0. The slots come with the answer of what contains them all.
    fn fill(&mut self, slots: &mut [u32], mut routes: &[Entry<W>], (depth, bits): (u32, u32)) {
        let below = depth + bits;
        for route in routes.iter().filter(|route| route.len <= below) {
            let first = route.prefix.after(depth).top(bits);
            let count = 1 << (below - route.len);
            slots[first..first + count].fill(route.value + 1); // what contains a route comes before it
        }
        while let Some(first) = routes.first() {
            let at = first.prefix.after(depth).top(bits);
            let same = |route: &&Entry<W>| route.prefix.after(depth).top(bits) == at;
            let (here, others) = routes.split_at(routes.iter().take_while(same).count());
            let longer = here.partition_point(|route| route.len <= below);
            slots[at] = self.subtree(&here[longer..], below, slots[at]);
            routes = others;
        }
    }

    /// The slot that answers for `routes` (as for [`Builder::fill`]) below `depth`, and with `inherited` where none of
    /// them matches.
    fn subtree(&mut self, routes: &[Entry<W>], depth: u32, inherited: u32) -> u32 {
        let (Some(first), Some(last)) = (routes.first(), routes.last()) else {
            return inherited;
        };
        // In this order, nothing is shorter than the bits all share unless the first is.
        let shared = first.prefix.agreement(last.prefix).min(first.len);
        if shared > depth + STRIDE {
            return self.guard(routes, (depth, shared), inherited);
        }
        let mut slots = [inherited; FANOUT];
        self.fill(&mut slots, routes, (depth, STRIDE));
        if slots[0] < GUARD && slots.iter().all(|&slot| slot == slots[0]) {
            return slots[0];
        }
        self.nodes.push(Node(slots));
        NODE | (self.nodes.len() - 1) as u32
    }

    /// As [`Builder::subtree`] for routes that all share the bits from `depth` to `shared`.
    fn guard(&mut self, routes: &[Entry<W>], (depth, shared): (u32, u32), inherited: u32) -> u32 {
        let first = routes[0];
        let hit = if first.len == shared {
            self.subtree(&routes[1..], shared, first.value + 1)
        } else {
            self.subtree(routes, shared, inherited)
        };
        if hit == inherited {
            return inherited;
        }
        let bits = first.prefix.truncated(shared).after(depth);
        self.guards.push(Guard { bits, len: shared - depth, hit, miss: inherited });
        GUARD | (self.guards.len() - 1) as u32
    }
}

#[cfg(test)]
#[path = "lpm_tests.rs"]
mod tests;

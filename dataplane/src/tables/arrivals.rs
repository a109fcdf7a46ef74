//! Which path a tunnelled packet came by: from its outer source address, its encapsulation and its VNI.
//!
//! Looked up for every packet that arrives, so it is a flat, half-empty, open-addressed table of words, built once. It answers
//! too what is wrong with a packet that came by none.

use core::net::IpAddr;

use crate::{
    drops::DropReason,
    ids::{PathId, Vni},
    tables::underlay::peer_key,
    tunnel::Encapsulation,
};

/// Keeps an occupied slot's value apart from an empty one's.
const OCCUPIED: u64 = 1 << 63;

/// The table. Its default has nothing in it.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    slots: Vec<Slot>,
    peers: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    high: u64,
    low: u64,
    /// Family, encapsulation and VNI.
    kind: u64,
    value: u64,
}

/// Where a packet came from: the words of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    high: u64,
    low: u64,
    kind: u64,
}

impl Arrival {
    /// From the outer source address.
    #[inline]
    #[must_use]
    pub fn new(source: IpAddr, encapsulation: Encapsulation, vni: Vni) -> Self {
        let [family, high, low] = peer_key(source);
        Self { high, low, kind: family << 32 | (encapsulation as u64) << 24 | u64::from(vni.0) }
    }

    #[inline]
    fn hash(self) -> usize {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        // VTEP addresses are configured by the operator, not chosen by an attacker: no secret.
        fold(self.low ^ 0x9e37_79b9_7f4a_7c15, (self.kind ^ self.high) | 1 << 62) as usize
    }
}

impl Arrivals {
    /// A table of these arrivals; of two alike the later counts.
    #[must_use]
    pub fn of(arrivals: &[(IpAddr, Encapsulation, Vni, PathId)]) -> Self {
        let mut table =
            Self { slots: vec![Slot::default(); (arrivals.len() * 2).next_power_of_two()], peers: Vec::new() };
        for (source, encapsulation, vni, path) in arrivals {
            let key = Arrival::new(*source, *encapsulation, *vni);
            let at = table.probe(key).unwrap_or_else(|free| free);
            table.slots[at] =
                Slot { high: key.high, low: key.low, kind: key.kind, value: OCCUPIED | u64::from(path.0) };
            table.peers.push(*source);
        }
        table.peers.sort_unstable();
        table.peers.dedup();
        table
    }

    /// The path.
    #[inline]
    #[must_use]
    pub fn path(&self, arrival: Arrival) -> Option<PathId> {
        if self.slots.is_empty() {
            return None;
        }
        self.probe(arrival).ok().map(|at| PathId(self.slots[at].value as u16))
    }

    /// Why a packet from `source` came by no path.
    #[cold]
    #[must_use]
    pub fn stranger(&self, source: IpAddr) -> DropReason {
        match self.peers.binary_search(&source) {
            Ok(_) => DropReason::UnknownVni,
            Err(_) => DropReason::UnknownVtep,
        }
    }

    /// The slot of a key, or the free one where it would stand. At least half of the slots are free.
    #[inline]
    fn probe(&self, key: Arrival) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = key.hash() & mask;
        loop {
            let slot = &self.slots[at];
            if slot.value == 0 {
                return Err(at);
            }
            if slot.low == key.low && slot.kind == key.kind && slot.high == key.high {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_table_agrees_with_a_hash_map(
            arrivals in prop::collection::vec((0u32..40, any::<bool>(), 0u32..6, 0u16..500), 0..200),
            asked in prop::collection::vec((0u32..60, any::<bool>(), 0u32..8), 0..100),
        ) {
            let address = |number: u32, wide: bool| -> IpAddr {
                if wide { core::net::Ipv6Addr::from(u128::from(number) << 64 | 1).into() } else { core::net::Ipv4Addr::from(number).into() }
            };
            let listed: Vec<_> = arrivals
                .iter()
                .map(|(number, wide, vni, path)| (address(*number, *wide), Encapsulation::Vxlan, Vni(*vni), PathId(*path)))
                .collect();
            let oracle: HashMap<_, _> = listed.iter().map(|(source, _, vni, path)| ((*source, *vni), *path)).collect();
            let table = Arrivals::of(&listed);
            for (number, wide, vni) in asked {
                let (source, vni) = (address(number, wide), Vni(vni));
                let found = table.path(Arrival::new(source, Encapsulation::Vxlan, vni));
                prop_assert_eq!(found, oracle.get(&(source, vni)).copied());
                prop_assert_eq!(table.path(Arrival::new(source, Encapsulation::Geneve, vni)), None);
                if found.is_none() {
                    let known = oracle.keys().any(|(peer, _)| *peer == source);
                    let reason = if known { DropReason::UnknownVni } else { DropReason::UnknownVtep };
                    prop_assert_eq!(table.stranger(source), reason);
                }
            }
        }
    }
}

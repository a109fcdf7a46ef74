//! The next hops of the underlay, looked after: asked for before a packet needs them, asked again while they are in use, given up when
//! they are silent, taken back when they answer. And path MTUs, which may grow back.
//!
//! ```text
//!   unknown --answer--> reachable --30 s--> asked there 3 times, a second apart --> everyone asked --> unknown
//!      ^ asked every second             <--answer, from any state--
//! ```
//!
//! As in RFC 4861, 7.3, with one difference: packets go on to a next hop while it is being asked. Worker 0 does it for all. Refused:
//! taking tunnelled packets of a peer as a sign of life, since they may come back another way than ours go.

use std::collections::{HashMap, HashSet};

use crate::{
    flow::key::word_mac,
    ids::Generation,
    stage::{dispatch::Exits, shared::Shared, underlay::ask},
    tables::{
        Tables,
        underlay::{Hop, Underlay, hop_key},
    },
    worker::{Worker, asked::PATIENCE},
};

/// A next hop that spoke so long ago is asked whether it is still there, milliseconds (RFC 4861, 10: REACHABLE_TIME).
const REACHABLE: u32 = 30_000;

/// The same for one without which its peer can be reached by another: taking it out helps then, so silence is noticed in nine seconds.
/// Such next hops are routers, of which there are few.
const REACHABLE_WITH_OTHERS: u32 = 5000;

/// Next hops looked at a millisecond, and so the most questions: a thousand nodes are asked for in 63 ms, at 16,000 small frames a
/// second, a hundredth of what an uplink's port takes; yet a round is over well within the second between two questions.
const PACE: usize = 16;

/// Milliseconds of that which may be made up for at once, after a sleep: 256 questions, a quarter of a port's queue.
const CATCH_UP: usize = 16;

/// A smaller path MTU is believed for so long after it was last heard of, milliseconds (RFC 1191, 6.3).
const PATH_MTU_AGE: u32 = 600_000;

/// Every path MTU is looked at once in about this many milliseconds.
const PATH_MTU_ROUND: usize = 10_000;

/// A next hop that some peer needs.
struct Watched {
    hop: Hop,
    /// How long its word is good, milliseconds.
    reachable: u32,
}

/// What is looked after, and how far the rounds are.
#[derive(Default)]
pub(super) struct Hops {
    /// The tables it was read from.
    generation: Generation,
    watched: Vec<Watched>,
    next: usize,
    path_mtus: usize,
}

impl Hops {
    /// Starts anew for new tables: next hops that no peer needs any more are forgotten.
    fn renew(&mut self, tables: &Tables, shared: &Shared) {
        let underlay = &tables.underlay;
        let mut needed: HashMap<Hop, u32> = HashMap::new();
        for peer in &underlay.peers {
            let reachable = if peer.hops.len() > 1 { REACHABLE_WITH_OTHERS } else { REACHABLE };
            for hop in &peer.hops {
                let least = needed.entry(*hop).or_insert(reachable);
                *least = (*least).min(reachable);
            }
        }
        let key = |hop: &Hop| Some(hop_key(underlay.uplinks.get(usize::from(hop.uplink))?.port, hop.address));
        let keys: HashSet<_> = needed.keys().filter_map(key).collect();
        shared.hops.forget(0..shared.hops.slots(), |key, _, _| !keys.contains(key), |_, _| ());
        shared.hop_questions.keep(|key| keys.contains(key));
        self.watched = needed.into_iter().map(|(hop, reachable)| Watched { hop, reachable }).collect();
        self.generation = tables.generation;
        self.next = 0;
    }

    /// The next one of the round.
    fn next(&mut self) -> Option<&Watched> {
        let watched = self.watched.get(self.next)?;
        self.next = if self.next + 1 == self.watched.len() { 0 } else { self.next + 1 };
        Some(watched)
    }
}

impl Worker {
    /// A slice of the round over all next hops and path MTUs.
    pub(super) fn look_after_hops(&mut self, now: u32, elapsed: usize) {
        let Self { tables, shared, exits, upkeep, .. } = self;
        let hops = &mut upkeep.hops;
        if hops.generation != tables.generation {
            hops.renew(tables, shared);
        }
        shared.renew_flows_if_due(now);
        forget_old_path_mtus(&mut hops.path_mtus, shared, now, elapsed);
        let budget = (PACE * elapsed.min(CATCH_UP)).min(hops.watched.len());
        for _ in 0..budget {
            let Some(watched) = hops.next() else { break };
            look_after(watched, &tables.underlay, shared, now, exits);
        }
        // Another worker's uplink: it may be asleep.
        exits.peers.announce();
    }
}

fn look_after(watched: &Watched, underlay: &Underlay, shared: &Shared, now: u32, exits: &mut Exits) {
    let hop = watched.hop;
    let Some(uplink) = underlay.uplinks.get(usize::from(hop.uplink)) else { return };
    let key = hop_key(uplink.port, hop.address);
    let known = shared.hops.sighting(&key);
    if !exits.leads_to(uplink.port) {
        // The uplink is not there (yet, or any more): what can go another way does at once.
        if known.is_some() {
            shared.forget_hop(uplink.port, hop.address, now);
        }
        return;
    }
    // Another worker's clock may be ahead.
    if known.is_some_and(|(_, seen)| (now.wrapping_sub(seen) as i32) < watched.reachable as i32) {
        return;
    }
    let advice = shared.hop_questions.wanted(&key, now);
    if !advice.ask {
        return;
    }
    let known = known.map(|(mac, _)| word_mac(mac));
    if known.is_some() && advice.before > PATIENCE {
        shared.forget_hop(uplink.port, hop.address, now);
    }
    let there = known.filter(|_| advice.before < PATIENCE);
    ask(underlay, uplink, (hop.address, there), exits);
}

fn forget_old_path_mtus(at: &mut usize, shared: &Shared, now: u32, elapsed: usize) {
    let slots = shared.path_mtus.slots();
    let count = slots * elapsed / PATH_MTU_ROUND + 1;
    shared.forget_path_mtus(*at..*at + count, PATH_MTU_AGE, now);
    *at = if *at + count >= slots { 0 } else { *at + count };
}

//! The table of the emulated engine: flows by what it tells them apart by, in the order in which they would be put out.

use std::collections::{BTreeMap, HashMap};

use crate::{
    flow::{FlowKey, key::KEY_WORDS},
    offload::{Offer, Permit, Refusal, Usage, emulated::Eviction},
};

type Words = [u64; KEY_WORDS];

/// One flow.
pub(super) struct Rule {
    pub(super) offer: Offer,
    /// Not carried before.
    from: u32,
    active: bool,
    /// Its place in the order.
    turn: u64,
    since: Usage,
}

/// The flows.
pub(super) struct Table {
    capacity: usize,
    eviction: Eviction,
    rules: HashMap<Words, Rule>,
    /// By entry of the flow table: what they are found by.
    entries: HashMap<u32, Words>,
    /// By turn: which goes first.
    order: BTreeMap<u64, Words>,
    turn: u64,
    evicted: Vec<(Permit, Usage)>,
    dice: u64,
}

impl Table {
    pub(super) fn new(capacity: usize, eviction: Eviction, seed: u64) -> Self {
        Self {
            capacity,
            eviction,
            rules: HashMap::new(),
            entries: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            evicted: Vec::new(),
            dice: seed | 1,
        }
    }

    /// Takes a flow, to be carried from `from` on. `stands`: whether a permit does.
    pub(super) fn insert(
        &mut self,
        key: FlowKey,
        offer: Offer,
        from: u32,
        stands: impl Fn(Permit) -> bool,
    ) -> Result<(), Refusal> {
        let words = *key.words();
        self.remove(offer.permit);
        if let Some(other) = self.rules.get(&words).map(|rule| &rule.offer) {
            if other.generation == offer.generation && stands(other.permit) {
                return Err(Refusal::Covered);
            }
            let former = other.permit;
            let last = self.remove(former);
            self.evicted.push((former, last));
        }
        while self.rules.len() >= self.capacity {
            let out = self.candidate().ok_or(Refusal::Full)?;
            let last = self.remove(out);
            self.evicted.push((out, last));
        }
        self.turn += 1;
        self.entries.insert(offer.permit.entry, words);
        self.order.insert(self.turn, words);
        self.rules.insert(words, Rule { offer, from, active: false, turn: self.turn, since: Usage::default() });
        Ok(())
    }

    /// The flow that goes for another.
    fn candidate(&mut self) -> Option<Permit> {
        let words = match self.eviction {
            Eviction::None => None,
            Eviction::LeastRecentlyUsed => self.order.values().next(),
            Eviction::Random => {
                self.dice ^= self.dice << 13;
                self.dice ^= self.dice >> 7;
                self.dice ^= self.dice << 17;
                let number = self.dice as usize % self.order.len().max(1);
                self.order.values().nth(number)
            }
        }?;
        Some(self.rules.get(words)?.offer.permit)
    }

    /// The flow of a packet, if it is carried by now.
    pub(super) fn find(&self, key: &FlowKey) -> Option<&Rule> {
        self.rules.get(key.words()).filter(|rule| rule.active)
    }

    /// Counts a packet of a flow that [`Self::find`] found.
    pub(super) fn count(&mut self, key: &FlowKey, bytes: u64, now: u32) {
        let Self { rules, order, turn, eviction, .. } = self;
        let Some(rule) = rules.get_mut(key.words()) else { return };
        rule.since.carried.add(1, bytes);
        rule.since.seen = now;
        if *eviction == Eviction::LeastRecentlyUsed {
            order.remove(&rule.turn);
            *turn += 1;
            rule.turn = *turn;
            order.insert(*turn, *key.words());
        }
    }

    /// Has flows carried whose time has come.
    pub(super) fn activate(&mut self, now: u32) {
        for rule in self.rules.values_mut().filter(|rule| !rule.active) {
            rule.active = now.wrapping_sub(rule.from) as i32 >= 0;
        }
    }

    pub(super) fn remove(&mut self, permit: Permit) -> Usage {
        let Some(words) = self.entries.get(&permit.entry).copied() else { return Usage::default() };
        self.entries.remove(&permit.entry);
        let Some(rule) = self.rules.remove(&words) else { return Usage::default() };
        self.order.remove(&rule.turn);
        rule.since
    }

    /// Loses a flow without a word.
    pub(super) fn lose(&mut self, permit: Permit) {
        self.remove(permit);
    }

    pub(super) fn usage(&mut self, mut tell: impl FnMut(Permit, Usage)) {
        for rule in self.rules.values_mut() {
            tell(rule.offer.permit, core::mem::take(&mut rule.since));
        }
    }

    pub(super) fn take_evicted(&mut self) -> Vec<(Permit, Usage)> {
        core::mem::take(&mut self.evicted)
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
        self.entries.clear();
        self.order.clear();
    }
}

//! Lists that are handed out whole and changed a little: a copy shares every page with its original until one of them writes there.
//!
//! A generation of tables is such a copy, so that what a change costs does not grow with the pods there are.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;

/// Entries of a page. Small, as a write copies one; large, as a generation copies a pointer for each.
const PAGE: usize = 128;

/// A list by number.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T>(Vec<Arc<Vec<T>>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone + Default> Pages<T> {
    pub(crate) fn set(&mut self, at: u32, value: T) {
        let at = at as usize;
        if self.0.len() <= at / PAGE {
            self.0.resize_with(at / PAGE + 1, || Arc::new(vec![T::default(); PAGE]));
        }
        Arc::make_mut(&mut self.0[at / PAGE])[at % PAGE] = value;
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        let at = at as usize;
        self.0.get(at / PAGE).map(|page| &page[at % PAGE])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|page| page.iter())
    }
}

/// A map, in as many sorted lists as keep each of them short.
#[derive(Clone, Debug)]
pub(crate) struct Shards<K, V> {
    shards: Vec<Arc<Vec<(K, V)>>>,
    hasher: RandomState,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self { shards: (0..256).map(|_| Arc::new(Vec::new())).collect(), hasher: RandomState::default() }
    }
}

impl<K: Clone + Ord + Hash, V: Clone> Shards<K, V> {
    fn shard(&self, key: &K) -> usize {
        usize::try_from(self.hasher.hash_one(key) % self.shards.len() as u64).unwrap_or_default()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let at = self.shard(&key);
        let shard = Arc::make_mut(&mut self.shards[at]);
        match shard.binary_search_by(|entry| entry.0.cmp(&key)) {
            Ok(at) => shard[at].1 = value,
            Err(at) => shard.insert(at, (key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: &K) {
        let at = self.shard(key);
        let shard = Arc::make_mut(&mut self.shards[at]);
        if let Ok(at) = shard.binary_search_by(|entry| entry.0.cmp(key)) {
            shard.remove(at);
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let shard = &self.shards[self.shard(key)];
        shard.binary_search_by(|entry| entry.0.cmp(key)).ok().map(|at| &shard[at].1)
    }

    /// All of it, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }
}

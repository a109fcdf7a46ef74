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

/// An entry of a map, found by its hash: numbers compare in a fraction of the time that names and addresses do.
#[derive(Clone, Debug)]
struct Entry<K, V> {
    hash: u32,
    key: K,
    value: V,
}

/// A map, in as many lists sorted by hash as keep each of them short.
#[derive(Clone, Debug)]
pub(crate) struct Shards<K, V> {
    shards: Vec<Arc<Vec<Entry<K, V>>>>,
    hasher: RandomState,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self { shards: (0..256).map(|_| Arc::new(Vec::new())).collect(), hasher: RandomState::default() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Shards<K, V> {
    /// The number of a key's list, and its hash there.
    #[inline]
    fn place(&self, key: &K) -> (usize, u32) {
        let hash = self.hasher.hash_one(key);
        let shard = usize::try_from(hash % self.shards.len() as u64).unwrap_or_default();
        (shard, u32::try_from(hash >> 32).unwrap_or_default())
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let (shard, hash) = self.place(&key);
        let shard = Arc::make_mut(&mut self.shards[shard]);
        match find(shard, hash, &key) {
            Ok(at) => shard[at].value = value,
            Err(at) => shard.insert(at, Entry { hash, key, value }),
        }
    }

    pub(crate) fn remove(&mut self, key: &K) {
        let (shard, hash) = self.place(key);
        let shard = Arc::make_mut(&mut self.shards[shard]);
        if let Ok(at) = find(shard, hash, key) {
            shard.remove(at);
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let (shard, hash) = self.place(key);
        let shard = &self.shards[shard];
        find(shard, hash, key).ok().map(|at| &shard[at].value)
    }

    /// All of it, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter().map(|entry| (&entry.key, &entry.value)))
    }
}

/// Where a key is, or would be.
#[inline]
fn find<K: Eq, V>(shard: &[Entry<K, V>], hash: u32, key: &K) -> Result<usize, usize> {
    let from = shard.partition_point(|entry| entry.hash < hash);
    let alike = shard[from..].iter().take_while(|entry| entry.hash == hash).position(|entry| entry.key == *key);
    alike.map(|at| from + at).ok_or(from)
}

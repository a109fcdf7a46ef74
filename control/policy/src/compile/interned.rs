//! Values with numbers: equal values share one, counted, and a number is free again when its last holder is gone.
//!
//! Numbers are small and dense, so that they index flat arrays; a number given back may come to mean something else in a
//! later compilation, never within one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::RandomState;

pub(super) type Map<K, V> = HashMap<K, V, RandomState>;

#[derive(Debug)]
pub(super) struct Interned<K> {
    numbers: Map<Arc<K>, u32>,
    values: Vec<Option<(Arc<K>, u32)>>,
    free: Vec<u32>,
}

impl<K> Default for Interned<K> {
    fn default() -> Self {
        Self { numbers: Map::default(), values: Vec::new(), free: Vec::new() }
    }
}

impl<K: Hash + Eq> Interned<K> {
    /// The number of a value, held once more; and whether it is new.
    pub(super) fn hold(&mut self, value: K) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&value).copied() {
            if let Some((_, holders)) = &mut self.values[number as usize] {
                *holders += 1;
            }
            return (number, false);
        }
        let value = Arc::new(value);
        let number = self.free.pop().unwrap_or_else(|| {
            self.values.push(None);
            u32::try_from(self.values.len() - 1).expect("more classes than a u32 can count do not fit into memory")
        });
        self.values[number as usize] = Some((Arc::clone(&value), 1));
        self.numbers.insert(value, number);
        (number, true)
    }

    /// Lets go once. Gives the value back if nobody holds it any longer.
    pub(super) fn release(&mut self, number: u32) -> Option<Arc<K>> {
        let slot = self.values.get_mut(number as usize)?;
        let (_, holders) = slot.as_mut()?;
        *holders -= 1;
        if *holders > 0 {
            return None;
        }
        let (value, _) = slot.take()?;
        self.numbers.remove(&value);
        self.free.push(number);
        Some(value)
    }

    pub(super) fn number(&self, value: &K) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Arc<K>> {
        self.values.get(number as usize)?.as_ref().map(|(value, _)| value)
    }
}

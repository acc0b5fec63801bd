//! How many of something each key holds, up to a limit.

use std::{hash::Hash, sync::Arc};

use dashmap::{DashMap, mapref::entry::Entry};

/// Counts by key. Cloned, it is the same counts. A key that holds nothing takes no memory.
#[derive(Debug)]
pub struct Counts<K: Eq + Hash> {
    by_key: Arc<DashMap<K, usize>>,
}

/// One that is counted under its key until this is dropped.
#[derive(Debug)]
pub struct Count<K: Eq + Hash> {
    by_key: Arc<DashMap<K, usize>>,
    key: Option<K>,
}

impl<K: Eq + Hash> Clone for Counts<K> {
    fn clone(&self) -> Self {
        Self {
            by_key: Arc::clone(&self.by_key),
        }
    }
}

impl<K: Eq + Hash> Default for Counts<K> {
    fn default() -> Self {
        Self {
            by_key: Arc::default(),
        }
    }
}

impl<K: Eq + Hash + Clone> Counts<K> {
    /// One more for the key, if it holds fewer than `max`.
    pub fn take(&self, key: K, max: usize) -> Option<Count<K>> {
        let mut held = self.by_key.entry(key.clone()).or_insert(0);
        if max <= *held {
            // A `max` of 0 leaves an entry of 0 behind.
            drop(held);
            self.by_key.remove_if(&key, |_, held| *held == 0);
            return None;
        }
        *held += 1;
        drop(held);
        Some(Count {
            by_key: Arc::clone(&self.by_key),
            key: Some(key),
        })
    }

    /// How many the key holds.
    pub fn held(&self, key: &K) -> usize {
        self.by_key.get(key).map_or(0, |held| *held)
    }

    /// How many keys hold any.
    pub fn keys(&self) -> usize {
        self.by_key.len()
    }
}

impl<K: Eq + Hash> Drop for Count<K> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else {
            return;
        };
        if let Entry::Occupied(mut held) = self.by_key.entry(key) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_no_more_than_its_limit_and_gives_back_on_drop() {
        let counts = Counts::default();
        let (first, _second) = (counts.take("kim", 2).unwrap(), counts.take("kim", 2));
        assert!(counts.take("kim", 2).is_none());
        assert!(counts.take("lee", 2).is_some(), "another key is its own");

        drop(first);

        assert_eq!(counts.held(&"kim"), 1);
        assert!(counts.take("kim", 2).is_some());
        assert_eq!(counts.keys(), 1, "what holds nothing is forgotten");
        assert!(counts.take("park", 0).is_none());
        assert_eq!(counts.keys(), 1);
    }
}

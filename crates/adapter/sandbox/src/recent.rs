//! A map that keeps its newest entries only, so that nothing a client does grows it without end.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most `capacity` entries; the one written longest ago makes room.
pub(crate) struct Recent<K, V> {
    capacity: usize,
    next: u64,
    entries: HashMap<K, (u64, V)>,
    by_age: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, next: 0, entries: HashMap::new(), by_age: BTreeMap::new() }
    }

    /// Writes an entry, which makes it the newest.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        self.by_age.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        self.next += 1;
        if self.entries.len() > self.capacity
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((age, _)) = self.entries.remove(key) {
            self.by_age.remove(&age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_written_longest_ago_makes_room() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        recent.insert("a", 3);
        recent.insert("c", 4);
        assert_eq!((recent.get(&"a"), recent.get(&"b"), recent.get(&"c")), (Some(&3), None, Some(&4)));
    }

    #[test]
    fn rewriting_one_entry_for_ever_takes_no_more_room() {
        let mut recent = Recent::new(2);
        recent.insert(0, 0);
        for value in 0..1000 {
            recent.insert(1, value);
        }
        assert_eq!((recent.entries.len(), recent.by_age.len()), (2, 2));
    }

    #[test]
    fn a_removed_entry_is_gone() {
        let mut recent = Recent::new(2);
        recent.insert("a", 1);
        recent.remove(&"a");
        assert_eq!((recent.get(&"a"), recent.by_age.len()), (None, 0));
    }
}

//! Which rate a key has.

use hashbrown::HashTable;

use super::{Key, Rate};

/// The rates of one table: everybody's, and those of keys that were given their own.
#[derive(Clone, Debug)]
pub struct Rates {
    default: Rate,
    overrides: HashTable<(Key, Rate)>,
}

impl Rates {
    /// `default` for everybody but the keys in `overrides`; of a key that is named twice the last one counts.
    #[must_use]
    pub fn new(default: Rate, overrides: impl IntoIterator<Item = (Key, Rate)>) -> Self {
        let mut rates = Self { default, overrides: HashTable::new() };
        for (key, rate) in overrides {
            match rates.overrides.find_mut(key.0, |named| named.0 == key) {
                Some(named) => named.1 = rate,
                None => _ = rates.overrides.insert_unique(key.0, (key, rate), |named| named.0.0),
            }
        }
        rates
    }

    /// The rate of whoever has none of their own, and of what they share when a table is full.
    pub(super) fn default_rate(&self) -> Rate {
        self.default
    }

    /// The rate of `key`.
    pub(super) fn of(&self, key: Key) -> Rate {
        self.named(key).unwrap_or(self.default)
    }

    /// The rate that `key` was given as its own.
    pub(super) fn named(&self, key: Key) -> Option<Rate> {
        // An empty table is asked on every decision: do not hash into it.
        if self.overrides.is_empty() {
            return None;
        }
        self.overrides.find(key.0, |named| named.0 == key).map(|named| named.1)
    }
}

//! Where this process looks for a shard.

use std::sync::atomic::{AtomicU64, Ordering};

use super::map::ShardMap;
use crate::value::Shard;

/// The database of every shard. It may be behind for a moment: a write asks the database itself, and a database that has given a
/// shard away keeps what readers may still look for until they have all learned it.
pub(super) struct Routes {
    /// Epoch and database in one number, the epoch first: the greater one is the newer one.
    places: Box<[AtomicU64]>,
    databases: usize,
}

impl Routes {
    /// As the map has it, on so many databases.
    pub(super) fn new(map: &ShardMap, databases: usize) -> Self {
        let places = map.places().map(|(_, place)| AtomicU64::new(packed(place.database, place.epoch))).collect();
        Self { places, databases }
    }

    pub(super) fn database_of(&self, shard: Shard) -> usize {
        unpacked(self.places[usize::from(shard.index())].load(Ordering::Relaxed))
    }

    /// The database that holds all of them; `None` when there is none.
    pub(super) fn together(&self, shards: &[Shard]) -> Option<usize> {
        let (first, others) = shards.split_first()?;
        let database = self.database_of(*first);
        others.iter().all(|other| self.database_of(*other) == database).then_some(database)
    }

    /// Takes note of where a shard lies since `epoch`, and says whether that was news. A database that this process was not told
    /// of is none.
    pub(super) fn learn(&self, shard: Shard, database: usize, epoch: i32) -> bool {
        let told = packed(database, epoch);
        database < self.databases && self.places[usize::from(shard.index())].fetch_max(told, Ordering::Relaxed) < told
    }
}

fn packed(database: usize, epoch: i32) -> u64 {
    // At most 64 databases.
    (u64::from(epoch.unsigned_abs()) << 32) | database as u64
}

fn unpacked(place: u64) -> usize {
    (place & u64::from(u32::MAX)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u16) -> Shard {
        Shard::new(number).unwrap()
    }

    #[test]
    fn what_was_learned_last_is_forgotten_for_nothing_older() {
        let routes = Routes::new(&ShardMap::by_range(3), 3);
        assert_eq!([0, 341, 342, 1023].map(|number| routes.database_of(shard(number))), [0, 0, 1, 2]);
        assert!(routes.learn(shard(17), 2, 2) && !routes.learn(shard(17), 2, 2));
        assert!(!routes.learn(shard(17), 0, 1), "from before");
        assert_eq!(routes.database_of(shard(17)), 2);
        assert!(routes.learn(shard(17), 0, 3), "back again");
        assert_eq!(routes.database_of(shard(17)), 0);
        assert!(!routes.learn(shard(17), 3, 9), "there is no fourth");
    }

    #[test]
    fn shards_are_together_while_one_database_holds_them_all() {
        let routes = Routes::new(&ShardMap::by_range(2), 2);
        let both = [shard(1), shard(2)];
        assert_eq!(routes.together(&both), Some(0));
        routes.learn(shard(2), 1, 2);
        assert_eq!(routes.together(&both), None);
        routes.learn(shard(1), 1, 2);
        assert_eq!((routes.together(&both), routes.together(&[])), (Some(1), None));
    }
}

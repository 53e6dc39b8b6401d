//! Which database holds a shard.

use crate::value::Shard;

/// The databases by their place in `store.shards`, from 0.
pub(crate) struct ShardMap(Vec<usize>);

impl ShardMap {
    /// Neighbouring shards lie together, in as many equal parts as there are databases.
    pub(crate) fn by_range(databases: usize) -> Self {
        Self(Shard::all().map(|shard| usize::from(shard.index()) * databases / usize::from(Shard::COUNT)).collect())
    }

    pub(crate) fn database_of(&self, shard: Shard) -> usize {
        self.0[usize::from(shard.index())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_holds_its_part_of_the_shards_and_no_shard_is_left_out() {
        for databases in [1, 2, 3, 5, 64] {
            let map = ShardMap::by_range(databases);
            let held: Vec<usize> = Shard::all().map(|shard| map.database_of(shard)).collect();
            assert!(held.is_sorted(), "neighbours lie together");
            for database in 0..databases {
                let shards = held.iter().filter(|held| **held == database).count();
                assert!(shards.abs_diff(1024 / databases) <= 1, "{database} of {databases} holds {shards}");
            }
        }
    }
}

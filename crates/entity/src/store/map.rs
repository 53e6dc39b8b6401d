//! Which database holds a shard.

use std::fmt;

use super::place::{Place, State};
use crate::value::Shard;

/// The databases by their place in `store.shards`, from 0, and how often each shard has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShardMap {
    /// One more with each move; the same in every database.
    pub(super) version: i32,
    places: Vec<Place>,
}

impl ShardMap {
    /// The first version: neighbouring shards lie together, in as many equal parts as there are databases.
    pub(super) fn by_range(databases: usize) -> Self {
        let place = |shard: Shard| usize::from(shard.index()) * databases / usize::from(Shard::COUNT);
        Self { version: 1, places: Shard::all().map(|shard| Place::settled(place(shard), 1)).collect() }
    }

    /// As it was stored: a place for every shard, in their order; `None` when one is missing.
    pub(super) fn stored(version: i32, places: Vec<Place>) -> Option<Self> {
        (places.len() == usize::from(Shard::COUNT)).then_some(Self { version, places })
    }

    /// What databases, by their places in the list, say together: of a shard that was moved the newest is true. Else who
    /// disagrees, and about which shard.
    pub(super) fn merged(maps: &[(usize, &Self)]) -> Result<Self, (usize, Shard)> {
        // Of equals the first one's: the others are compared with it.
        let newest = |shard| maps.iter().rev().map(|(_, map)| map.place_of(shard)).max_by_key(|place| place.epoch);
        let places: Vec<Place> =
            Shard::all().filter_map(newest).map(|place| Place::settled(place.database, place.epoch)).collect();
        let merged = Self { version: version_of(&places), places };
        for (number, map) in maps {
            // Whoever moved a shard need not have known of a database that holds none.
            let is_idle = merged.holds_nothing(*number) && map.holds_nothing(*number);
            for (shard, place) in map.places() {
                let true_one = merged.place_of(shard);
                let agrees = (place.database, place.epoch) == (true_one.database, true_one.epoch);
                let is_behind =
                    place.epoch < true_one.epoch && (is_idle || is_told_later(maps, (*number, shard), &true_one));
                if !agrees && !is_behind {
                    return Err((*number, shard));
                }
            }
        }
        Ok(merged)
    }

    /// Whether the version is the one of these places.
    pub(super) fn is_counted_right(&self) -> bool {
        self.version == version_of(&self.places)
    }

    /// Whether no shard lies in the database.
    pub(super) fn holds_nothing(&self, database: usize) -> bool {
        self.places.iter().all(|place| place.database != database)
    }

    /// Whether a shard is being moved to or from the database that said this.
    pub(super) fn is_moving(&self) -> bool {
        self.places.iter().any(|place| place.state != State::Settled)
    }

    pub(super) fn place_of(&self, shard: Shard) -> Place {
        self.places[usize::from(shard.index())]
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (Shard, Place)> {
        Shard::all().zip(self.places.iter().copied())
    }

    /// The shards of a database, for people.
    pub(super) fn held_by(&self, database: usize) -> Held {
        Held(self.places().filter(|(_, place)| place.database == database).map(|(shard, _)| shard.index()).collect())
    }

    /// The last of the databases that hold a shard, from 0.
    pub(super) fn last_database(&self) -> usize {
        self.places.iter().map(|place| place.database).max().unwrap_or(0)
    }
}

/// One, and one more with each move.
fn version_of(places: &[Place]) -> i32 {
    1 + places.iter().map(|place| place.epoch - 1).sum::<i32>()
}

/// Whether the shard is being moved and the database was not told yet where it is: anybody but the new owner, and the new owner
/// if what it has is the copy that was meant.
fn is_told_later(maps: &[(usize, &ShardMap)], (number, shard): (usize, Shard), true_one: &Place) -> bool {
    let said = || maps.iter().map(|(_, map)| map.place_of(shard));
    let is_the_copy = |place: Place| {
        let giver = said().find(|giver| giver.epoch == true_one.epoch && giver.state == State::Left);
        place.state == State::Arriving && giver.is_some_and(|giver| giver.move_id == place.move_id)
    };
    let own = maps.iter().find(|(other, _)| *other == number).map(|(_, map)| map.place_of(shard));
    said().any(|place| place.state != State::Settled) && (number != true_one.database || own.is_some_and(is_the_copy))
}

/// Shards of a database, shown as ranges.
pub(super) struct Held(Vec<u16>);

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no shard");
        }
        f.write_str("shards ")?;
        let runs: Vec<&[u16]> = self.0.chunk_by(|a, b| a + 1 == *b).collect();
        for (place, run) in runs.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            match run {
                [one] => write!(f, "{separator}{one}")?,
                [first, .., last] => write!(f, "{separator}{first}…{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_holds_its_part_of_the_shards_and_no_shard_is_left_out() {
        for databases in [1, 2, 3, 5, 64] {
            let map = ShardMap::by_range(databases);
            let held: Vec<usize> = Shard::all().map(|shard| map.place_of(shard).database).collect();
            assert!(held.is_sorted(), "neighbours lie together");
            assert_eq!(map.last_database(), databases - 1);
            for database in 0..databases {
                let shards = held.iter().filter(|held| **held == database).count();
                assert!(shards.abs_diff(1024 / databases) <= 1, "{database} of {databases} holds {shards}");
            }
        }
    }

    #[test]
    fn what_a_database_holds_is_shown_as_ranges() {
        let mut map = ShardMap::by_range(3);
        assert_eq!(map.held_by(1).to_string(), "shards 342…682");
        assert_eq!(map.held_by(3).to_string(), "no shard");
        map.places[17].database = 2;
        assert_eq!(map.held_by(0).to_string(), "shards 0…16, 18…341");
        assert_eq!(map.held_by(2).to_string(), "shards 17, 683…1023");
    }
}

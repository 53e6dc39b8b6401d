//! What both sides of a window add up to, for every driver shard and hour: sides that add up to the same are the same.

use std::collections::{BTreeSet, HashMap};

use entity::{
    DriverRide, IndexRow, Ride,
    ride::RideRange,
    value::{DriverId, Id, Shard},
};

use super::window::Window;

/// What a bucket holds more on the log's side than on the index's.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// How many.
    count: i64,
    /// The sum of their hashes.
    hashes: u64,
    /// All that were added on either side.
    seen: u64,
}

/// The buckets of a window.
pub(super) struct Sums {
    window: Window,
    buckets: HashMap<u32, Bucket>,
}

/// Neighbouring hours with buckets that differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unequal {
    /// Rides of these hours.
    pub(super) range: RideRange,
    /// Of drivers in these shards.
    pub(super) shards: BTreeSet<Shard>,
}

impl Sums {
    pub(super) fn new(window: Window) -> Self {
        Self { window, buckets: HashMap::new() }
    }

    /// An acceptance by the log.
    pub(super) fn accepted(&mut self, ride_id: Id<Ride>, driver_id: &DriverId) {
        let (shard, hash) = DriverRide::shard_and_hash(driver_id, ride_id);
        let bucket = self.bucket(shard, ride_id);
        bucket.count += 1;
        bucket.hashes = bucket.hashes.wrapping_add(hash);
        bucket.seen += 1;
    }

    /// A row of the index.
    pub(super) fn indexed(&mut self, row: &IndexRow) {
        let (_, hash) = DriverRide::shard_and_hash(&row.driver_id, row.ride_id);
        // Where it lies, and not where it belongs: one that lies elsewhere is none of its driver's.
        let bucket = self.bucket(row.shard, row.ride_id);
        bucket.count -= 1;
        bucket.hashes = bucket.hashes.wrapping_sub(hash);
        bucket.seen += 1;
    }

    fn bucket(&mut self, shard: Shard, ride_id: Id<Ride>) -> &mut Bucket {
        let key = self.window.place(ride_id) << 10 | u32::from(shard.number().unsigned_abs());
        self.buckets.entry(key).or_default()
    }

    /// Where the sides differ: hours together while there are no more than `most` in their buckets.
    pub(super) fn unequal(self, most: u64) -> Vec<Unequal> {
        let window = self.window;
        let mut differ: Vec<(u32, u64)> = self
            .buckets
            .into_iter()
            .filter(|(_, b)| b.count != 0 || b.hashes != 0)
            .map(|(key, b)| (key, b.seen))
            .collect();
        differ.sort_unstable();
        let mut found: Vec<(u32, u32, u64, BTreeSet<Shard>)> = Vec::new();
        for (key, seen) in differ {
            let (place, shard) = (key >> 10, u16::try_from(key & 1023).ok().and_then(Shard::new));
            match found.last_mut() {
                Some((_, last, all, shards)) if *last == place || *all + seen <= most => {
                    *last = place;
                    *all += seen;
                    shards.extend(shard);
                }
                _ => found.push((place, place, seen, shard.into_iter().collect())),
            }
        }
        let unequal = |(first, last, _, shards)| Unequal { range: window.part(first, last), shards };
        found.into_iter().map(unequal).collect()
    }
}

//! The rides of a driver, through the driver index, each verified with its owner row.

use std::collections::HashMap;

use entity::{
    DriverRide, Ride, Shards, StoreError,
    value::{DriverId, Id},
};

/// A page of rides and where the next one starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Newest first.
    pub rides: Vec<Ride>,
    /// Ask for rides before this one; `None` at the end.
    pub next: Option<Id<Ride>>,
}

/// The use case.
#[derive(Clone)]
pub struct DriverHistory {
    /// Where rides and the index are kept.
    pub shards: Shards,
}

impl DriverHistory {
    /// A page of the rides that the driver accepted. An index row whose ride is not there is dropped.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn run(&self, driver_id: &DriverId, before: Option<Id<Ride>>, limit: u64) -> Result<Page, StoreError> {
        let index = self.shards.read(DriverRide::shard(driver_id));
        let mut ids = DriverRide::page(index, driver_id, before, limit + 1).await?;
        let more = ids.len() as u64 > limit;
        ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = ids.last().copied().filter(|_| more);
        let mut found: HashMap<_, _> =
            Ride::find_many(&self.shards, &ids).await?.into_iter().map(|ride| (ride.id, ride)).collect();
        Ok(Page { rides: ids.iter().filter_map(|id| found.remove(id)).collect(), next })
    }
}

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

/// How much of the index is read at once to fill a page that false rows have made short.
const MORE: u64 = 100;

/// The use case.
#[derive(Clone)]
pub struct DriverHistory {
    /// Where rides and the index are kept.
    pub shards: Shards,
}

impl DriverHistory {
    /// A page of the rides that the driver accepted. An index row without such an acceptance in the ride's log is passed over,
    /// and the page is filled up from behind it: only the last one is short.
    ///
    /// One question to the driver's database and one to each that holds rides of the page, all at once; the same again for each
    /// hundred false rows.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn run(&self, driver_id: &DriverId, before: Option<Id<Ride>>, limit: u64) -> Result<Page, StoreError> {
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut rides = Vec::new();
        // One more ride than the page has tells whether there is another page.
        let (mut before, mut ask) = (before, limit.saturating_add(1));
        loop {
            let index = self.shards.read(DriverRide::shard(driver_id));
            let ids = DriverRide::page(index, driver_id, before, ask).await?;
            let found = Ride::find_accepted(&self.shards, &ids, driver_id).await?;
            let mut found: HashMap<_, _> = found.into_iter().map(|ride| (ride.id, ride)).collect();
            rides.extend(ids.iter().filter_map(|id| found.remove(id)));
            if rides.len() > size || (ids.len() as u64) < ask {
                break;
            }
            (before, ask) = (ids.last().copied(), MORE);
        }
        let more = rides.len() > size;
        rides.truncate(size);
        let next = rides.last().map(|ride| ride.id).filter(|_| more);
        Ok(Page { rides, next })
    }
}

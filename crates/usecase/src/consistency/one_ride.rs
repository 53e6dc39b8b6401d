//! Is the index right about one ride?

use std::collections::BTreeMap;

use entity::{DriverRide, IndexRow, Ride, RideStatus, Shards, StoreError, value::Id};

use super::{
    Evidence, State,
    evidence::{add_held, held, mismatches, settle},
};

/// Index rows that are looked at, at most: a ride has one for each driver who ever took it.
const MOST_ROWS: u64 = 1000;

/// The use case.
#[derive(Clone)]
pub struct CheckRide {
    /// Where rides and the index are kept.
    pub shards: Shards,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RideFindings {
    /// The worst there is; in doubt at least when the log cannot be read as a whole.
    pub state: State,
    /// Where the ride stands; `None` when index rows name a ride that does not exist.
    pub status: Option<RideStatus>,
    /// Every driver that the log or the index names.
    pub evidence: Vec<Evidence>,
}

impl RideFindings {
    /// The rows that do not agree.
    #[must_use]
    pub fn mismatches(&self) -> Vec<IndexRow> {
        mismatches(&self.evidence)
    }
}

impl CheckRide {
    /// Compares the ride's log with every index row that names the ride; `None` when neither ride nor row exists.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: then nothing can be said.
    pub async fn run(&self, ride_id: Id<Ride>) -> Result<Option<RideFindings>, StoreError> {
        let held = held(&self.shards).await?;
        let log = Ride::acceptances(&self.shards, &[ride_id]).await?;
        let rows = DriverRide::of_ride(&self.shards, ride_id, MOST_ROWS).await?;
        let ride = Ride::find(self.shards.read(ride_id.shard()), ride_id).await?;
        if ride.is_none() && rows.is_empty() {
            return Ok(None);
        }
        let mut pairs: BTreeMap<IndexRow, Evidence> = BTreeMap::new();
        for acceptance in log.found {
            let row = IndexRow::of(acceptance.driver_id.clone(), ride_id);
            pairs.insert(row.clone(), Evidence::at_a_glance(row, false, Some(acceptance)));
        }
        for row in rows {
            let found = pairs.entry(row.clone()).or_insert_with(|| Evidence::at_a_glance(row, true, None));
            found.is_indexed = true;
        }
        let mut evidence = settle(&self.shards, pairs.into_values().collect()).await?;
        add_held(&mut evidence, held.into_iter().filter(|attempt| attempt.ride_id == ride_id));
        let least = if log.unreadable.is_empty() { State::Consistent } else { State::InDoubt };
        let (state, status) = (State::worst(&evidence).max(least), ride.map(|ride| ride.status));
        Ok(Some(RideFindings { state, status, evidence }))
    }
}

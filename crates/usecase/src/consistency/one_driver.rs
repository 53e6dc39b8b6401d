//! Is the index right about one driver?

use std::collections::BTreeSet;

use entity::{
    DriverRide, IndexRow, Ride, Shards, StoreError,
    value::{DriverId, Id},
};

use super::{
    Evidence, State,
    evidence::{add_held, held, mismatches, settle},
};

/// The use case.
#[derive(Clone)]
pub struct CheckDriver {
    /// Where rides and the index are kept.
    pub shards: Shards,
}

/// What was found on one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverFindings {
    /// The worst there is on this page.
    pub state: State,
    /// A ride each, newest first.
    pub evidence: Vec<Evidence>,
    /// Ask for rides before this one; `None` at the end.
    pub next: Option<Id<Ride>>,
}

impl DriverFindings {
    /// The rows that do not agree.
    #[must_use]
    pub fn mismatches(&self) -> Vec<IndexRow> {
        mismatches(&self.evidence)
    }
}

impl CheckDriver {
    /// Compares the driver's index rows with the logs of all rides, wherever they lie: a page, newest first, before
    /// `before`. Rows of the driver in a shard that is not the driver's are found with their ride, or by a scan.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails: then nothing can be said.
    pub async fn run(
        &self,
        driver_id: &DriverId,
        before: Option<Id<Ride>>,
        limit: u64,
    ) -> Result<DriverFindings, StoreError> {
        let held = held(&self.shards).await?;
        let by_log = Ride::accepted_by(&self.shards, driver_id, before, limit + 1).await?;
        let index = self.shards.read(DriverRide::shard(driver_id));
        let indexed: BTreeSet<_> = DriverRide::page(index, driver_id, before, limit + 1).await?.into_iter().collect();
        let all: BTreeSet<_> = by_log.into_iter().chain(indexed.iter().copied()).collect();
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let page: Vec<Id<Ride>> = all.iter().rev().take(most).copied().collect();
        let next = page.last().copied().filter(|_| all.len() > most);
        let log = Ride::acceptances(&self.shards, &page).await?;
        let glance = |ride_id: &Id<Ride>| {
            let row = IndexRow::of(driver_id.clone(), *ride_id);
            Evidence::at_a_glance(row, indexed.contains(ride_id), log.last(driver_id, *ride_id).cloned())
        };
        let mut evidence = settle(&self.shards, page.iter().map(glance).collect()).await?;
        if before.is_none() {
            add_held(&mut evidence, held.into_iter().filter(|attempt| attempt.driver_id == *driver_id));
        }
        Ok(DriverFindings { state: State::worst(&evidence), evidence, next })
    }
}

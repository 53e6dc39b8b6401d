//! The two sides that a scan compares.

use entity::{
    DriverRide, IndexRow, Ride, Shards, StoreError,
    ride::{Pair, RideRange},
    value::Shard,
};

/// What one side says of a ride and a driver: their pair in the log, or their row in the index.
pub(super) trait Listed: Clone + Send + Sync {
    /// All of several shards, in no order; `None` when there are more than `limit`.
    fn among(
        shards: &Shards,
        among: &[Shard],
        range: RideRange,
        limit: u64,
    ) -> impl Future<Output = Result<Option<Vec<Self>>, StoreError>> + Send;

    /// A page of one shard, in order, after the last of the page before.
    fn page(
        shards: &Shards,
        shard: Shard,
        range: RideRange,
        after: Option<&Self>,
        limit: u64,
    ) -> impl Future<Output = Result<Vec<Self>, StoreError>> + Send;
}

impl Listed for Pair {
    async fn among(
        shards: &Shards,
        among: &[Shard],
        range: RideRange,
        limit: u64,
    ) -> Result<Option<Vec<Self>>, StoreError> {
        Ride::accepted_among(shards, among, range, limit).await
    }

    async fn page(
        shards: &Shards,
        shard: Shard,
        range: RideRange,
        after: Option<&Self>,
        limit: u64,
    ) -> Result<Vec<Self>, StoreError> {
        Ride::accepted_in(shards.read(shard), shard, range, after, limit).await
    }
}

impl Listed for IndexRow {
    async fn among(
        shards: &Shards,
        among: &[Shard],
        range: RideRange,
        limit: u64,
    ) -> Result<Option<Vec<Self>>, StoreError> {
        DriverRide::rows_among(shards, among, range, limit).await
    }

    async fn page(
        shards: &Shards,
        shard: Shard,
        range: RideRange,
        after: Option<&Self>,
        limit: u64,
    ) -> Result<Vec<Self>, StoreError> {
        DriverRide::rows_in(shards.read(shard), shard, range, after, limit).await
    }
}

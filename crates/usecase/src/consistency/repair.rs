//! Makes the index say what the logs say. The log is the truth and stays as it is.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use entity::{DriverRide, IndexRow, Ride, Shards, StoreError, Tx};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Evidence, State};

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repaired {
    /// It is right, or will be, or nobody can tell: nothing was done.
    Nothing,
    /// The missing row was written.
    Written,
    /// The row without an acceptance was removed.
    Removed,
    /// The row has no acceptance, but its ride is under way in another database and may be accepted at any moment: ask
    /// again when it is over.
    Later,
}

impl Repaired {
    /// Whether it changes the index.
    #[must_use]
    pub fn changes(self) -> bool {
        matches!(self, Self::Written | Self::Removed)
    }

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Written => "written",
            Self::Removed => "removed",
            Self::Later => "later",
        }
    }
}

/// A row that did not agree, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedRow {
    /// What was found.
    pub evidence: Evidence,
    /// What was done about it.
    pub repaired: Repaired,
}

impl RepairedRow {
    /// Whether it agrees now, or will by itself.
    #[must_use]
    pub fn is_settled(&self, dry_run: bool) -> bool {
        match self.repaired {
            Repaired::Written | Repaired::Removed => !dry_run,
            Repaired::Later => false,
            Repaired::Nothing => self.evidence.state() <= State::InFlight,
        }
    }
}

/// The use case. Clones share their rate and what they count.
#[derive(Clone)]
pub struct Repair {
    shards: Shards,
    rate: Arc<DefaultDirectRateLimiter>,
    done: Arc<Done>,
}

#[derive(Default)]
struct Done {
    written: AtomicU64,
    removed: AtomicU64,
}

impl Repair {
    /// Puts at most so many rows right a second.
    #[must_use]
    pub fn new(shards: Shards, a_second: NonZeroU32) -> Self {
        let rate = Arc::new(RateLimiter::direct(Quota::per_second(a_second)));
        Self { shards, rate, done: Arc::default() }
    }

    /// Rows that were written and removed since the process began.
    #[must_use]
    pub fn done(&self) -> (u64, u64) {
        (self.done.written.load(Ordering::Relaxed), self.done.removed.load(Ordering::Relaxed))
    }

    /// Looks once more at each of these rows and puts right what does not agree, in turn; repeated, it finds nothing to do. A
    /// dry run says what would be done.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails; rows before the failure were put right.
    pub async fn run(&self, rows: &[IndexRow], dry_run: bool) -> Result<Vec<RepairedRow>, StoreError> {
        let mut repaired = Vec::new();
        for evidence in Evidence::look(&self.shards, rows).await? {
            self.rate.until_ready().await;
            repaired.push(self.put_right(evidence, dry_run).await?);
        }
        Ok(repaired)
    }

    async fn put_right(&self, evidence: Evidence, dry_run: bool) -> Result<RepairedRow, StoreError> {
        let repaired = match evidence.state() {
            State::Consistent | State::InFlight | State::InDoubt => Repaired::Nothing,
            State::MissingIndex => self.write(&evidence.row, dry_run).await?,
            State::StaleIndex => self.remove(&evidence.row, dry_run).await?,
        };
        let counter = match repaired {
            Repaired::Written => Some(&self.done.written),
            Repaired::Removed => Some(&self.done.removed),
            Repaired::Nothing | Repaired::Later => None,
        };
        if let Some(counter) = counter.filter(|_| !dry_run) {
            counter.fetch_add(1, Ordering::Relaxed);
            let IndexRow { driver_id, ride_id, shard } = &evidence.row;
            let (state, shard) = (evidence.state().name(), shard.number());
            tracing::warn!(%driver_id, %ride_id, shard, state, repaired = repaired.name(), "the driver index was repaired");
        }
        Ok(RepairedRow { evidence, repaired })
    }

    /// Logs only grow: the acceptance that was seen stays, so the row may be written whatever happens meanwhile.
    async fn write(&self, row: &IndexRow, dry_run: bool) -> Result<Repaired, StoreError> {
        if !dry_run {
            let missing = row.clone();
            let record = self.shards.write::<_, StoreError, _>(row.shard, move |tx| {
                let IndexRow { driver_id, ride_id, .. } = missing.clone();
                Box::pin(async move { DriverRide::record(tx, &driver_id, ride_id).await })
            });
            record.await?;
        }
        Ok(Repaired::Written)
    }

    /// An acceptance that is committed while its row is removed would lose it. So the row goes once the ride is over, when
    /// its log can have no further acceptance; or, in the ride's own database, while nobody else can change the ride. Where
    /// no reader looks for it, it may go at any time.
    async fn remove(&self, row: &IndexRow, dry_run: bool) -> Result<Repaired, StoreError> {
        let is_near = self.shards.same_database(row.shard, row.ride_id.shard());
        if !row.is_misplaced() && !is_near {
            let ride = Ride::find(self.shards.read(row.ride_id.shard()), row.ride_id).await?;
            if ride.is_some_and(|ride| !ride.status.is_terminal()) {
                return Ok(Repaired::Later);
            }
            // It may have been accepted and come to its end since its log was read.
            let now = Evidence::look(&self.shards, std::slice::from_ref(row)).await?;
            if now.iter().any(|now| now.state() != State::StaleIndex) {
                return Ok(Repaired::Nothing);
            }
        }
        if dry_run {
            return Ok(Repaired::Removed);
        }
        let (stale, must_ask) = (row.clone(), is_near && !row.is_misplaced());
        let mut shards = vec![row.shard];
        if must_ask {
            shards.push(row.ride_id.shard());
        }
        let removed = self.shards.write_together::<_, StoreError, _>(shards, move |tx| {
            let stale = stale.clone();
            Box::pin(async move { remove(tx, &stale, must_ask).await })
        });
        Ok(if removed.await? { Repaired::Removed } else { Repaired::Nothing })
    }
}

async fn remove(tx: &Tx, stale: &IndexRow, must_ask: bool) -> Result<bool, StoreError> {
    if must_ask
        // In a transaction: nobody else changes the ride until its end.
        && Ride::find(tx, stale.ride_id).await?.is_some()
        && Ride::has_acceptance(tx, stale.ride_id, &stale.driver_id).await?
    {
        return Ok(false);
    }
    DriverRide::forget(tx, stale).await
}

//! What the driver's side does in an attempt, and how it holds its row ready meanwhile.

use entity::{Attempt, Barrier, Confirmed, DriverRide, Prepared, StoreError, store::Engine, value::Millis};
use runtime::failpoint;

use super::{DriverIndex, failpoints};

/// How the driver's side holds a row ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// As a reservation, a row of `barriers`.
    Reserved,
    /// As a transaction that the server keeps prepared.
    Prepared,
}

impl DriverIndex {
    /// Holds the row ready. With an error it is open whether it is held.
    pub(super) async fn hold(&self, held: Held, attempt: &Attempt, now: Millis) -> Result<(), StoreError> {
        let lease_ms = self.lease_ms;
        let holding = self.at_driver(attempt, move |tx, attempt| {
            Box::pin(async move {
                let is_held = match held {
                    Held::Reserved => Barrier::reserve(tx, &attempt, now, lease_ms).await?,
                    Held::Prepared => Prepared::prepare(tx, &attempt).await.map(|()| true)?,
                };
                failpoint::reach(failpoints::ATTEMPT_HOLDING);
                Ok(is_held)
            })
        });
        if holding.await? { Ok(()) } else { Err(StoreError::Conflict) }
    }

    /// Makes it the row. `held` is how it is held, if that is known.
    pub(super) async fn confirm(&self, held: Option<Held>, attempt: &Attempt) -> Result<(), StoreError> {
        let may_be_prepared = held != Some(Held::Reserved)
            && self.shards.read(DriverRide::shard(&attempt.driver_id)).engine() == Engine::Postgres;
        if may_be_prepared && Prepared::commit(&self.shards, attempt).await? {
            return Ok(());
        }
        let confirming = self.at_driver(attempt, |tx, attempt| {
            Box::pin(async move {
                let confirmed = Barrier::confirm(tx, &attempt).await?;
                failpoint::reach(failpoints::ATTEMPT_CONFIRMING);
                Ok(confirmed)
            })
        });
        if confirming.await? == Confirmed::Cancelled {
            let (ride_id, driver_id) = (attempt.ride_id, &attempt.driver_id);
            tracing::error!(%ride_id, %driver_id, "an acceptance that was decided had been cancelled: its row was written");
        }
        Ok(())
    }

    /// Frees what is known to have been held; nothing when somebody else was faster.
    pub(super) async fn free(&self, held: Held, attempt: &Attempt) -> Result<(), StoreError> {
        match held {
            Held::Reserved => {
                self.at_driver(attempt, |tx, attempt| Box::pin(async move { Barrier::free(tx, &attempt).await })).await
            }
            Held::Prepared => Prepared::roll_back(&self.shards, attempt).await,
        }
        .map(drop)
    }

    /// Frees what may be held, or may be held yet. A preparation that comes later still has no decision, and is rolled back
    /// by a sweep.
    pub(super) async fn cancel(&self, held: Held, attempt: &Attempt, now: Millis) -> Result<(), StoreError> {
        match held {
            Held::Reserved => {
                let cancel = self.at_driver(attempt, move |tx, attempt| {
                    Box::pin(async move { Barrier::cancel(tx, &attempt, now).await })
                });
                cancel.await
            }
            Held::Prepared => Prepared::roll_back(&self.shards, attempt).await.map(drop),
        }
    }
}

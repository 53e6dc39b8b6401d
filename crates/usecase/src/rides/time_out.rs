//! The system moves on rides whose status has lasted too long. The deadlines are in the database: any node may run
//! this, and a restart forgets none.

use std::sync::Arc;

use entity::{
    Actor, Change, Ride, RideStatus, Shards, StoreError,
    ride::states::timeout_of,
    value::{Id, Millis},
};

use super::{ChangeError, Config, commit};

/// How many rides one run looks at.
const BATCH: u64 = 200;

/// The use case.
#[derive(Clone)]
pub struct TimeOutRides {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Where rides are kept.
    pub shards: Shards,
}

impl TimeOutRides {
    /// For the first run, and for one that finds the clock behind the run before it: statuses that seem to begin in the
    /// future time out in the time they have, and not when that future comes. The rides stay as they are.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn after_step_back(&self, now: Millis) -> Result<(), StoreError> {
        let timeouts = self.config.timeouts();
        let brought = self
            .shards
            .write_everywhere::<_, StoreError, _>(move |tx| {
                Box::pin(async move { Ride::bring_deadlines_back(tx, &timeouts, now).await })
            })
            .await?;
        let brought: u64 = brought.into_iter().sum();
        if brought > 0 {
            tracing::warn!(rides = brought, "the clock was set back: rides get the time of their status again");
        }
        Ok(())
    }

    /// For a run that finds the clock further ahead of the run before it than time has passed: when that puts right what
    /// was set back before, nobody's status is over early. Rides that merely slept with their machine are not touched.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn after_step_forward(&self, now: Millis) -> Result<(), StoreError> {
        let timeouts = self.config.timeouts();
        let put_right = self
            .shards
            .write_everywhere::<_, StoreError, _>(move |tx| {
                Box::pin(async move { Ride::put_deadlines_right(tx, &timeouts, now).await })
            })
            .await?;
        let put_right: u64 = put_right.into_iter().sum();
        if put_right > 0 {
            tracing::warn!(rides = put_right, "the clock was put right: rides get the whole time of their status");
        }
        Ok(())
    }

    /// Moves rides that timed out by `now`, a batch at most, and says whether another batch may be waiting. A ride
    /// that cannot be moved is logged and does not keep the others waiting.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be asked.
    pub async fn run(&self, now: Millis) -> Result<bool, StoreError> {
        let late = Ride::list_timed_out(&self.shards, now, BATCH).await?;
        let mut failed = false;
        for ride_id in &late {
            match self.move_on(*ride_id, now).await {
                Ok(Some(ride)) => tracing::info!(%ride_id, status = ride.status.name(), "ride timed out"),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%ride_id, %error, "a ride could not be timed out");
                    failed = true;
                }
            }
        }
        // One that failed would come first again at once: the next sweep tries it.
        Ok(!failed && late.len() as u64 == BATCH)
    }

    async fn move_on(&self, ride_id: Id<Ride>, now: Millis) -> Result<Option<Ride>, ChangeError> {
        let timeouts = self.config.timeouts();
        let move_on = self.shards.write(ride_id.shard(), move |tx| {
            Box::pin(async move {
                // It may have moved since it was listed. The deadline is the stored one: a setting that was changed
                // speaks of the statuses that rides reach from then on.
                let Some(ride) = Ride::find_timed_out(tx, ride_id, now).await? else { return Ok(None) };
                let Some(change) = timeout_of(ride.status).and_then(|to| change_to(to, ride.status)) else {
                    return Ok(None);
                };
                commit(tx, &ride, &change, &timeouts, now).await.map(Some)
            })
        });
        move_on.await
    }
}

/// The change that a time-out makes.
fn change_to(to: RideStatus, from: RideStatus) -> Option<Change> {
    match to {
        RideStatus::Expired => Some(Change::Expired),
        RideStatus::Requested => Some(Change::Released { by: Actor::System }),
        RideStatus::Cancelled => {
            let reason = if from == RideStatus::Arrived { "no-show" } else { "timed-out" };
            Some(Change::Cancelled { by: Actor::System, reason: reason.to_owned(), fee: 0 })
        }
        RideStatus::Accepted | RideStatus::Arrived | RideStatus::InProgress | RideStatus::Completed => None,
    }
}

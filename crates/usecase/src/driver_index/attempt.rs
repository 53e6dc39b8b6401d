//! Two databases, one outcome: the driver's side holds the row ready, the ride's transaction decides, and then the driver's
//! side does what was decided. So work both strategies that hold something; `held` knows what.

use entity::{Attempt, Decision, Ride, StoreError, Transaction, value::Millis};
use runtime::failpoint;

use super::{DriverIndex, Held, Taken, Way, failpoints};

impl DriverIndex {
    /// Runs `take` between the two halves. What is left undone when this node dies, any node finishes
    /// ([`DriverIndex::finish`]).
    pub(super) async fn attempt<R, F>(
        &self,
        held: Held,
        attempt: &Attempt,
        now: Millis,
        take: impl FnOnce(Way) -> F,
    ) -> Result<Result<Ride, R>, StoreError>
    where
        F: Future<Output = Result<Result<Taken, R>, StoreError>>,
    {
        failpoint::reach(failpoints::ATTEMPT_BEGUN);
        if let Err(error) = self.hold(held, attempt, now).await {
            failpoint::reach(failpoints::ATTEMPT_FAILED);
            // Its commit may have come through all the same, or come yet.
            told(attempt, self.cancel(held, attempt, now).await);
            failpoint::reach(failpoints::ATTEMPT_CANCELLED);
            return Err(error);
        }
        failpoint::reach(failpoints::ATTEMPT_HELD);
        let taken = take(Way::Decision { attempt: attempt.clone(), lease_ms: self.lease_ms }).await;
        let finished = if matches!(taken, Ok(Ok(Taken::Made(_)))) {
            failpoint::reach(failpoints::ACCEPT_COMMITTED);
            self.confirm(Some(held), attempt).await.map(|()| self.forget_later(attempt))
        } else if taken.is_ok() {
            // Rolled back, or nothing to accept: nothing was decided, and this attempt is not made again.
            failpoint::reach(failpoints::ATTEMPT_REFUSED);
            let freed = self.free(held, attempt).await;
            failpoint::reach(failpoints::ATTEMPT_FREED);
            freed
        } else {
            // Perhaps it was committed, perhaps not.
            self.settle(held, attempt, now).await
        };
        // The ride's side is decided, so this does not change the answer.
        told(attempt, finished);
        Ok(taken?.map(Taken::into_ride))
    }

    /// Finds out what was decided, deciding against it if nobody has, and does it. The row is known to have been held.
    pub(super) async fn settle(&self, held: Held, attempt: &Attempt, now: Millis) -> Result<(), StoreError> {
        let lease_ms = self.lease_ms;
        let decided = self.at_ride(attempt, move |tx, attempt| {
            Box::pin(async move { Transaction::decide(tx, &attempt, Decision::Abort, now, lease_ms).await })
        });
        match decided.await? {
            Decision::Commit => self.carry_out(Some(held), attempt).await,
            Decision::Abort => {
                failpoint::reach(failpoints::ATTEMPT_ABORTED);
                self.free(held, attempt).await?;
                failpoint::reach(failpoints::ATTEMPT_UNDONE);
                Ok(())
            }
        }
    }

    /// Makes what was decided the row and forgets the decision; a repeat changes nothing. `held` is how the row is held, if
    /// that is known.
    pub(super) async fn carry_out(&self, held: Option<Held>, attempt: &Attempt) -> Result<(), StoreError> {
        self.confirm(held, attempt).await?;
        self.forget(attempt).await
    }

    /// Forgets a decision that has been carried out, in a task of its own: the driver does not wait for it.
    fn forget_later(&self, attempt: &Attempt) {
        let (index, attempt) = (self.clone(), attempt.clone());
        drop(self.supervisor.run("acceptance-end", async move { told(&attempt, index.forget(&attempt).await) }));
    }

    async fn forget(&self, attempt: &Attempt) -> Result<(), StoreError> {
        failpoint::reach(failpoints::ATTEMPT_CARRIED_OUT);
        self.at_ride(attempt, |tx, attempt| Box::pin(async move { Transaction::forget(tx, &attempt).await })).await?;
        failpoint::reach(failpoints::ATTEMPT_FORGOTTEN);
        Ok(())
    }
}

fn told(attempt: &Attempt, outcome: Result<(), StoreError>) {
    if let Err(error) = outcome {
        let (ride_id, driver_id) = (attempt.ride_id, &attempt.driver_id);
        tracing::warn!(%ride_id, %driver_id, %error, "the driver index could not be finished now: a sweep does it");
    }
}

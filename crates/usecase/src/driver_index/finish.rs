//! Finishes acceptances whose node died, or could not reach a database. Any number of nodes may run it: each row is taken by
//! compare-and-set, and doing a thing twice changes nothing.

use std::time::Duration;

use entity::{Attempt, Barrier, Prepared, StoreError, Transaction, Unfinished, value::Millis};
use futures_util::{StreamExt, future::try_join3, stream};

use super::{DriverIndex, Held};
use crate::port::PARTNER_TIMEOUT;

/// How many rows of each kind one run looks at, in each database.
const BATCH: u64 = 200;

/// How many are finished at the same time: one whose database does not answer holds up few others.
const AT_ONCE: usize = 16;

/// How long one may take. Longer than a partner: it may have two databases to wait for.
const PATIENCE: Duration = PARTNER_TIMEOUT.saturating_mul(2);

/// Something about each kind of what an acceptance may leave between two databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Each<T> {
    /// About decisions to commit that nobody has reported as carried out.
    pub decisions: T,
    /// About reservations at the driver's side.
    pub reservations: T,
    /// About prepared transactions at the driver's side.
    pub prepared: T,
}

impl<T> Each<T> {
    /// Each with its name, as metrics have it.
    pub fn by_name(self) -> [(&'static str, T); 3] {
        [("decision", self.decisions), ("reservation", self.reservations), ("prepared", self.prepared)]
    }
}

/// What somebody left.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Decision,
    Reservation,
    Prepared,
}

enum Left {
    Decision(Transaction),
    Reservation(Barrier),
    /// Nobody leases one: its name decides, and ending it twice harms nobody.
    Prepared(Attempt),
}

impl DriverIndex {
    /// Takes up everything whose lease has run out; how much was finished. What cannot be finished now comes again when
    /// this node's own lease has run out.
    ///
    /// # Errors
    /// [`StoreError`] when no database can be searched.
    pub async fn finish(&self, now: Millis) -> Result<Each<u64>, StoreError> {
        if self.shards.count() == 1 {
            return Ok(Each::default());
        }
        // All at once: a database that does not answer is waited for once.
        let (decided, reserved, prepared) = try_join3(
            Transaction::list_due(&self.shards, now, self.lease_ms, BATCH),
            Barrier::list_due(&self.shards, now, self.lease_ms, BATCH),
            Prepared::list_left(&self.shards, self.lease_ms),
        )
        .await?;
        let left = decided.into_iter().map(Left::Decision);
        let left = left.chain(reserved.into_iter().map(Left::Reservation));
        let left = left.chain(prepared.into_iter().map(Left::Prepared));
        let finished = stream::iter(left).map(|left| self.finish_one(left, now)).buffer_unordered(AT_ONCE);
        let count = |mut all: Each<u64>, done| async move {
            match done {
                Some(Kind::Decision) => all.decisions += 1,
                Some(Kind::Reservation) => all.reservations += 1,
                Some(Kind::Prepared) => all.prepared += 1,
                None => {}
            }
            all
        };
        Ok(finished.fold(Each::default(), count).await)
    }

    /// What is older than its lease and not finished, in the databases that answer.
    ///
    /// # Errors
    /// [`StoreError`] when none answers.
    pub async fn unfinished(&self, now: Millis) -> Result<Each<Unfinished>, StoreError> {
        if self.shards.count() == 1 {
            return Ok(Each::default());
        }
        let (decisions, reservations, prepared) = try_join3(
            Transaction::unfinished(&self.shards, now, self.lease_ms),
            Barrier::unfinished(&self.shards, now, self.lease_ms),
            Prepared::unfinished(&self.shards, self.lease_ms),
        )
        .await?;
        Ok(Each { decisions, reservations, prepared })
    }

    /// What it was, if it was finished by this call.
    async fn finish_one(&self, left: Left, now: Millis) -> Option<Kind> {
        let (kind, attempt) = match &left {
            Left::Decision(transaction) => (Kind::Decision, transaction.attempt.clone()),
            Left::Reservation(barrier) => (Kind::Reservation, barrier.attempt.clone()),
            Left::Prepared(attempt) => (Kind::Prepared, attempt.clone()),
        };
        let Attempt { ride_id, driver_id, .. } = attempt;
        // Only the waiting ends: transactions go on in their own tasks.
        let outcome = match tokio::time::timeout(PATIENCE, self.take_up(left, now)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Busy(format!("slower than {} s", PATIENCE.as_secs()))),
        };
        match outcome {
            Ok(true) => {
                tracing::info!(%ride_id, %driver_id, ?kind, "finished what a node had left of an acceptance");
                return Some(kind);
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%ride_id, %driver_id, %error, "an acceptance could not be finished yet"),
        }
        None
    }

    /// `false` when somebody else was faster.
    async fn take_up(&self, left: Left, now: Millis) -> Result<bool, StoreError> {
        let lease_ms = self.lease_ms;
        match left {
            Left::Prepared(attempt) => self.settle(Held::Prepared, &attempt, now).await?,
            Left::Decision(transaction) => {
                let attempt = transaction.attempt.clone();
                let claimed = self.at_ride(&attempt, move |tx, _| {
                    let transaction = transaction.clone();
                    Box::pin(async move { transaction.claim(tx, now, lease_ms).await })
                });
                if !claimed.await? {
                    return Ok(false);
                }
                self.carry_out(None, &attempt).await?;
            }
            Left::Reservation(barrier) => {
                let attempt = barrier.attempt.clone();
                let claimed = self.at_driver(&attempt, move |tx, _| {
                    let barrier = barrier.clone();
                    Box::pin(async move { barrier.claim(tx, now, lease_ms).await })
                });
                if !claimed.await? {
                    return Ok(false);
                }
                self.settle(Held::Reserved, &attempt, now).await?;
            }
        }
        Ok(true)
    }
}

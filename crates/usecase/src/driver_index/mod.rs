//! The driver index is written when a driver accepts a ride. It lies in the driver's shard and the ride in its
//! passenger's: in one database one transaction writes both, between two a strategy does.
//!
//! The rule of all: a row (driver, ride) is there exactly if the ride's log has an acceptance by that driver.

mod attempt;
pub mod failpoints;
mod finish;
mod held;
mod outbox;

use entity::{
    Attempt, Decision, DriverRide, Message, OutboxEntry, Ride, Shards, StoreError, Transaction, Tx,
    value::{DriverId, Id, Millis},
};
pub use finish::Each;
use futures_util::future::BoxFuture;
use held::Held;
pub(crate) use outbox::write_row;
use runtime::{Entropy, Invalid, failpoint, task::Supervisor, within};
use serde::{Deserialize, Serialize};

/// The `[driver_index]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How the row is written when driver and ride lie in different databases.
    pub strategy: Strategy,
    /// How long a node has an acceptance to itself, milliseconds. Later any node finishes it: for or against it, as its node
    /// has decided, and against it when that has not.
    pub lease_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { strategy: Strategy::default(), lease_ms: 6_000 }
    }
}

/// How one step is taken in two databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Strategy {
    /// The ride's transaction leaves a message, which is applied at once and retried for ever: the index may lag.
    #[default]
    Outbox,
    /// The row is a prepared transaction of the driver's database, PostgreSQL, until the ride's side is committed.
    TwoPhase,
    /// Try, confirm, cancel: the row is reserved first, and accepting needs both databases.
    Tcc,
}

impl Strategy {
    /// All that there are, by name.
    const ALL: [(&'static str, Self); 3] =
        [("outbox", Self::Outbox), ("two_phase", Self::TwoPhase), ("tcc", Self::Tcc)];
}

/// A name that no strategy has. By hand: a mistake must be told with what is allowed.
impl TryFrom<String> for Strategy {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, strategy)| *strategy).ok_or_else(|| {
            let allowed = Self::ALL.map(|(name, _)| format!("\"{name}\"")).join(", ");
            format!("there is no strategy \"{name}\", allowed is {allowed}")
        })
    }
}

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("lease_ms", self.lease_ms, 100..=600_000, "")
    }

    /// The index on these databases.
    #[must_use]
    pub fn build(self, deps: Deps) -> DriverIndex {
        let Deps { shards, supervisor, entropy } = deps;
        DriverIndex { strategy: self.strategy, lease_ms: self.lease_ms.into(), shards, supervisor, entropy }
    }
}

/// What [`Config::build`] needs.
pub struct Deps {
    /// Where rides and index are kept.
    pub shards: Shards,
    /// Runs acceptances between two databases to their end.
    pub supervisor: Supervisor,
    /// Draws the numbers of attempts.
    pub entropy: Entropy,
}

/// Writes the index. Cheap to clone.
#[derive(Clone)]
pub struct DriverIndex {
    strategy: Strategy,
    lease_ms: i64,
    shards: Shards,
    supervisor: Supervisor,
    entropy: Entropy,
}

/// What the ride's transaction has to leave for the index when it makes the acceptance.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// The row itself: the index lies in the same database.
    Row,
    /// A message that tells the relay to write the row.
    Message,
    /// The decision that what the other database holds ready becomes the row.
    Decision {
        /// Of which attempt.
        attempt: Attempt,
        /// How long this node has it to itself.
        lease_ms: i64,
    },
}

/// What the ride's transaction did.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It made the next version.
    Made(Ride),
    /// Nothing: the ride was there already.
    Kept(Ride),
}

impl Taken {
    /// The ride as it is now.
    pub(crate) fn into_ride(self) -> Ride {
        match self {
            Self::Made(ride) | Self::Kept(ride) => ride,
        }
    }
}

impl DriverIndex {
    /// Asks the databases whether they can do what the strategy needs.
    ///
    /// # Errors
    /// [`StoreError::Open`] when one cannot; [`StoreError`] when one fails.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.strategy != Strategy::TwoPhase || self.shards.count() == 1 {
            return Ok(());
        }
        match self.shards.cannot_prepare().await? {
            None => Ok(()),
            Some(why) => Err(StoreError::Open(format!("driver_index.strategy = \"two_phase\" cannot be: {why}"))),
        }
    }

    /// Runs `take`, the transaction in which the driver accepts the ride, with what has to be done around it. `R` is
    /// why it leaves the ride as it is. It is run a second time when the index turns out to be in another database by now.
    ///
    /// # Errors
    /// [`StoreError`] when a database fails. Whether the ride was accepted is then open: a repeat tells.
    pub(crate) async fn accept<R, F>(
        &self,
        ride_id: Id<Ride>,
        driver_id: &DriverId,
        now: Millis,
        take: impl Fn(Way) -> F + Send + Sync + 'static,
    ) -> Result<Result<Ride, R>, StoreError>
    where
        R: Send + 'static,
        F: Future<Output = Result<Result<Taken, R>, StoreError>> + Send + 'static,
    {
        if self.shards.same_database(ride_id.shard(), DriverRide::shard(driver_id)) {
            match take(Way::Row).await {
                // One of the two has just moved.
                Err(StoreError::Apart) => {}
                taken => return Ok(taken?.map(Taken::into_ride)),
            }
        }
        let held = match self.strategy {
            Strategy::Outbox => {
                let taken = take(Way::Message).await?;
                if matches!(taken, Ok(Taken::Made(_))) {
                    failpoint::reach(failpoints::ACCEPT_COMMITTED);
                }
                return Ok(taken.map(Taken::into_ride));
            }
            Strategy::TwoPhase => Held::Prepared,
            Strategy::Tcc => Held::Reserved,
        };
        let (index, attempt) = (self.clone(), self.draw(ride_id, driver_id));
        // In a task of its own: a caller who goes away must not leave it between the two sides.
        let run = self.supervisor.run("acceptance", async move { index.attempt(held, &attempt, now, take).await });
        run.await?
    }

    fn draw(&self, ride_id: Id<Ride>, driver_id: &DriverId) -> Attempt {
        let number = i64::from_be_bytes(self.entropy.bytes()) & i64::MAX;
        Attempt { ride_id, driver_id: driver_id.clone(), number }
    }

    /// A transaction on the ride's side of an attempt.
    async fn at_ride<T: Send + 'static>(
        &self,
        attempt: &Attempt,
        work: impl for<'t> Fn(&'t Tx, Attempt) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let attempt = attempt.clone();
        self.shards.write_first(attempt.ride_id.shard(), move |tx| work(tx, attempt.clone())).await
    }

    /// A transaction on the driver's side of an attempt.
    async fn at_driver<T: Send + 'static>(
        &self,
        attempt: &Attempt,
        work: impl for<'t> Fn(&'t Tx, Attempt) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let attempt = attempt.clone();
        self.shards.write_first(DriverRide::shard(&attempt.driver_id), move |tx| work(tx, attempt.clone())).await
    }
}

impl Way {
    /// Leaves it, in the transaction that made `ride` accepted.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails, or when another node took this one for dead and decided against the attempt.
    pub(crate) async fn record(
        &self,
        tx: &Tx,
        ride: &Ride,
        driver_id: &DriverId,
        now: Millis,
    ) -> Result<(), StoreError> {
        match self {
            Self::Row => DriverRide::record(tx, driver_id, ride.id).await?,
            Self::Message => {
                let message = Message::IndexDriver { driver_id: driver_id.clone() };
                OutboxEntry::append(tx, ride, &[message], now).await?;
            }
            Self::Decision { attempt, lease_ms } => {
                let decided = Transaction::decide(tx, attempt, Decision::Commit, now, *lease_ms).await?;
                if decided == Decision::Abort {
                    return Err(StoreError::Busy("the acceptance took too long and was called off".to_owned()));
                }
            }
        }
        failpoint::reach(failpoints::ACCEPT_WRITTEN);
        Ok(())
    }
}

//! The driver index is written when a driver accepts a ride. It lies in the driver's shard and the ride in its
//! passenger's: in one database one transaction writes both, between two a strategy does.
//!
//! The rule of all: a row (driver, ride) is there exactly if the ride's log has an acceptance by that driver.

pub mod failpoints;
mod outbox;

use entity::{
    DriverRide, Message, OutboxEntry, Ride, Shards, StoreError, Tx,
    value::{DriverId, Id, Millis},
};
pub(crate) use outbox::write_row;
use runtime::{Invalid, failpoint};
use serde::{Deserialize, Serialize};

/// The `[driver_index]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How the row is written when driver and ride lie in different databases.
    pub strategy: Strategy,
}

/// How one step is taken in two databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum Strategy {
    /// The ride's transaction leaves a message, which is applied at once and retried for ever: the index may lag.
    #[default]
    Outbox,
}

impl Strategy {
    /// All that there are, by name.
    const ALL: [(&'static str, Self); 1] = [("outbox", Self::Outbox)];
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
    /// None today.
    pub fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// The index on these databases.
    #[must_use]
    pub fn build(self, shards: Shards) -> DriverIndex {
        DriverIndex { strategy: self.strategy, shards }
    }
}

/// Writes the index. Cheap to clone.
#[derive(Clone)]
pub struct DriverIndex {
    strategy: Strategy,
    shards: Shards,
}

/// What the ride's transaction has to leave for the index when it makes the acceptance.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// The row itself: the index lies in the same database.
    Row,
    /// A message that tells the relay to write the row.
    Message,
}

impl DriverIndex {
    /// Runs `take`, the transaction in which the driver accepts the ride, with what has to be done around it.
    ///
    /// # Errors
    /// What `take` answers.
    pub(crate) async fn accept<E, F>(
        &self,
        ride_id: Id<Ride>,
        driver_id: &DriverId,
        take: impl FnOnce(Way) -> F,
    ) -> Result<Ride, E>
    where
        F: Future<Output = Result<Ride, E>>,
    {
        if self.shards.same_database(ride_id.shard(), DriverRide::shard(driver_id)) {
            return take(Way::Row).await;
        }
        match self.strategy {
            Strategy::Outbox => {
                let ride = take(Way::Message).await?;
                failpoint::reach(failpoints::ACCEPT_COMMITTED);
                Ok(ride)
            }
        }
    }
}

impl Way {
    /// Leaves it, in the transaction that made `ride` accepted.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub(crate) async fn record(
        self,
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
        }
        failpoint::reach(failpoints::ACCEPT_WRITTEN);
        Ok(())
    }
}

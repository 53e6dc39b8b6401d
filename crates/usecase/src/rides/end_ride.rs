//! Somebody other than the passenger ends a ride: the driver, an operator, the system.

use std::sync::Arc;

use entity::{
    Actor, Change, Illegal, Ride, Shards, StoreError,
    value::{Id, Millis},
};

use super::{Config, commit};

/// Which ride, and how.
#[derive(Clone)]
pub struct Command {
    /// Which ride.
    pub ride_id: Id<Ride>,
    /// How.
    pub end: End,
}

/// How a ride ends.
#[derive(Clone, Debug)]
pub enum End {
    /// The driver calls it off; free for the passenger.
    CancelledByDriver {
        /// Why.
        reason: String,
    },
    /// The system or an operator calls it off; free for the passenger.
    CancelledBySystem {
        /// Why.
        reason: String,
    },
    /// No driver in time.
    Expired,
}

/// Why the ride goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ride.
    #[error("no such ride")]
    NotFound,
    /// The transition table has no such edge.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct EndRide {
    /// Settings of the component.
    pub config: Arc<Config>,
    /// Where rides are kept.
    pub shards: Shards,
}

impl EndRide {
    /// Ends the ride; one that ended this way already stays as it is and is answered again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, command: Command, now: Millis) -> Result<Ride, Error> {
        let change = match command.end {
            End::CancelledByDriver { reason } => Change::Cancelled { by: Actor::Driver, reason, fee: 0 },
            End::CancelledBySystem { reason } => Change::Cancelled { by: Actor::System, reason, fee: 0 },
            End::Expired => Change::Expired,
        };
        let timeouts = self.config.timeouts();
        self.shards
            .write_first(command.ride_id.shard(), move |tx| {
                let change = change.clone();
                Box::pin(async move {
                    let ride = Ride::find(tx, command.ride_id).await?.ok_or(Error::NotFound)?;
                    if change.moves().is_some_and(|(to, _)| to == ride.status) {
                        return Ok(ride);
                    }
                    commit(tx, &ride, &change, &timeouts, now).await
                })
            })
            .await
    }
}

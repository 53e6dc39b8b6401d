//! A passenger rates a completed ride, once.

use entity::{Passenger, Rating, Ride, RideStatus, Shards, StoreError, value::Id};

/// Why there is no rating.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such ride of this passenger.
    #[error("no such ride")]
    NotFound,
    /// Only a completed ride is rated.
    #[error("the ride is not completed")]
    NotCompleted(RideStatus),
    /// It was rated before.
    #[error("the ride was rated")]
    AlreadyRated,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct RateRide {
    /// Where rides are kept.
    pub shards: Shards,
}

impl RateRide {
    /// Keeps the rating.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run(&self, passenger_id: Id<Passenger>, ride_id: Id<Ride>, rating: Rating) -> Result<(), Error> {
        self.shards
            .write(passenger_id.shard(), move |tx| {
                let rating = rating.clone();
                Box::pin(async move {
                    let ride = Ride::find_owned(tx, passenger_id, ride_id).await?.ok_or(Error::NotFound)?;
                    if ride.status != RideStatus::Completed {
                        return Err(Error::NotCompleted(ride.status));
                    }
                    if rating.insert_once(tx, ride_id).await? { Ok(()) } else { Err(Error::AlreadyRated) }
                })
            })
            .await
    }
}

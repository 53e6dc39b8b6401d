//! A passenger changes or deletes their profile.

use entity::{KnownDevice, OtpChallenge, Passenger, ProfilePatch, Ride, Session, Shards, StoreError, value::Id};

use crate::auth::Keys;

/// Why the profile stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The passenger was deleted.
    #[error("no such passenger")]
    Gone,
    /// Not during a ride.
    #[error("the passenger has an active ride")]
    AlreadyRiding(Id<Ride>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use case.
#[derive(Clone)]
pub struct ChangeProfile {
    /// Finds what is kept under the phone.
    pub keys: Keys,
    /// Where passengers are kept.
    pub shards: Shards,
}

impl ChangeProfile {
    /// Applies a merge patch whose values were checked at the edge.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch(&self, id: Id<Passenger>, patch: ProfilePatch) -> Result<Passenger, Error> {
        let patched = self.shards.write(id.shard(), move |tx| Box::pin(Passenger::patch(tx, id, patch.clone())));
        patched.await.map_err(Error::Store)?.ok_or(Error::Gone)
    }

    /// Removes who this was and ends every session; rides and money stay, they belong to the books.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, id: Id<Passenger>) -> Result<(), Error> {
        // The phone of a passenger never changes, so it may be read before. A sign-in that is under way takes its challenge
        // first and then the passenger: whoever took them the other way round would wait for each other.
        let passenger = Passenger::find(self.shards.read(id.shard()), id).await?.ok_or(Error::Gone)?;
        let phone_hash = self.keys.phone_hash(&passenger.phone);
        self.shards
            .write(id.shard(), move |tx| {
                Box::pin(async move {
                    OtpChallenge::forget_phone(tx, phone_hash).await?;
                    Passenger::find_alone(tx, id).await?.ok_or(Error::Gone)?;
                    if let Some(ride) = Ride::find_active(tx, id).await? {
                        return Err(Error::AlreadyRiding(ride.id));
                    }
                    KnownDevice::forget_phone(tx, phone_hash).await?;
                    Session::revoke_all(tx, id).await?;
                    if Passenger::anonymise(tx, id).await? { Ok(()) } else { Err(Error::Gone) }
                })
            })
            .await
    }
}
